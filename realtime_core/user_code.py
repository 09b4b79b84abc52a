"""Calling users' code, which may do anything.

A tool, hook, guardrail, callback or handler may raise any exception, return an awaitable or a generator where a value
is wanted, cancel itself, and go on when it is cancelled. All calls of users' code go through this module. The outcome
of each is a value or an `Exception`; a `CancelledError` comes out only if the caller itself was cancelled.

- What is no `Exception` (`SystemExit`, `KeyboardInterrupt`, a cancellation of the code's own) would end the event loop
  or the caller, and `StopIteration` cannot cross a coroutine or a future: they become `UserCodeError`, whose cause is
  the original.
- An awaitable is awaited, however the function was wrapped. The values of a generator become a list.
- Tools, and code with a time limit, have a task of their own (`within`). It is not waited for when its time is up, and
  not for long when its session ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from .daemon_threads import DaemonThreads
from .errors import UserCodeError

__all__ = [
    "UserCode",
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
"""So many values of a generator are taken."""
_MAX_LAYERS = 8
"""So often is the result of an awaitable an awaitable again."""
_GRACE_S = 0.3
"""So long may cancelled code take to end. A session closes within a second."""
_left: set[asyncio.Task[Any]] = set()


class UserCode(Enum):
    """The kinds of users' code. The value names the kind in logs and figures."""

    TOOL = "tool"
    ERROR_TEXT = "error text"
    """What words a failure, a rejection or a time-out for the model."""
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
    """Call a function; return its value, which is awaited if it is an awaitable. Raises `Exception`s only."""
    return await _run(called(function, *args))


def call_now(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function that has to answer at once. Raises `Exception`s only, among them `UserCodeError` for a coroutine
    function."""
    try:
        value = function(*args)
        if inspect.iscoroutine(value):
            value.close()
            raise UserCodeError(f"{name_of(function)} is called at once: it must be a plain function, not `async def`.")
    except BaseException as error:  # noqa: BLE001
        raise failure_of(error)  # noqa: B904
    return value


async def in_thread(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a plain function in one of 64 threads. Raises `Exception`s only."""
    run = contextvars.copy_context().run
    # The outcome is wrapped: a future takes no StopIteration, and SystemExit would end the loop.
    work = functools.partial(run, _outcome, function, args, kwargs)
    value, error = await asyncio.get_running_loop().run_in_executor(_threads(), work)
    if error is not None:
        raise failure_of(error)
    return value


async def settled(value: Any) -> Any:
    """The value itself; of an awaitable, its result; of a generator, its values. Raises what the code raises."""
    for _ in range(_MAX_LAYERS):
        if inspect.isawaitable(value):
            value = await value
        elif inspect.isasyncgen(value):
            value = await _values_later(value)
        elif _is_lazy(value):
            value = _values(value)
        else:
            return value
    raise UserCodeError(f"Awaiting the result {_MAX_LAYERS} times gave an awaitable each time.")


async def concurrently(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run coroutines at the same time; return their results in order.

    When one of them raises, the others are cancelled and awaited, and its exception is raised, not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def within(work: Coroutine[Any, Any, Any], limit_s: float | None = None) -> Any:
    """Await users' code in a task of its own. Raises `Exception`s only, among them `TimeLimit` after `limit_s`."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()
    task = loop.create_task(_tell(work, outcome))
    task.add_done_callback(lambda _: work.close())  # it was never begun if the task was cancelled at once
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


async def _tell(work: Coroutine[Any, Any, Any], outcome: asyncio.Future[tuple[Any, Exception | None]]) -> None:
    """The outcome of the code, told in the step in which the code ends: a task that awaits this one learns it later."""
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
    """The time is up."""
    if not outcome.done():
        outcome.set_result((None, TimeLimit()))
        _cancel(task)


class TimeLimit(TimeoutError):
    """The code took longer than it may. A `TimeoutError` that the code itself raises is none of these."""


def failure_of(error: BaseException) -> Exception:
    """The error itself, or a `UserCodeError` where the error would do harm on its way."""
    if isinstance(error, Exception) and not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    text = error_text(error)
    failure = UserCodeError(f"The code raised {type(error).__name__}{f': {text}' if text else ''}.")
    failure.__cause__ = error
    return failure


def error_text(error: Any) -> str:
    """`str(error)`, which may fail: then the name of its type."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the exception's class is the user's
        return type(error).__name__


def name_of(function: Any) -> str:
    """What to call a function in a message."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def log_failure(what: str, error: BaseException, *, at: str = "") -> None:
    """Log that users' code failed (`at` which event), with its traceback."""
    text = error_text(error)
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    logger.error("%s failed%s: %s", what, f" at {at!r}" if at else "", told, exc_info=error)


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function and await its value, for `within`. Raises what the code raises."""
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
            raise  # this coroutine is closed; the code itself has raised nothing
        raise failure_of(error)  # noqa: B904
    except BaseException as error:  # noqa: BLE001
        raise failure_of(error)  # noqa: B904


async def _stop(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for a moment until it has ended."""
    _cancel(task)
    await asyncio.wait({task}, timeout=_GRACE_S)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    if not task.done():
        _left.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(_left.discard)


def _outcome(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, BaseException | None]:
    try:
        value = function(*args, **kwargs)
        return (_values(value) if _is_lazy(value) else value), None
    except BaseException as error:  # noqa: BLE001 - whatever the function raises is its outcome
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
        raise UserCodeError(f"A generator made more than {_MAX_VALUES} values: return what is needed of them.")


@functools.cache
def _threads() -> DaemonThreads:
    # Not the loop's own, which has a handful: tools that hang would leave none to look up the model's address, to hang
    # up, or to do whatever else cannot wait.
    return DaemonThreads(_MAX_THREADS, "tool")
