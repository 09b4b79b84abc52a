"""What a call is to find out: filled in piece by piece, checked as a whole.

It is described by a pydantic model, or, where it came from another process, by a JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from realtime_core import FunctionTool
from realtime_core.errors import UserError
from realtime_core.run_context import ToolContext

__all__ = ["Findings", "check_schema"]

_Check = Callable[[dict[str, Any]], "tuple[Any, list[str]]"]


class Findings:
    """Takes what the agent reports. `output` is the model, or the object of the schema, once it is whole."""

    def __init__(self, wanted: type[BaseModel] | Mapping[str, Any]) -> None:
        if isinstance(wanted, Mapping):
            self._schema, self._check = dict(wanted), _by_schema(wanted)
        else:
            self._schema, self._check = wanted.model_json_schema(), _by_model(wanted)
        self._given: dict[str, Any] = {}
        self.output: Any = None

    @property
    def missing(self) -> list[str]:
        """What is not known yet, or does not fit, with why."""
        output, problems = self._check(self._given)
        if not problems:
            self.output = output
        return problems

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
        """`record_result`: its parameters are the fields."""

        async def invoke(context: ToolContext[Any], arguments: str) -> str:
            return self.take(arguments)

        told = "Record what this call has found out, as soon as you know it. Call it again when something changes."
        return FunctionTool("record_result", told, self._schema, invoke, strict_json_schema=False)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `UserError` for what is no JSON schema of an object."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise UserError(f"result: {error.message}") from None
    if schema.get("type") != "object":
        raise UserError('result: what a call finds out is an object: {"type": "object", "properties": ...}')


def _by_model(model: type[BaseModel]) -> _Check:
    def check(given: dict[str, Any]) -> tuple[Any, list[str]]:
        try:
            return model.model_validate(given), []
        except ValidationError as error:
            return None, [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]

    return check


def _by_schema(schema: Mapping[str, Any]) -> _Check:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry: by default a `$ref` to an address would be fetched.
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)

    def check(given: dict[str, Any]) -> tuple[Any, list[str]]:
        from referencing.exceptions import Unresolvable

        try:
            problems = sorted(validator.iter_errors(given), key=lambda error: list(map(str, error.path)))
        except Unresolvable as error:
            return None, [f"the schema refers to {error.ref}, which is nowhere"]
        return dict(given), [f"{'.'.join(map(str, it.path))}: {it.message}".removeprefix(": ") for it in problems]

    return check
