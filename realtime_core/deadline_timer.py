"""A timer whose deadline can be moved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

__all__ = ["DeadlineTimer"]


class DeadlineTimer:
    """A timer that calls `on_time(now)` at its deadline. `set` moves the deadline. Needs a running event loop.

    The code around a state machine that takes `now` has one such timer. An event loop may call a timer slightly before
    its time (uvloop: by up to a millisecond). The state machine would then do nothing, and the same deadline would be
    set again and again. To prevent this, the `now` that `on_time` gets is never before the deadline.
    """

    def __init__(self, on_time: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_time = on_time
        self._at: float | None = None
        """Kept here, because uvloop's handle of a timer that is due at once does not show its time."""
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Moves the deadline to `at`, on the loop's clock. None or infinity removes the deadline."""
        if at == math.inf:
            at = None
        if at == self._at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = at
        self._handle = None if at is None else self._loop.call_at(at, self._due, at)

    def cancel(self) -> None:
        """Removes the deadline."""
        self.set(None)

    def _due(self, at: float) -> None:
        self._at = self._handle = None
        self._on_time(max(self._loop.time(), at))
