"""Twilio's REST API, written down: what was asked, how it was answered, and how long that took."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

from ..errors import TwilioError
from .policy import PhoneControl
from .record import CallRecord

__all__ = ["RecordedControl"]

_T = TypeVar("_T")
_NUMBER = re.compile(r"\+?\d[\d -]{5,}\d")
_VERB = re.compile(r"<(?!Response|\?)([A-Z][A-Za-z]*)")


class RecordedControl:
    """A `PhoneControl` that writes a `rest` record for each answer. Of a document its verbs are written, and no number:
    a call is `caller` or `second leg`."""

    def __init__(self, control: PhoneControl, record: CallRecord, call_sid: str) -> None:
        self._control = control
        self._record = record
        self._call_sid = call_sid

    async def hang_up(self, call_sid: str) -> bool:
        return await self._recorded("hang_up", self._control.hang_up(call_sid), call=self._name(call_sid))

    async def redirect(self, call_sid: str, twiml: str) -> None:
        request = {"call": self._name(call_sid), "verbs": _VERB.findall(twiml)}
        await self._recorded("redirect", self._control.redirect(call_sid, twiml), **request)

    async def create_call(self, **options: Any) -> str:
        request = {"call": "second leg", "verbs": _VERB.findall(options.get("twiml") or "")}
        if "ring_s" in options:
            request["ring_s"] = options["ring_s"]
        return await self._recorded("create_call", self._control.create_call(**options), **request)

    def _name(self, call_sid: str) -> str:
        return "caller" if call_sid == self._call_sid else "second leg"

    async def _recorded(self, action: str, request: Awaitable[_T], **asked: Any) -> _T:
        clock = asyncio.get_running_loop().time
        began, status, answer = clock(), "ok", dict[str, Any]()
        try:
            result = await request
            answer = {} if result is None else {"result": result}
            return result
        except TwilioError as error:
            status = type(error).__name__
            answer = {"code": error.code, "http": error.status, "error": _NUMBER.sub("•", str(error.args[0]))}
            raise
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        finally:
            ms = round((clock() - began) * 1000, 3)
            self._record.write("rest", action=action, **asked, status=status, **answer, ms=ms)
