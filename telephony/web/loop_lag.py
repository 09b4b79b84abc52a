"""Measures the delay of the event loop: how late a sleeping task continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LoopLag"]

_LAG_EVERY_S = 0.25
_LAG_DECAY = 0.8
"""The factor by which the measured delay decays per measurement. After a stall of one second, the delay is more than
0.25 s for 1.5 s.
"""


class LoopLag:
    """Measures the delay of the event loop. `seconds` is the greatest recent delay in seconds. After a delay, the value
    of `seconds` decreases again.

    A large delay means that the process has more calls than it can serve.
    """

    def __init__(self, on_change: Callable[[float], None] = lambda seconds: None) -> None:
        self.seconds = 0.0
        self._on_change = on_change

    async def watch(self) -> None:
        """Measures the delay of the event loop (how late a sleeping task continues) four times a second. Runs until the
        task is cancelled.
        """
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            self.seconds = max(clock() - due, self.seconds * _LAG_DECAY, 0.0)
            self._on_change(self.seconds)
