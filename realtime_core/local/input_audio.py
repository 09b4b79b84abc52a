"""The input audio buffer of the embedded server: decoding, positions and turn detection. Pure.

A position is the length of the audio that was appended in the session before a point, in milliseconds, as in the
protocol's events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pybase64

from ..audio.resample import Downsampler3
from ..audio.vad import Edge, SpeechDetector
from .formats import PCM, WireFormat, wire_format
from .rejection import Rejected, invalid_type, missing

__all__ = ["Committed", "InputAudio", "TurnDetection", "decode_append"]

MAX_APPEND_BYTES = 15 * 2**20
MIN_COMMIT_MS = 100
_SEMANTIC_SILENCE_MS = {"high": 300, "auto": 500, "medium": 500, "low": 1000}
"""The silence in milliseconds that ends a turn, by eagerness. The real semantic detector also considers the words. This
detector uses only the eagerness.
"""


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """The settings of the session for turn detection (`audio.input.turn_detection`)."""

    threshold: float
    prefix_ms: int
    silence_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_s: float | None

    @classmethod
    def read(cls, config: Mapping[str, Any] | None) -> TurnDetection | None:
        if config is None:
            return None
        idle_ms = config.get("idle_timeout_ms")
        semantic = config["type"] == "semantic_vad"
        return cls(
            threshold=config.get("threshold", 0.5),
            prefix_ms=config.get("prefix_padding_ms", 300),
            silence_ms=_SEMANTIC_SILENCE_MS[config["eagerness"]] if semantic else config["silence_duration_ms"],
            create_response=config["create_response"],
            interrupt_response=config["interrupt_response"],
            idle_timeout_s=None if idle_ms is None else idle_ms / 1000,
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """The piece of the caller's audio that was taken out of the input buffer: its start and end, in milliseconds of the
    session's input audio.
    """

    start_ms: float
    end_ms: float

    @property
    def duration_ms(self) -> float:
        return self.end_ms - self.start_ms


def decode_append(audio: Any) -> bytes:
    """Returns the audio of an `input_audio_buffer.append`. Raises `Rejected` for invalid audio."""
    if not isinstance(audio, str):
        raise missing("audio") if audio is None else invalid_type("audio", "a string", audio)
    try:
        data = pybase64.b64decode(audio, validate=True)
    except ValueError:
        message = "Invalid 'audio'. Expected base64-encoded audio bytes, but got an invalid value."
        raise Rejected(message, code="invalid_value", param="audio") from None
    if len(data) > MAX_APPEND_BYTES:
        raise Rejected("Invalid 'audio': over 15 MiB.", code="string_above_max_length", param="audio")
    return data


class InputAudio:
    """Stores the caller's audio until it is committed to the conversation, and detects speech in it."""

    def __init__(self) -> None:
        self._format: WireFormat = PCM
        self._down = Downsampler3()
        self._turns: TurnDetection | None = None
        self._detector: SpeechDetector | None = None
        self._detector_start_ms = 0.0
        self._start_ms = 0.0
        self.position_ms = 0.0

    @property
    def speaking(self) -> bool:
        return self._detector is not None and self._detector.speaking

    @property
    def turns(self) -> TurnDetection | None:
        return self._turns

    def configure(self, audio_input: Mapping[str, Any]) -> None:
        """Applies the session settings `audio_input` (the object at `audio.input`). Speech that has begun continues
        unless turn detection changes.
        """
        format = wire_format(audio_input["format"])
        if format is not self._format:
            self._format = format
            self._down.reset()
        turns = TurnDetection.read(audio_input["turn_detection"])
        if turns == self._turns:
            return
        if turns is None:
            self._detector = None
        elif self._detector is None or self._turns is None or turns.threshold != self._turns.threshold:
            self._detector = SpeechDetector(threshold=turns.threshold, silence_ms=turns.silence_ms)
            self._detector_start_ms = self.position_ms
        else:
            self._detector.silence_ms = turns.silence_ms
        self._turns = turns

    def append(self, audio: bytes) -> Iterator[Edge]:
        """Appends audio in the session's input format. Yields the positions at which speech begins and ends, in
        milliseconds of the session's input audio.

        Each position must be handled before the next position is requested, and the iteration must be completed.
        """
        format, detector = self._format, self._detector
        self.position_ms += len(audio) / format.bytes_per_ms
        if detector is None or self._turns is None:
            return
        pcm8k = self._down.push(audio) if format is PCM else format.decode(audio)
        for edge in detector.push(pcm8k):
            yield self._edge(edge, self._turns)

    def _edge(self, edge: Edge, turns: TurnDetection) -> Edge:
        at_ms = self._detector_start_ms + edge.at_ms
        if edge.kind == "started":
            self._start_ms = at_ms = max(self._start_ms, at_ms - turns.prefix_ms)
        return Edge(edge.kind, int(at_ms))

    def commit(self, end_ms: float | None = None) -> Committed:
        """Takes audio out of the buffer. With `end_ms`, takes the audio up to this position, which is the end of the
        speech. With None, takes all audio. Returns the start and the end of this audio. Raises `Rejected` for less than
        100 ms of audio.
        """
        committed = Committed(self._start_ms, self.position_ms if end_ms is None else end_ms)
        if committed.duration_ms < MIN_COMMIT_MS:
            raise Rejected(
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {committed.duration_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._start_ms = committed.end_ms
        if self._detector is not None and end_ms is None:
            self._detector.reset()
        return committed

    def clear(self) -> None:
        self._start_ms = self.position_ms
        if self._detector is not None:
            self._detector.reset()
