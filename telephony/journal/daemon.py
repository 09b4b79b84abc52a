"""Runs disk work in daemon threads. The process can exit without waiting for these threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_daemon"]

T = TypeVar("T")

_LOOK_S = 1.0


async def in_daemon(work: Callable[[], T], name: str) -> T:
    """Runs `work` in a daemon thread and awaits its result. A disk that does not respond then does not prevent the exit
    of the process, unlike with `asyncio.to_thread`.
    """
    outcome: Future[T] = Future()
    done = threading.Event()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:  # noqa: BLE001  raised where the work is awaited
            outcome.set_exception(error)
        done.set()

    threading.Thread(target=run, name=name, daemon=True).start()
    while not await asyncio.to_thread(done.wait, _LOOK_S):
        pass
    return outcome.result()
