"""Functions of users' code that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Mute(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class Own(BaseException):
    """None of the exceptions that are usually caught."""


class Hostile:
    """A result that can neither be printed nor compared."""

    def _refuse(self, *args: Any) -> Any:
        raise Mute

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = _refuse
    __hash__ = None  # type: ignore[assignment]


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("broken"),
    "no text": Mute,
    "StopIteration": lambda: StopIteration("broken"),
    "StopAsyncIteration": StopAsyncIteration,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "TimeoutError": TimeoutError,
    "a base exception": Own,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError("broken")]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [SystemExit(3), ValueError("broken")]),
}


def plain(make: Callable[[], BaseException]) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        raise make()

    return function


def coroutine(make: Callable[[], BaseException]) -> Callable[..., Any]:
    async def function(*args: Any) -> Any:
        await asyncio.sleep(0)
        raise make()

    return function


def cancels_itself(*args: Any) -> Any:
    async def function() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    return function()


RAISING: dict[str, Callable[..., Any]] = {
    **{f"raises {name}": plain(make) for name, make in EXCEPTIONS.items()},
    **{f"a coroutine raises {name}": coroutine(make) for name, make in EXCEPTIONS.items()},
}


def hostile(*args: Any) -> Any:
    return Hostile()
