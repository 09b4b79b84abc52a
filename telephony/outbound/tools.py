"""The tool of whoever does not want to be called again."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from realtime_core import FunctionTool
from realtime_core.run_context import ToolContext

from ..call.call import Call
from ..errors import CallRefused
from .do_not_call import DoNotCall

__all__ = ["OptOut", "opt_out"]

log = logging.getLogger(__name__)


def opt_out(do_not_call: DoNotCall) -> FunctionTool:
    """The tool `opt_out`: puts whoever is on the line on the do-not-call list, for good. Calls that are placed have it
    by themselves where a list is configured (TELEPHONY_DO_NOT_CALL)."""

    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        call = context.context
        if not isinstance(call, Call):
            return "This works on phone calls only."
        number = call.caller if call.info.direction == "inbound" else call.called
        if not number:
            return "The number is not known, so it cannot be put on the list."
        try:
            await asyncio.to_thread(do_not_call.add, number, "asked for it on the phone")
        except (OSError, CallRefused) as error:
            log.error("The wish of call %s not to be called could not be written down: %s", call.sid, error)
            return "The list cannot be written to right now. Say that you pass it on to a person, and apologise."
        return "They are on the list and will not be called again. Say so, apologise, and say goodbye."

    told = "The person does not want to be called again. Use it as soon as they say so, and only then."
    tool = OptOut("opt_out", told, {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
    tool.do_not_call = do_not_call
    return tool


class OptOut(FunctionTool):
    """The tool, with the list that it writes to."""

    do_not_call: DoNotCall
