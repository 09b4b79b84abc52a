"""Calls the application's callback `on_end` for each ended call. No call waits for the callback, because the callback
may block or fail.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from realtime_core import user_code
from realtime_core.daemon_threads import DaemonThreads
from realtime_core.user_code import UserCode

from .ended_call import EndedCall

__all__ = ["OnEnd", "OnEndCallback"]

log = logging.getLogger(__name__)

OnEndCallback = Callable[[EndedCall[Any]], Any]

_LIMIT_S = 60.0
_THREADS = 16
_MAX_WAITING = 1000
_CLOSE_S = 10.0
"""The maximum time in seconds for which callbacks may continue when the application stops."""


class OnEnd:
    """Runs the application's callback `on_end` for each ended call. The object is an async context manager.

    A coroutine function runs on the event loop. A plain function runs in one of 16 threads. Each callback may take at
    most a minute.
    """

    def __init__(self, callback: OnEndCallback | None, on_failure: Callable[[UserCode], None]) -> None:
        self._callback = callback
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()
        self._threads = DaemonThreads(_THREADS, "on_end")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=_CLOSE_S)
        if late:
            log.error("%d on_end callbacks did not return within %g s and are given up.", len(late), _CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1.0)

    def call(self, ended: EndedCall[Any]) -> None:
        """Calls the callback `on_end` with `ended` in a new task. Returns immediately."""
        if self._callback is None:
            return
        if len(self._running) >= _MAX_WAITING:
            log.error("on_end is not called for call %s: %d earlier calls of it still run.", ended.id, _MAX_WAITING)
            return
        task = asyncio.get_running_loop().create_task(self._run(self._callback, ended), name=f"on_end of {ended.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, callback: OnEndCallback, ended: EndedCall[Any]) -> None:
        try:
            await user_code.within(self._called(callback, ended), _LIMIT_S)
        except Exception as error:  # noqa: BLE001 - users' code
            self._on_failure(UserCode.CALLBACK)
            user_code.log_failure(f"Call {ended.id}: the callback on_end", error)

    async def _called(self, callback: OnEndCallback, ended: EndedCall[Any]) -> None:
        if _is_async(callback):
            await user_code.called(callback, ended)
            return
        work = functools.partial(_outcome, callback, ended)
        value, error = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        if error is not None:
            raise user_code.failure_of(error)
        await user_code.settled(value)


def _is_async(callback: OnEndCallback) -> bool:
    while isinstance(callback, functools.partial):
        callback = callback.func
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004


def _outcome(callback: OnEndCallback, ended: EndedCall[Any]) -> tuple[Any, BaseException | None]:
    """Returns the result or the exception of the callback. A future cannot contain StopIteration, and SystemExit would
    stop the event loop.
    """
    try:
        return callback(ended), None
    except BaseException as error:  # noqa: BLE001 - the exception is the callback's outcome
        return None, error
