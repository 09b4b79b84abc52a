"""Detects stalled media streams. Pure.

In a working stream, Twilio sends a frame every 20 ms, also during silence, and reads the audio that this process sends.
In a stalled stream one of these stops, although the connection stays open.
"""

from __future__ import annotations

import math

__all__ = ["StreamWatchdog"]

_STEP_S = 0.2
"""The interval of the checks in seconds. A short interval measures the delay of the event loop more exactly."""
_ROUNDING_S = 1e-9


class StreamWatchdog:
    """Detects that a media stream is stalled: no frame arrived for `limit_s` seconds, or more than `max_bytes` bytes
    wait to be sent. `now` is a time of the event loop in seconds.

    While the event loop is blocked, this process cannot read frames, so the silence is not the fault of the stream.
    Therefore `on_time` is due every 0.2 seconds. A later call of `on_time` means that the loop was blocked for the
    difference, and this time is not counted. After a long block, the process first reads the frames that wait, and
    keeps the stream.
    """

    def __init__(self, limit_s: float = 1.6, *, max_bytes: int = 128 * 1024) -> None:
        self._limit_s = limit_s
        self._max_bytes = max_bytes
        self._last: float | None = None
        self._late = 0.0
        self._due = math.inf

    @property
    def deadline(self) -> float | None:
        return None if self._last is None or self._limit_s == math.inf else self._due

    def begin(self, now: float) -> None:
        """Starts to watch a media stream that was attached."""
        self._last, self._late = now, 0.0
        self._due = now + min(_STEP_S, self._limit_s)

    def end(self) -> None:
        """Stops watching, because the call has no media stream."""
        self._last = None

    def frame(self, now: float) -> None:
        if self._last is not None:
            self._last, self._late = now, 0.0

    def on_time(self, now: float) -> bool:
        """Returns True once when the media stream is stalled."""
        if self._last is None or now < self._due:
            return False
        self._late += min(now - self._due, now - self._last)
        left = self._limit_s - (now - self._last - self._late)
        if left <= _ROUNDING_S:
            self._last = None
            return True
        self._due = now + min(_STEP_S, left)
        return False

    def sent(self, buffered_bytes: int) -> bool:
        """Checks whether too much audio waits to be sent to Twilio. `buffered_bytes` is the number of waiting bytes. If
        this number exceeds `max_bytes`, the media stream is stalled, and the method returns True, but only once for
        each stream. Otherwise returns False.
        """
        if self._last is None or buffered_bytes <= self._max_bytes:
            return False
        self._last = None
        return True
