"""The tools of an outgoing call: what the agent found out, and who does not want to be called again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from realtime_core import FunctionTool
from realtime_core.run_context import ToolContext

from ..call.call import Call
from ..errors import CallRefused
from .do_not_call import DoNotCall

__all__ = ["Findings", "opt_out"]

log = logging.getLogger(__name__)


class Findings:
    """Fills a pydantic model from what the agent reports, piece by piece. `output` is it, once it is whole."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._given: dict[str, Any] = {}
        self.output: BaseModel | None = None

    @property
    def missing(self) -> list[str]:
        """What is not known yet, or does not fit, with why."""
        try:
            self.output = self._model.model_validate(self._given)
        except ValidationError as error:
            return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        return []

    def take(self, arguments: str) -> str:
        """What the agent says; returns what to tell it."""
        try:
            given = json.loads(arguments or "{}")
        except ValueError:
            return "That was no JSON object."
        if not isinstance(given, Mapping):
            return "That was no JSON object."
        self._given.update({name: value for name, value in given.items() if value is not None})
        missing = self.missing
        return f"Noted. Still missing: {'; '.join(missing)}." if missing else "Noted. Nothing is missing."

    def tool(self) -> FunctionTool:
        """`record_result`: its parameters are the model's fields."""

        async def invoke(context: ToolContext[Any], arguments: str) -> str:
            return self.take(arguments)

        told = "Record what this call has found out, as soon as you know it. Call it again when something changes."
        schema = self._model.model_json_schema()
        return FunctionTool("record_result", told, schema, invoke, strict_json_schema=False)


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
    return FunctionTool("opt_out", told, {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
