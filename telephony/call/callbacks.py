"""Calls the application's callbacks, and logs their failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_core import user_code
from realtime_core.user_code import UserCode

__all__ = ["Callbacks"]


class Callbacks:
    """Calls the application's callbacks during one call. Only the first failure of each callback is logged, because
    some callbacks run 50 times a second.
    """

    def __init__(self, call_sid: str, on_failure: Callable[[UserCode], None]) -> None:
        self._call_sid = call_sid
        self._on_failure = on_failure
        self._failed: set[str] = set()

    def call(self, name: str, callback: Callable[..., object], *args: Any) -> None:
        """Calls `callback` with `args`. An exception of the callback is logged with `name`, the name of the
        callback.
        """
        try:
            user_code.call_now(callback, *args)
        except Exception as error:  # noqa: BLE001 - a user's code
            self._on_failure(UserCode.CALLBACK)
            if name not in self._failed:
                self._failed.add(name)
                user_code.log_failure(f"Call {self._call_sid}: the callback {name}", error)
