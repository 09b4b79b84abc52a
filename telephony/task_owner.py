"""A base class for parts of a server: starts asyncio tasks, and waits for them at the end of a context. A function for
work that is no longer awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["TaskOwner", "ignore_exception"]


class TaskOwner:
    """Runs tasks. The object is an async context manager. The end of its `async with` block waits for the tasks, also
    after an exception in the block. A subclass that must stop its tasks does this in `closing`.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing()
        await self._group.__aexit__(None, None, None)

    def start_task(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Runs `work` in a task with this name. The end of the context waits for the task. Returns the task."""
        return self._group.create_task(work, name=name)

    def closing(self) -> None:
        """Called at the end of the block, before the block waits for the tasks. This method does nothing. A subclass
        whose tasks do not end by themselves overrides this method and stops the tasks.
        """


def ignore_exception(future: asyncio.Future[Any]) -> None:
    """Marks the exception of a future or task as retrieved. Use this function as a done callback of work whose result
    may no longer be awaited, for example after a time limit. Without this callback asyncio logs "exception was never
    retrieved" at an unrelated time.
    """
    if not future.cancelled():
        future.exception()
