"""Handles Ctrl-C for a campaign that runs in the terminal. After the first Ctrl-C no further call begins. The second
Ctrl-C hangs up the live calls.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["drained_by_ctrl_c"]

log = logging.getLogger(__name__)


@contextmanager
def drained_by_ctrl_c(drain: Callable[[], None], hang_up: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """During this block, the first Ctrl-C (SIGINT) calls `drain`, which must stop new calls from beginning. Every later
    Ctrl-C calls `hang_up`, which must end the live calls. SIGTERM counts as Ctrl-C. Also works in virtual time. Does
    nothing outside of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, count = asyncio.get_running_loop(), 0
    hanging_up: set[asyncio.Task[None]] = set()

    async def end_calls() -> None:
        await hang_up()

    def interrupted() -> None:
        nonlocal count
        count += 1
        if count == 1:
            log.warning("The live calls continue, and no further call begins. Ctrl-C again hangs up.")
            drain()
        else:
            log.warning("The live calls are hung up.")
            hanging_up.add(loop.create_task(end_calls()))

    def on_signal(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(interrupted)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for task in hanging_up:
            task.cancel()
