"""What is to happen when: a heap of deadlines, and the time of what is happening now. Pure.

Whoever owns it sleeps until `next_due` and calls `run`. While an act runs, `now` is the time for which it was planned,
so that what follows from it does not drift when it comes late.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Deadline", "Schedule"]

Act = Callable[[], None]


@dataclass(order=True, slots=True)
class Deadline:
    due: float
    _order: int
    _act: Act | None = field(compare=False)

    def cancel(self) -> None:
        """Idempotent."""
        self._act = None


class Schedule:
    def __init__(self, now: float) -> None:
        self.now = now
        self._heap: list[Deadline] = []
        self._made = 0
        self._stalled_until = now

    def after(self, seconds: float, act: Act) -> Deadline:
        self._made += 1
        deadline = Deadline(self.now + seconds, self._made, act)
        heapq.heappush(self._heap, deadline)
        return deadline

    def stall(self, seconds: float) -> None:
        """Nothing is done for so long; then all that became due meanwhile."""
        self._stalled_until = self.now + seconds

    def stalls(self, now: float) -> bool:
        return now < self._stalled_until

    @property
    def next_due(self) -> float | None:
        while self._heap and self._heap[0]._act is None:
            heapq.heappop(self._heap)
        return max(self._heap[0].due, self._stalled_until) if self._heap else None

    def run(self, now: float) -> None:
        """Do all that is due, in order, and what becomes due by it."""
        while self._heap and self._heap[0].due <= now and not self.stalls(now):
            deadline = heapq.heappop(self._heap)
            act, deadline._act = deadline._act, None
            if act is not None:
                self.now = deadline.due
                act()
        self.now = now
