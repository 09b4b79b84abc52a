"""Delays items like one direction of a line, and keeps the order of the items."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from realtime_core.deadline_timer import DeadlineTimer

from .line import LineDirection

__all__ = ["Pipe"]

T = TypeVar("T")


class Pipe(Generic[T]):
    """Delays items, such as messages, keeps their order, and passes each item to the function `deliver` at its time of
    arrival. Without a delay, `push` calls `deliver` directly.
    """

    def __init__(self, way: LineDirection, deliver: Callable[[T], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._way = way
        self._deliver = deliver
        self._flight: deque[tuple[float, T]] = deque()
        self._timer = DeadlineTimer(self._arrive)

    def push(self, item: T) -> None:
        now = self._loop.time() - self._start
        at = self._way.arrival(now)
        if at <= now and not self._flight:
            self._deliver(item)
            return
        self._flight.append((at, item))
        self._timer.set(self._start + self._flight[0][0])

    def close(self) -> None:
        """Drops the items that have not been delivered, and stops the timer."""
        self._flight.clear()
        self._timer.cancel()

    def _arrive(self, now: float) -> None:
        # All items that are due are delivered together. A burst after a stall is one step of the event loop.
        at = self._flight[0][0]
        while self._flight and self._flight[0][0] <= at:
            self._deliver(self._flight.popleft()[1])
        self._timer.set(self._start + self._flight[0][0] if self._flight else None)
