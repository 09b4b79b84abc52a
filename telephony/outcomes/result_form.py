"""The result of a call. The agent fills in the result field by field, and the whole result is validated.

A pydantic model, a dataclass or a TypedDict describes the fields. If the request came from another process, a JSON
schema describes the fields.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from realtime_core import FunctionTool
from realtime_core.errors import UserError
from realtime_core.patterns import LinearPattern, check_patterns, check_schema_patterns
from realtime_core.run_context import ToolContext
from realtime_core.user_code import call_now, log_failure

__all__ = ["RECORD_RESULT", "ResultForm", "ResultType", "check_schema"]

RECORD_RESULT = "record_result"
"""The name of the tool that fills in the result."""

_Check = Callable[[dict[str, Any]], "tuple[Any, list[str]]"]


class ResultType:
    """The type of a result: a pydantic model, a dataclass, a TypedDict, or the JSON schema of an object.

    Raises `UserError` for any other type, and for a type with a regular expression whose match can take exponential
    time, because this would block the process.
    """

    def __init__(self, wanted: Any) -> None:
        self.wanted = wanted
        if isinstance(wanted, Mapping):
            check_schema(wanted)
            self.schema, self.check = dict(wanted), _by_schema(wanted)
            return
        fits = isinstance(wanted, type) and (issubclass(wanted, BaseModel) or dataclasses.is_dataclass(wanted))
        if not fits and not is_typeddict(wanted):
            raise UserError(
                "result: give a pydantic model, a dataclass or a TypedDict (the class, not an instance), or the JSON "
                f"schema of an object, not {wanted!r}."
            )
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(wanted)
            self.schema = adapter.json_schema()
        except PydanticUserError as error:
            raise UserError(f"result: pydantic cannot read {wanted.__name__}: {error.message}") from None
        self.check = _by_type(adapter, wanted.__name__)

    def plain(self, output: Any) -> Any:
        """Converts a result of this type to JSON values."""
        if output is None or isinstance(self.wanted, Mapping):
            return output
        return TypeAdapter(self.wanted).dump_python(output, mode="json")


class ResultForm:
    """Collects the fields of a result, which the agent records in a call. `output` is the result when all fields are
    valid: an instance of the type, or the object of the schema.
    """

    def __init__(self, wanted: Any) -> None:
        self.type = wanted if isinstance(wanted, ResultType) else ResultType(wanted)
        self._given: dict[str, Any] = {}
        self.output: Any = None

    @property
    def missing(self) -> list[str]:
        """The fields of the result that are missing or invalid, each with the reason."""
        return self.validate()

    def validate(self) -> list[str]:
        """Checks the fields of the result that the agent has recorded so far. If all fields of the result are valid,
        sets `output`, and returns an empty list. Otherwise returns a text for each missing or invalid field, with the
        reason.
        """
        output, problems = self.type.check(self._given)
        if not problems:
            self.output = output
        return problems

    @property
    def unknown(self) -> list[str]:
        """The fields of the result that have no value yet."""
        return [name for name in self.type.schema.get("properties", {}) if name not in self._given]

    def take(self, arguments: str) -> str:
        """Handles a call of the tool `record_result`. `arguments` is JSON text with fields, which are added to the
        result. Returns the text that the model gets.
        """
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return "That was no JSON object."
        if not isinstance(given, Mapping):
            return "That was no JSON object."
        self.add(given)
        missing = self.missing
        return f"Noted. Still missing: {'; '.join(missing)}." if missing else "Noted. Nothing is missing."

    def add(self, given: Mapping[str, Any]) -> None:
        """Adds fields to the result. A field whose value is None counts as unknown."""
        self._given.update({name: value for name, value in given.items() if value is not None})

    def add_valid(self, given: Mapping[str, Any]) -> None:
        """Adds the fields whose values are valid to the result, and ignores the other fields."""
        before = dict(self._given)
        self.add(given)
        wrong = {problem.partition(":")[0].partition(".")[0] for problem in self.validate()} & given.keys()
        if wrong:
            self._given = {**before, **{name: value for name, value in self._given.items() if name not in wrong}}
            self.validate()

    def tool(self) -> FunctionTool:
        """Returns the tool `record_result`, with which the agent records fields of the call's result. The parameters of
        the tool are the fields of the result.
        """

        async def invoke(context: ToolContext[Any], arguments: str) -> str:
            return self.take(arguments)

        description = (
            "Record what this call has found out, as soon as you know it. Call it again when something changes."
        )
        return FunctionTool(RECORD_RESULT, description, self.type.schema, invoke, strict_json_schema=False)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Checks the JSON schema of a result. Raises `UserError` if the schema is not the schema of an object, or if
    validation could take very long. Validation takes very long if the schema refers to itself without end, or has a
    regular expression that can take exponential time.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
        check_schema_patterns(schema)
    except SchemaError as error:
        raise UserError(f"result: {error.message}") from None
    except UserError as error:
        raise UserError(f"result: {error}") from None
    except RecursionError:
        raise UserError("result: the schema is nested too deeply.") from None
    if schema.get("type") != "object":
        raise UserError('result: what a call finds out is an object: {"type": "object", "properties": ...}')
    if any(problem in _ENDLESS for problem in _by_schema(schema)({})[1]):
        raise UserError("result: the schema refers to itself without end.")


def _by_type(adapter: TypeAdapter[Any], name: str) -> _Check:
    check_patterns(adapter.core_schema, "result")

    def check(given: dict[str, Any]) -> tuple[Any, list[str]]:
        try:
            return call_now(adapter.validate_python, given), []
        except ValidationError as error:
            return None, [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        except Exception as error:  # noqa: BLE001 - a validator is users' code
            log_failure(f"A validator of {name}", error)
            return None, ["this could not be checked"]

    return check


class _Endless(Exception):
    """Raised if one validation followed too many references between schemas."""


_MAX_REFERENCES = 2_000
_ENDLESS = ("the schema refers to itself without end",)


def _by_schema(schema: Mapping[str, Any]) -> _Check:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    references = 0
    patterns: dict[str, LinearPattern] = {}

    def counted(keyword: str) -> Callable[..., Iterator[Any]]:
        follow = Draft202012Validator.VALIDATORS[keyword]

        def referred(validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[Any]:
            nonlocal references
            references += 1
            if references > _MAX_REFERENCES:
                raise _Endless
            yield from follow(validator, ref, instance, schema) or ()

        return referred

    def matches(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
        from jsonschema import ValidationError as Problem

        if validator.is_type(instance, "string"):
            if pattern not in patterns:
                patterns[pattern] = LinearPattern(pattern)
            if not patterns[pattern].search(instance):
                yield Problem(f"{instance!r} does not match {pattern!r}")

    bounded = extend(
        Draft202012Validator, {**{name: counted(name) for name in ("$ref", "$dynamicRef")}, "pattern": matches}
    )
    # With an empty registry, `$ref` never causes a network request.
    validator = bounded(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)

    def check(given: dict[str, Any]) -> tuple[Any, list[str]]:
        nonlocal references
        references = 0
        try:
            problems = sorted(validator.iter_errors(given), key=lambda error: list(map(str, error.path)))
        except Unresolvable as error:
            return None, [f"the schema refers to {error.ref}, which is nowhere"]
        except (_Endless, RecursionError):
            return None, list(_ENDLESS)
        return dict(given), [f"{'.'.join(map(str, it.path))}: {it.message}".removeprefix(": ") for it in problems]

    return check
