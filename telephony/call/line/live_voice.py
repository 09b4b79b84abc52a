"""Removes the network jitter from the live voice of a person, and limits the delay of the voice. Pure.

A browser sends a piece of audio about every 20 ms, and some pieces arrive late. Twilio plays received audio without a
pause. Therefore playback starts only after some pieces have arrived. After a stall many pieces arrive together and
would delay all later speech, so the pieces above the limit are dropped.
"""

from __future__ import annotations

__all__ = ["LiveVoice"]

RATE = 8000
_FRAME = 160
_START = int(0.060 * RATE)
"""The number of samples (60 ms) that are collected before playback begins, at the start and after each gap."""
_MAX_AHEAD = int(0.250 * RATE)
"""The maximum number of samples (250 ms) that may wait to be heard. More audio is dropped."""


class LiveVoice:
    """Buffers the live voice of a supervisor before it is played to the caller. Playback begins when 60 ms of audio
    wait, which prevents gaps. At most 250 ms of audio wait, and more audio is dropped. Audio is mu-law at 8 kHz.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self.dropped = 0
        """How many samples were dropped because they came too late."""

    def push(self, ulaw: bytes, ahead: int) -> bytes:
        """Adds a piece of the voice (mu-law, 8 kHz). Returns the audio to play now: whole frames of 20 ms, or nothing.
        `ahead` is the number of samples that are queued and not heard yet. With 0, nothing is playing, so 60 ms of
        audio must be collected again before playback starts.
        """
        room = max(0, _MAX_AHEAD - ahead - len(self._waiting))
        self.dropped += max(0, len(ulaw) - room)
        self._waiting += ulaw[:room]
        if ahead <= 0 and len(self._waiting) < _START:
            return b""
        return self.flush(whole=True)

    def flush(self, *, whole: bool = False) -> bytes:
        """Returns all audio that waits, and removes this audio from the buffer. If `whole` is True, returns only whole
        frames of 20 ms.
        """
        size = len(self._waiting) // _FRAME * _FRAME if whole else len(self._waiting)
        audio = bytes(self._waiting[:size])
        del self._waiting[:size]
        return audio
