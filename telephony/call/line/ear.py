"""Measures latencies at the caller's ear. Pure.

All times are seconds on the clock of the caller's frames (`media.timestamp`), on which `Playhead` also says when a
sample is heard. The caller's voice ends and begins with loud frames, not with the events of the model: these come
later, by the silence that the model waits for.
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
    """What was measured. The values are the names in metrics and spans."""

    FIRST_WORD = "first_word"
    """From the start of the media stream to the first sound of the agent."""
    RESPONSE = "response"
    """From the end of the caller's voice to the first sound of the answer."""
    BARGE_IN = "barge_in"
    """From the start of the caller's voice to the silence of the agent."""


@dataclass(frozen=True, slots=True)
class Latency:
    """`seconds` passed before `at_s`, a time on the clock of the caller's frames."""

    kind: LatencyKind
    seconds: float
    at_s: float


class Ear:
    """One call's ear. Each measured latency goes to `on_latency`."""

    def __init__(self, on_latency: Callable[[Latency], None] = lambda latency: None) -> None:
        self.on_latency = on_latency
        self._levels: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._speech_began = 0.0
        self._voice_ended: float | None = None
        self._has_spoken = False

    def stream_started(self) -> None:
        """A media stream has started, and its clock with it."""
        self._levels.clear()
        self._voice_ended = None

    def frame(self, stamp_s: float, level: int) -> None:
        """A frame of the caller: the time of its first sample, and its level (root mean square)."""
        self._levels.append((stamp_s, level))

    def speech_started(self) -> None:
        """The model reports that the caller speaks."""
        self._speech_began = self._onset()
        self._voice_ended = None

    def speech_stopped(self) -> None:
        """The model reports that the caller has stopped speaking."""
        loud = self._threshold()
        spoken = [stamp for stamp, level in self._levels if level >= loud and stamp >= self._speech_began]
        self._voice_ended = spoken[-1] + FRAME_S if spoken else None

    def heard(self, at_s: float, *, is_clip: bool) -> None:
        """The first sample of an answer or of a clip is heard at this time."""
        if not self._has_spoken:
            self._has_spoken = True
            self._measured(LatencyKind.FIRST_WORD, 0.0, at_s)
        if self._voice_ended is not None and at_s >= self._voice_ended and not is_clip:
            self._measured(LatencyKind.RESPONSE, self._voice_ended, at_s)
            self._voice_ended = None

    def silenced(self, at_s: float) -> None:
        """The caller's voice stopped the agent, who is silent from this time on."""
        self._measured(LatencyKind.BARGE_IN, self._speech_began, at_s)

    def _measured(self, kind: LatencyKind, from_s: float, at_s: float) -> None:
        self.on_latency(Latency(kind, max(0.0, at_s - from_s), at_s))

    def _threshold(self) -> float:
        return max(_NOISE, max((level for _, level in self._levels), default=0) / _LOUD)

    def _onset(self) -> float:
        """The start of the last utterance: its first loud frame."""
        loud, onset = self._threshold(), None
        for stamp, level in reversed(self._levels):
            if onset is not None and onset - stamp > _PAUSE_S:
                break
            if level >= loud:
                onset = stamp
        return onset if onset is not None else self._levels[-1][0] if self._levels else 0.0
