"""Measures latencies at the caller's ear. Pure.

All times are seconds on the clock of the caller's frames (`media.timestamp`). `Playhead` gives the time at which a
sample is heard on the same clock. The beginning and the end of the caller's voice are found by loud frames. The model's
events come later, because the model waits for silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Ear", "Latency", "LatencyKind"]

FRAME_S = 0.020
_WINDOW = 750
"""The frames that are remembered: 15 s."""
_LOUD = 31.6
"""A frame is loud if it is within 30 dB of the loudest frame."""
_NOISE = 60
"""A level (of 32,767) below which nothing is loud."""
_PAUSE_S = 0.3
"""A longer pause divides two utterances."""


class LatencyKind(StrEnum):
    """The kinds of latency. The values are the names in metrics and spans."""

    FIRST_WORD = "first_word"
    """The time from the start of the media stream to the first sound of the agent."""
    RESPONSE = "response"
    """The time from the end of the caller's voice to the first sound of the answer."""
    BARGE_IN = "barge_in"
    """The time from the start of the caller's voice to the silence of the agent."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A measured latency of `seconds`, which ended at `at_s` on the clock of the caller's frames."""

    kind: LatencyKind
    seconds: float
    at_s: float


class Ear:
    """Measures the latencies of one call, and passes each to `on_latency`."""

    def __init__(self, on_latency: Callable[[Latency], None] = lambda latency: None) -> None:
        self.on_latency = on_latency
        self._levels: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._speech_began = 0.0
        self._voice_ended: float | None = None
        self._has_spoken = False

    def stream_started(self) -> None:
        """Starts again, because a media stream with its own clock has started."""
        self._levels.clear()
        self._voice_ended = None

    def frame(self, stamp_s: float, level: int) -> None:
        """Handles a frame of the caller: the time of its first sample, and its level (root mean square)."""
        self._levels.append((stamp_s, level))

    def speech_started(self) -> None:
        """Registers that the model reports the beginning of the caller's speech."""
        self._speech_began = self._onset()
        self._voice_ended = None

    def speech_stopped(self) -> None:
        """Registers that the model reports the end of the caller's speech."""
        loud = self._threshold()
        spoken = [stamp for stamp, level in self._levels if level >= loud and stamp >= self._speech_began]
        self._voice_ended = spoken[-1] + FRAME_S if spoken else None

    def heard(self, at_s: float, *, is_clip: bool) -> None:
        """Registers that the first sample of an answer or of a clip is heard at this time."""
        if not self._has_spoken:
            self._has_spoken = True
            self._measured(LatencyKind.FIRST_WORD, 0.0, at_s)
        if self._voice_ended is not None and at_s >= self._voice_ended and not is_clip:
            self._measured(LatencyKind.RESPONSE, self._voice_ended, at_s)
            self._voice_ended = None

    def silenced(self, at_s: float) -> None:
        """Registers that the caller's voice stopped the agent, who is silent from this time on."""
        self._measured(LatencyKind.BARGE_IN, self._speech_began, at_s)

    def _measured(self, kind: LatencyKind, from_s: float, at_s: float) -> None:
        self.on_latency(Latency(kind, max(0.0, at_s - from_s), at_s))

    def _threshold(self) -> float:
        return max(_NOISE, max((level for _, level in self._levels), default=0) / _LOUD)

    def _onset(self) -> float:
        """Returns the start of the last utterance: its first loud frame."""
        loud, onset = self._threshold(), None
        for stamp, level in reversed(self._levels):
            if onset is not None and onset - stamp > _PAUSE_S:
                break
            if level >= loud:
                onset = stamp
        return onset if onset is not None else self._levels[-1][0] if self._levels else 0.0
