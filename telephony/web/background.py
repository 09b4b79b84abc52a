"""Background tasks: those that a request has started and that continue after the response, and those that run as long
as the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Background", "keep_running"]

log = logging.getLogger(__name__)

_AGAIN_AFTER_S = 60.0


async def keep_running(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the coroutine function `work` as a task of the server, until it returns or is cancelled. If the task raises
    an exception, the log has the traceback, and the task begins again after a minute. So a fault in one task does not
    end the server and its calls.
    """
    while True:
        try:
            return await work()
        except Exception:
            log.exception("The background task %r failed. It begins again in %.0f s.", name, _AGAIN_AFTER_S)
        await asyncio.sleep(_AGAIN_AFTER_S)


class Background:
    """The background tasks of one application. `close` cancels these tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs `work` in a background task. `work` must handle its own exceptions. Does nothing after `close`."""
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
