"""The value that a method returns if its result may be awaited, but its work is already finished. A fast method then
needs no coroutine.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any

__all__ = ["DONE", "Done", "is_done", "withdraw"]


class Done(Coroutine[Any, Any, None]):
    """The result of a method that callers may await, and that finished its work before it returned.

    A caller that does not await sees from this type that it need not wait. With `then`, awaiting this object awaits the
    awaitable `then`.
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
        """Required by the class `Coroutine`. Does nothing, because the work is already finished."""


DONE = Done()


def is_done(returned: Any) -> bool:
    """Returns whether a function that may be async has already finished its work. `returned` is the value that the
    function returned. Returns False if the value must still be awaited, and True if it is `DONE`, another `Done`
    object, or not awaitable.
    """
    return returned is DONE or isinstance(returned, Done) or not inspect.isawaitable(returned)


def withdraw(returned: Any) -> bool:
    """Closes `returned` if it is a coroutine that was never awaited, so its code never runs. Returns False if it is not
    such a coroutine.
    """
    if inspect.iscoroutine(returned):
        returned.close()
        return True
    return False
