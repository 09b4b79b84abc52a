"""How late the event loop is: the sign that one process has more calls than it can serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LoopLag"]

_EVERY_S = 0.25
_DECAY = 0.8
"""After a stall of a second, the lag is called over 0.25 s for 1.5 s more."""


class LoopLag:
    """`seconds`: the worst of late, forgotten slowly."""

    def __init__(self, on_change: Callable[[float], None] = lambda seconds: None) -> None:
        self.seconds = 0.0
        self._on_change = on_change

    async def watch(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self.seconds = max(clock() - due, self.seconds * _DECAY, 0.0)
            self._on_change(self.seconds)
