"""A timer with a deadline that moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

__all__ = ["DeadlineTimer"]


class DeadlineTimer:
    """A timer whose deadline moves: it calls `on_time(now)` at the deadline, and `set` moves the deadline. Needs a
    running loop.

    The shell of a state machine that takes `now` has one such timer. A loop may call a timer a little before its time
    (uvloop: by up to a millisecond). So `now` is never before the deadline. Otherwise the machine would do nothing, and
    the shell would set the same deadline again and again.
    """

    def __init__(self, on_time: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_time = on_time
        self._at: float | None = None
        """Kept here, because uvloop's handle of a timer that is due at once does not show its time."""
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Moves the deadline to `at`, on the loop's clock. None or infinity: there is no deadline."""
        if at == math.inf:
            at = None
        if at == self._at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = at
        self._handle = None if at is None else self._loop.call_at(at, self._due, at)

    def cancel(self) -> None:
        """Forgets the deadline."""
        self.set(None)

    def _due(self, at: float) -> None:
        self._at = self._handle = None
        self._on_time(max(self._loop.time(), at))
