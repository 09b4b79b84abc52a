"""What is to happen when: a heap of deadlines. Pure; whoever owns it sleeps until `next_due` and calls `run`."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Deadline", "Schedule"]

Act = Callable[[float], None]
"""Called with the time for which it was planned, so that what follows from it does not drift when it comes late."""


@dataclass(order=True, slots=True)
class Deadline:
    due: float
    _order: int
    _act: Act | None = field(compare=False)

    def cancel(self) -> None:
        """Idempotent."""
        self._act = None


class Schedule:
    def __init__(self) -> None:
        self._heap: list[Deadline] = []
        self._made = 0

    def at(self, due: float, act: Act) -> Deadline:
        self._made += 1
        deadline = Deadline(due, self._made, act)
        heapq.heappush(self._heap, deadline)
        return deadline

    @property
    def next_due(self) -> float | None:
        while self._heap and self._heap[0]._act is None:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def run(self, now: float) -> None:
        """Do all that is due, in order, and what becomes due by it."""
        while self._heap and self._heap[0].due <= now:
            deadline = heapq.heappop(self._heap)
            act, deadline._act = deadline._act, None
            if act is not None:
                act(deadline.due)
