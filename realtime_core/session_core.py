"""The objects that the parts of a session share: context, events, inputs to the model, and tasks for users' code."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from .config import RealtimeRunConfig
from .events import RealtimeAnyEvent, RealtimeError, RealtimeEventInfo
from .model import RealtimeModel
from .outbox import Outbox
from .run_context import RunContextWrapper
from .user_code import UserCode, log_failure

__all__ = ["SessionCore", "TaskScope"]

logger = logging.getLogger(__name__)


class _Stop(Exception):
    """Raised in the task scope to end it from inside."""


class TaskScope:
    """A `TaskGroup` in its own task, so one task can open the scope and another task can close it."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._group: asyncio.TaskGroup | None = None
        self._body: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def open(self) -> None:
        opened = asyncio.Event()
        self._context = contextvars.copy_context()
        self._body = asyncio.create_task(self._run(opened), name="realtime session")
        self._body.add_done_callback(self._ended)
        await opened.wait()

    async def _run(self, opened: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as self._group:
                opened.set()
                await self._stop.wait()
                raise _Stop
        except* _Stop:
            pass
        finally:
            self._group = None

    def _ended(self, body: asyncio.Task[None]) -> None:
        if not self._stop.is_set():  # users' exceptions are caught at the call; this one is a defect of ours
            self._on_failure(asyncio.CancelledError() if body.cancelled() else body.exception() or _Stop())

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Runs `work` as a task of the scope. Returns None and drops `work` if the scope is not open."""
        if self._group is None or self._stop.is_set():
            work.close()
            return None
        # Users' code runs in the context in which the session was opened, and not in the context of the message that
        # caused it.
        return self._group.create_task(work, name=name, context=self._context.copy())

    @property
    def closing(self) -> bool:
        """Whether the tasks of the scope are or were cancelled."""
        return self._stop.is_set()

    async def close(self, within_s: float) -> bool:
        """Cancels all tasks, and waits for them for at most `within_s` seconds. Returns whether the tasks ended in this
        time. Late tasks are left running.
        """
        self._stop.set()
        if self._body is None:
            return True
        done, _ = await asyncio.wait({self._body}, timeout=within_s)
        if not done:
            logger.warning("Tasks of a realtime session did not end within %g s of being cancelled.", within_s)
        elif not self._body.cancelled() and (error := self._body.exception()) is not None:
            logger.error("A task of a realtime session failed.", exc_info=error)
        return bool(done)


class SessionCore:
    """What all parts of a session use: the context, the configuration and the tasks of the session, and the methods
    that emit events and send inputs to the model. Only the session creates a `SessionCore`.
    """

    def __init__(
        self,
        model: RealtimeModel,
        context: RunContextWrapper[Any],
        run_config: RealtimeRunConfig,
        emit: Callable[[RealtimeAnyEvent], None],
        on_failure: Callable[[BaseException], None],
        label: str = "a session",
    ) -> None:
        self.context = context
        self.label = label
        """The name of the session in the log."""
        self.info = RealtimeEventInfo(context)
        self.run_config = run_config
        self.emit = emit
        self.tasks = TaskScope(on_failure)
        self.outbox = Outbox(model, self.tasks.start, self.report)
        self.send = self.outbox.post
        """Send an input to the model, in order, without waiting."""
        self.deliver = self.outbox.deliver
        """Send an input to the model, in order. Returns when it was sent; raises the model's exceptions."""

    def report(self, error: Any, source: UserCode | None = None) -> None:
        """Emits an `error` event with `error`. `source` is the kind of users' code that has failed, or None for an
        error of the model. The session continues.
        """
        self.emit(RealtimeError(error=error, info=self.info, source=source))

    def failed(self, kind: UserCode, name: str, error: BaseException, *, reported: bool = True) -> None:
        """Logs that users' code has failed with `error`. `kind` is the kind of the code, such as a hook, and `name` is
        the name of the function. If `reported` is True, also emits an `error` event. The session continues.
        """
        log_failure(f"The {kind.value} {name!r} of {self.label}", error)
        if reported:
            self.report(error, kind)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Runs `work`, which calls users' code, as a task that ends with the session. Returns None if the session is
        over.
        """
        return self.tasks.start(work, name)
