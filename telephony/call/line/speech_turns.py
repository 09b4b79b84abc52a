"""Divides the live voice of a person into turns of speech, for a transcription that needs the end of each turn. Pure.

Only speech is passed on, because a transcription is paid by the length of its audio, and invents words in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime_core.audio import g711
from realtime_core.audio.vad import SpeechDetector

__all__ = ["Piece", "SpeechTurns"]

_RATE = 8000
_BEFORE = int(0.3 * _RATE)
"""The number of samples before the detected start of speech that belong to the turn."""
_SILENCE_MS = 600
"""The silence in milliseconds that ends a turn."""
_MAX_TURN = 20 * _RATE
"""The maximum number of samples of a turn. Longer speech is divided, so its words are known soon."""
_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the audio of a turn (mu-law, 8 kHz). A turn is a person's speech without a longer pause. `begins` is
    True for the first piece of the turn. `ends` is True for the last piece.
    """

    ulaw: bytes
    begins: bool
    ends: bool


class SpeechTurns:
    """Divides the audio of one voice into turns. `push` takes the audio and returns the parts that are speech."""

    def __init__(self) -> None:
        self._detector = SpeechDetector(threshold=_THRESHOLD, silence_ms=_SILENCE_MS)
        self._before = b""
        self._length = 0
        """The number of samples of the turn in progress. 0 between turns."""

    def push(self, ulaw: bytes) -> Piece | None:
        """Takes audio of the voice (mu-law, 8 kHz, any length). Returns the audio of the turn in progress, or None
        between turns.
        """
        is_speech = self._detector.speaking  # also between two turns into which long speech is divided
        for edge in self._detector.push(g711.decode(ulaw)):
            is_speech = is_speech or edge.kind == "started"
        if not is_speech:
            self._before = (self._before + ulaw)[-_BEFORE:]
            return None
        begins = not self._length
        if begins:
            ulaw, self._before = self._before + ulaw, b""
        self._length += len(ulaw)
        ends = not self._detector.speaking or self._length >= _MAX_TURN
        if ends:
            self._length = 0
        return Piece(ulaw, begins, ends)

    def cut(self) -> bool:
        """Ends the turn in progress. Returns False if there is none."""
        was_speaking = self._length > 0
        self._detector.reset()
        self._before, self._length = b"", 0
        return was_speaking
