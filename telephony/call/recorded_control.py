"""Twilio's REST API, written down: what was asked, how it was answered, and how long that took."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from ..errors import TwilioError
from .policy import PhoneControl
from .record import CallRecord

__all__ = ["RecordedControl"]

_T = TypeVar("_T")


class RecordedControl:
    """A `PhoneControl` that writes a `rest` record for each answer. No number and no document is written."""

    def __init__(self, control: PhoneControl, record: CallRecord) -> None:
        self._control = control
        self._record = record

    async def hang_up(self, call_sid: str) -> bool:
        return await self._recorded("hang_up", self._control.hang_up(call_sid))

    async def redirect(self, call_sid: str, twiml: str) -> None:
        await self._recorded("redirect", self._control.redirect(call_sid, twiml))

    async def create_call(self, **options: Any) -> str:
        return await self._recorded("create_call", self._control.create_call(**options))

    async def _recorded(self, action: str, request: Awaitable[_T]) -> _T:
        clock = asyncio.get_running_loop().time
        began, status, code = clock(), "ok", None
        try:
            return await request
        except TwilioError as error:
            status, code = type(error).__name__, error.code
            raise
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        finally:
            self._record.write("rest", action=action, status=status, code=code, ms=round((clock() - began) * 1000, 3))
