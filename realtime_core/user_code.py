"""Calls users' code safely.

A tool, hook, guardrail, callback or handler may raise any exception, return an awaitable or a generator in place of a
value, cancel itself, or ignore a cancellation. All calls of users' code use this module. Each call returns a value or
raises an `Exception`. `CancelledError` is raised only if the calling task itself was cancelled.

- `SystemExit`, `KeyboardInterrupt` and the code's own cancellation would end the event loop or the calling task, and
  `StopIteration` cannot pass through a coroutine or a future. These exceptions become `UserCodeError`, with the
  original exception as its cause.
- Awaitables are awaited. The values of a generator become a list.
- Tools, and code with a time limit, run in their own task (`within`). After the limit nobody waits for the task any
  longer. At the end of the session the task is awaited for a short time.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from .daemon_threads import DaemonThreads
from .errors import UserCodeError

__all__ = [
    "UserCode",
    "begin",
    "call",
    "call_now",
    "called",
    "concurrently",
    "error_text",
    "failure_of",
    "in_thread",
    "log_failure",
    "settled",
    "within",
]

logger = logging.getLogger(__name__)

_MAX_THREADS = 64
_MAX_VALUES = 10_000
"""The maximum number of values that are taken from a users' generator."""
_MAX_LAYERS = 8
"""The maximum number of times that the result of an awaitable may be another awaitable."""
_GRACE_S = 0.3
"""The time in seconds in which cancelled code may end. A session closes within a second."""
_left: set[asyncio.Task[Any]] = set()


class UserCode(Enum):
    """The kinds of users' code. The value is the name of the kind in logs and metrics."""

    TOOL = "tool"
    ERROR_TEXT = "error text"
    """A function that returns the text for the model after a failure, a rejection or a time-out."""
    IS_ENABLED = "is_enabled"
    APPROVAL = "needs_approval"
    GUARDRAIL = "guardrail"
    HANDOFF = "handoff"
    HOOK = "hook"
    INSTRUCTIONS = "instructions"
    FILLER = "filler"
    HANDLER = "event handler"
    AGENT = "choice of the agent"
    CALLBACK = "callback"


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the user with `args` and returns its value. An awaitable value is awaited. Raises only
    exceptions of the type `Exception`.
    """
    return await _run(called(function, *args))


def begin(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the user with `args` and returns its value. An awaitable value is returned without waiting.
    Raises only exceptions of the type `Exception`.
    """
    try:
        return function(*args)
    except BaseException as error:  # noqa: BLE001
        raise failure_of(error)  # noqa: B904


def call_now(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the user that must return immediately, with `args`. Returns its value. Raises only exceptions
    of the type `Exception`. Raises `UserCodeError` for a coroutine function.
    """
    try:
        value = function(*args)
        if value is not None and inspect.iscoroutine(value):
            value.close()
            raise UserCodeError(f"{name_of(function)} must be a plain function, not `async def`.")
    except BaseException as error:  # noqa: BLE001
        raise failure_of(error)  # noqa: B904
    return value


async def in_thread(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Calls a plain (not async) function of the user in one of 64 threads, and returns its result. An exception of the
    function is raised here. An exception that is no `Exception`, such as `SystemExit`, is replaced by one that is.
    """
    run = contextvars.copy_context().run
    # The outcome is wrapped, because a future cannot contain StopIteration, and SystemExit would stop the event loop.
    work = functools.partial(run, _outcome, function, args, kwargs)
    value, error = await asyncio.get_running_loop().run_in_executor(_threads(), work)
    if error is not None:
        raise failure_of(error)
    return value


async def settled(value: Any) -> Any:
    """Returns the final result of a user's function that has returned `value`. If `value` is an awaitable or the future
    of a thread, the result is the value for which it waits. If `value` is a generator, the result is a list of its
    values. Any other value is returned unchanged. Exceptions are not caught.
    """
    for _ in range(_MAX_LAYERS):
        if inspect.isawaitable(value):
            value = await value
        elif isinstance(value, concurrent.futures.Future):
            value = await asyncio.wrap_future(value)
        elif inspect.isasyncgen(value):
            value = await _values_later(value)
        elif _is_lazy(value):
            value = _values(value)
        else:
            return value
    raise UserCodeError(f"The result was still an awaitable after {_MAX_LAYERS} awaits.")


async def concurrently(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Runs coroutines at the same time. Returns their results in order.

    If one coroutine raises an exception, the others are cancelled and awaited, and this exception is raised without an
    exception group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def within(work: Coroutine[Any, Any, Any], limit_s: float | None = None) -> Any:
    """Runs users' code in its own task, and returns its result. A caller can handle each failure of the code with
    `except Exception`: in place of another `BaseException`, such as `SystemExit`, this function raises `UserCodeError`.
    After `limit_s` seconds (None: no limit), the code is cancelled, and `TimeLimit` is raised. If the task of the
    caller is cancelled, the code is cancelled, too.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()
    task = loop.create_task(_report(work, outcome))
    task.add_done_callback(lambda _: work.close())  # a task that is cancelled at once never starts it
    timer = None if limit_s is None else loop.call_later(limit_s, _expire, task, outcome)
    try:
        value, error = await outcome
    except asyncio.CancelledError:
        await _stop(task)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if error is not None:
        raise error
    return value


async def _report(work: Coroutine[Any, Any, Any], outcome: asyncio.Future[tuple[Any, Exception | None]]) -> None:
    """Sets the outcome in the step in which the code ends. A task that awaited this task would get the outcome
    later.
    """
    value: Any = None
    error: Exception | None = None
    try:
        value = await _run(work)
    except asyncio.CancelledError:
        error = UserCodeError("The code cancelled the task in which it ran.")
    except Exception as failure:  # noqa: BLE001 - the code's own
        error = failure
    if not outcome.done():
        outcome.set_result((value, error))
    elif error is not None and not isinstance(error, UserCodeError):
        log_failure("Code that was cancelled", error)


def _expire(task: asyncio.Task[None], outcome: asyncio.Future[tuple[Any, Exception | None]]) -> None:
    """Handles the end of the time limit of `task`: sets the outcome to a time-out."""
    if not outcome.done():
        outcome.set_result((None, TimeLimit()))
        _cancel(task)


class TimeLimit(TimeoutError):
    """The code exceeded its time limit. A `TimeoutError` that the code itself raises has another type."""


def failure_of(error: BaseException) -> Exception:
    """Returns the error as an `Exception` that can be raised safely: the error itself, or a `UserCodeError` for other
    types such as `SystemExit`.
    """
    if isinstance(error, Exception) and not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    text = error_text(error)
    failure = UserCodeError(f"The code raised {type(error).__name__}{f': {text}' if text else ''}.")
    failure.__cause__ = error
    return failure


def error_text(error: Any) -> str:
    """Returns `str(error)`, or the name of its type if that fails."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the exception's class is the user's
        return type(error).__name__


def name_of(function: Any) -> str:
    """Returns the name of a function, for messages."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def log_failure(what: str, error: BaseException, *, at: str = "") -> None:
    """Logs a failure of users' code with its traceback. `what` describes the code that failed. `at` names the event at
    which it failed, if given.
    """
    text = error_text(error)
    description = f"{type(error).__name__}: {text}" if text else type(error).__name__
    logger.error("%s failed%s: %s", what, f" at {at!r}" if at else "", description, exc_info=error)


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the user with `args`, and returns its result. If the result is an awaitable, awaits it and
    returns its value. Exceptions of the function are not caught and there is no time limit, so this coroutine should be
    passed to `within`.
    """
    try:
        value = function(*args)
    except StopIteration as error:  # which Python would turn into a RuntimeError
        raise failure_of(error)  # noqa: B904
    return await settled(value)


def _is_lazy(value: Any) -> bool:
    return inspect.isgenerator(value) or isinstance(value, (map, filter, zip))


async def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise failure_of(error)  # noqa: B904
    except GeneratorExit as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is None:
            raise  # this coroutine is closed; the code did not raise
        raise failure_of(error)  # noqa: B904
    except BaseException as error:  # noqa: BLE001
        raise failure_of(error)  # noqa: B904


async def _stop(task: asyncio.Task[None]) -> None:
    """Cancels a task and waits for its end for a short time."""
    _cancel(task)
    await asyncio.wait({task}, timeout=_GRACE_S)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    if not task.done():
        _left.add(task)  # the loop holds only weak references to tasks
        task.add_done_callback(_left.discard)


def _outcome(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    try:
        value = function(*args, **kwargs)
        return (_values(value) if _is_lazy(value) else value), None
    except BaseException as error:  # noqa: BLE001 - the exception is the function's outcome
        return None, error


def _values(lazy: Iterator[Any]) -> list[Any]:
    values: list[Any] = []
    for value in lazy:
        values.append(value)
        _check_count(values)
    return values


async def _values_later(generator: AsyncGenerator[Any, Any]) -> list[Any]:
    values: list[Any] = []
    try:
        async for value in generator:
            values.append(value)
            _check_count(values)
    finally:
        await generator.aclose()
    return values


def _check_count(values: Sequence[Any]) -> None:
    if len(values) > _MAX_VALUES:
        raise UserCodeError(f"A generator made more than {_MAX_VALUES} values. Return only the needed values.")


@functools.cache
def _threads() -> DaemonThreads:
    # Not the loop's default executor, which has few threads. Tools that hang would block name lookups, hanging up and
    # other urgent work.
    return DaemonThreads(_MAX_THREADS, "tool")


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_threads.cache_clear)
