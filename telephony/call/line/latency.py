"""Measures latencies as the caller hears them. Pure.

All times are in seconds on the clock of the caller's frames (the `timestamp` in Twilio's media messages). `Playhead`
computes on the same clock when the caller hears a sample. Loud frames show the start and the end of the caller's voice.
The speech events of the model come later, because the model waits for silence before it reports the end of speech.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Latency", "LatencyKind", "LatencyMeter"]

FRAME_S = 0.020
_WINDOW = 750
"""The number of frames that are used (15 s)."""
_SPARE = 50
"""The number of frames that are stored beyond `_WINDOW`, so they are dropped together."""
_LOUD = 31.6
"""A frame is loud if its level is at least the level of the loudest frame divided by this number (30 dB)."""
_NOISE = 60
"""The minimum level of a loud frame, on a scale to 32,767."""
_PAUSE_S = 0.3
"""The length of a pause, in seconds, that separates two utterances."""


class LatencyKind(StrEnum):
    """The kinds of latency that are measured in a call. The values are the names in metrics and spans."""

    FIRST_WORD = "first_word"
    """The time from the start of the media stream until the caller hears the first sound of the agent."""
    RESPONSE = "response"
    """The time from the end of the caller's speech until the caller hears the first sound of the answer."""
    BARGE_IN = "barge_in"
    """The time from the start of the caller's speech until the agent is silent."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A measured latency. `kind` says between which two events the time was measured. `seconds` is the time between the
    two events. `at_s` is the time of the second event, in seconds on the clock of the caller's media messages (their
    `timestamp`).
    """

    kind: LatencyKind
    seconds: float
    at_s: float


class LatencyMeter:
    """Measures the latencies of one call, and calls `on_latency` with each latency. All times are in seconds on the
    clock of the caller's media messages (their `timestamp`).
    """

    def __init__(self, on_latency: Callable[[Latency], None] = lambda latency: None) -> None:
        self.on_latency = on_latency
        # Arrays take 10 bytes for a frame. A tuple of two numbers takes 116.
        self._stamps = array("d")
        self._levels = array("H")
        self._speech_began = 0.0
        self._voice_ended: float | None = None
        self._has_spoken = False

    def stream_started(self) -> None:
        """Resets the measurement. Called when a media stream with a new clock starts."""
        del self._stamps[:], self._levels[:]
        self._voice_ended = None

    def frame(self, timestamp_s: float, level: int) -> None:
        """Stores the level of a frame (20 ms) of the caller's audio. The levels show when the caller speaks.
        `timestamp_s` is the time of the first sample in seconds, and `level` is the root mean square of the samples.
        """
        self._stamps.append(timestamp_s)
        self._levels.append(level)
        if len(self._levels) == _WINDOW + _SPARE:
            del self._stamps[:_SPARE], self._levels[:_SPARE]

    def speech_started(self) -> None:
        """Stores the start of the caller's speech, which the model has just reported. The latency of a later
        interruption of the agent counts from this start. The start is computed from the levels of the last frames,
        because the report arrives late.
        """
        self._speech_began = self._onset()
        self._voice_ended = None

    def speech_stopped(self) -> None:
        """Stores the end of the caller's speech, which the model has just reported. The latency of the answer counts
        from this end. The end is computed from the levels of the last frames, because the report arrives late.
        """
        loud = self._threshold()
        spoken = [stamp for stamp, level in self._frames() if level >= loud and stamp >= self._speech_began]
        self._voice_ended = spoken[-1] + FRAME_S if spoken else None

    def handed_back(self) -> None:
        """Excludes the next sound of the agent from the measurement, because it is no answer: the caller spoke with a
        supervisor, who has now handed the call back to the agent.
        """
        self._voice_ended = None

    def heard(self, at_s: float, *, is_clip: bool) -> None:
        """Measures latencies when the caller hears the first sample of an answer or of a clip (`is_clip`), at the time
        `at_s` in seconds. The first sample of the call gives the latency `FIRST_WORD`. The first answer after the
        caller's words gives the latency `RESPONSE`. A clip is not an answer.
        """
        if not self._has_spoken:
            self._has_spoken = True
            self._measured(LatencyKind.FIRST_WORD, 0.0, at_s)
        if self._voice_ended is not None and at_s >= self._voice_ended and not is_clip:
            self._measured(LatencyKind.RESPONSE, self._voice_ended, at_s)
            self._voice_ended = None

    def silenced(self, at_s: float) -> None:
        """Measures how long the caller heard the agent after the caller had begun to interrupt. `at_s` is the time at
        which the agent became silent for the caller, in seconds since the start of the media stream. Passes the latency
        (in seconds) to `on_latency`.
        """
        self._measured(LatencyKind.BARGE_IN, self._speech_began, at_s)

    def _measured(self, kind: LatencyKind, from_s: float, at_s: float) -> None:
        self.on_latency(Latency(kind, max(0.0, at_s - from_s), at_s))

    def _frames(self) -> list[tuple[float, int]]:
        """Returns (timestamp, level) of each of the last frames."""
        return list(zip(self._stamps[-_WINDOW:], self._levels[-_WINDOW:], strict=True))

    def _threshold(self) -> float:
        return max(_NOISE, max(self._levels[-_WINDOW:], default=0) / _LOUD)

    def _onset(self) -> float:
        """Returns the start of the last utterance of the caller, which is the time of its first loud frame."""
        loud, onset = self._threshold(), None
        for stamp, level in reversed(self._frames()):
            if onset is not None and onset - stamp > _PAUSE_S:
                break
            if level >= loud:
                onset = stamp
        return onset if onset is not None else self._stamps[-1] if self._stamps else 0.0
