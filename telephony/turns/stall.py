"""Is the phone's stream alive? Pure.

Twilio sends a frame every 20 ms, silence too, for as long as a stream lasts; and it takes what we send.
"""

from __future__ import annotations

__all__ = ["StreamWatch"]


class StreamWatch:
    """A stream is stalled when no frame has come for `limit_s`, or when more than `max_bytes` wait to be sent."""

    def __init__(self, limit_s: float = 5.0, *, max_bytes: int = 128 * 1024) -> None:
        self._limit_s = limit_s
        self._max_bytes = max_bytes
        self._last: float | None = None

    @property
    def deadline(self) -> float | None:
        return None if self._last is None else self._last + self._limit_s

    def begin(self, now: float) -> None:
        """A stream was attached."""
        self._last = now

    def end(self) -> None:
        """There is none to watch."""
        self._last = None

    def frame(self, now: float) -> None:
        if self._last is not None:
            self._last = now

    def on_time(self, now: float) -> bool:
        """Returns whether the stream is stalled; says so once."""
        if self.deadline is None or now < self.deadline:
            return False
        self._last = None
        return True

    def sent(self, buffered_bytes: int) -> bool:
        """So much waits to be sent. Returns whether the stream is stalled; says so once."""
        if self._last is None or buffered_bytes <= self._max_bytes:
            return False
        self._last = None
        return True
