"""The lifetime of one call: the tasks of the call, the end of the call, and the reason of the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from .ending import Ending, EndReason, Release

__all__ = ["Lifetime"]


class Lifetime:
    """The lifetime of one call. The tasks of the call run in one `TaskGroup` until `end` is called. `end` calls
    `on_end`.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.ending: Ending | None = None
        """How the call ended, or None while the call is live."""
        self.release = Release.HANG_UP
        self._on_end = on_end
        self._over = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._started: dict[asyncio.Task[None], None] = {}

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[asyncio.TaskGroup]:
        """An async context manager that yields the `TaskGroup` of the call. Like any `TaskGroup`, the end of the block
        waits until all tasks have ended. The end of the block cancels no task.
        """
        async with asyncio.TaskGroup() as self._tasks:
            yield self._tasks

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` as a task that is cancelled when the call ends. Does nothing if the call has ended."""
        if self._tasks is None or self.over:
            work.close()
            return
        task = self._tasks.create_task(work)
        self._started[task] = None
        task.add_done_callback(lambda task: self._started.pop(task, None))

    def cancel(self) -> None:
        """Cancels the tasks that `start` started, in the order in which they were started."""
        for task in tuple(self._started):
            task.cancel()

    def end(self, reason: EndReason, detail: str = "", *, release: Release = Release.HANG_UP) -> None:
        """Ends the call for the reason `reason`. `detail` is a further text about the end. `release` says what happens
        with the caller's leg. Only the first call of this method has an effect.
        """
        if self.ending is not None:
            return
        self.ending, self.release = Ending(reason, detail), release
        self._on_end()
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._over.is_set()

    @property
    def reason(self) -> str:
        """The reason why the call ended, as in the journal. The text is empty while the call is live."""
        return "" if self.ending is None else str(self.ending)

    async def wait(self) -> None:
        """Waits until the call has ended."""
        await self._over.wait()
