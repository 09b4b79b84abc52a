"""The tools of an outgoing call: what the agent found out, and who does not want to be called again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from realtime_core import FunctionTool
from realtime_core.run_context import ToolContext

from ..call.call import Call
from .do_not_call import DoNotCall

__all__ = ["Findings", "opt_out"]


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
    """The tool `opt_out`: puts whoever is called on the do-not-call list, for good."""

    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        call = context.context
        if not isinstance(call, Call) or not call.called:
            return "There is nobody to put on the list."
        do_not_call.add(call.called, "asked for it on the phone")
        return "They are on the list and will not be called again. Say so, apologise, and say goodbye."

    told = "The person does not want to be called again."
    return FunctionTool("opt_out", told, {"type": "object", "properties": {}}, invoke, strict_json_schema=False)
