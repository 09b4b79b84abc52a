"""A timer queue without a clock: actions with deadlines, stored in a heap. Pure.

The code that uses the queue sleeps until `next_due` and then calls `run`, which runs the due actions. During an action,
`now` is the planned time of the action and not the actual time, so late execution causes no drift.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Deadline", "Schedule"]

Act = Callable[[], None]


@dataclass(order=True, slots=True)
class Deadline:
    """A planned action, with the time at which it is due."""

    due: float
    _order: int
    _act: Act | None = field(compare=False)

    def cancel(self) -> None:
        """Cancels the action of this deadline. Idempotent."""
        self._act = None


class Schedule:
    """The planned actions of the embedded server, in order of their times. Times are in seconds on any steady clock."""

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
        """Simulates a server that does not react for `seconds` seconds: no action is performed in this time. The
        actions that became due in the meantime are performed after this time.
        """
        self._stalled_until = self.now + seconds

    def stalls(self, now: float) -> bool:
        return now < self._stalled_until

    @property
    def next_due(self) -> float | None:
        while self._heap and self._heap[0]._act is None:
            heapq.heappop(self._heap)
        return max(self._heap[0].due, self._stalled_until) if self._heap else None

    def run(self, now: float) -> None:
        """Performs all actions that are due at the time `now`, in order, including actions that become due during
        `run`.
        """
        while self._heap and self._heap[0].due <= now and not self.stalls(now):
            deadline = heapq.heappop(self._heap)
            act, deadline._act = deadline._act, None
            if act is not None:
                self.now = deadline.due
                act()
        self.now = now
