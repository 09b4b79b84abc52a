"""The awaitable of a call that has done its work before it returned."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any

__all__ = ["DONE", "Done", "is_done", "withdraw"]


class Done(Coroutine[Any, Any, None]):
    """The result of a method that callers may await, and that has done its work before it returned.

    A caller that does not wait sees from this type that there is nothing to wait for. `then` is something else that
    awaiting waits for. By default there is nothing.
    """

    def __init__(self, then: Awaitable[None] | None = None) -> None:
        self._rest = iter(()) if then is None else then.__await__()

    def __await__(self) -> Any:
        return self._rest

    def send(self, value: Any) -> Any:
        return next(self._rest)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        raise typ

    def close(self) -> None:
        """Does nothing, because there is nothing to stop."""


DONE = Done()


def is_done(returned: Any) -> bool:
    """Returns whether the call that returned this has done its work. A call that returns no awaitable has."""
    return returned is DONE or isinstance(returned, Done) or not inspect.isawaitable(returned)


def withdraw(returned: Any) -> bool:
    """Cancels a call of an `async def` function that nothing has awaited. Returns whether that was possible."""
    if inspect.iscoroutine(returned):
        returned.close()
        return True
    return False
