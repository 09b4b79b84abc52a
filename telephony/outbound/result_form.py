"""The result of a call, which the agent fills in field by field and which is validated as a whole.

A pydantic model describes the fields, or a JSON schema if the request came from another process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from realtime_core import FunctionTool, RealtimeAgent, RealtimeModelConfig, RealtimeRunner
from realtime_core.errors import RealtimeCoreError, UserError
from realtime_core.patterns import LinearPattern, check_patterns, check_schema_patterns
from realtime_core.run_context import ToolContext
from realtime_core.user_code import call_now, log_failure

from .plan import Line

__all__ = ["ResultForm", "check_schema", "fill_from_transcript"]

log = logging.getLogger(__name__)

_EXTRACTION_S = 20.0

_Check = Callable[[dict[str, Any]], "tuple[Any, list[str]]"]


class ResultForm:
    """Collects the fields that the agent records. `output` is the model, or the object of the schema, once valid."""

    def __init__(self, wanted: type[BaseModel] | Mapping[str, Any]) -> None:
        if isinstance(wanted, Mapping):
            check_schema(wanted)
            self._schema, self._check = dict(wanted), _by_schema(wanted)
        else:
            self._schema, self._check = wanted.model_json_schema(), _by_model(wanted)
        self._given: dict[str, Any] = {}
        self.output: Any = None

    @property
    def missing(self) -> list[str]:
        """The fields that are missing or invalid, each with the reason."""
        output, problems = self._check(self._given)
        if not problems:
            self.output = output
        return problems

    def take(self, arguments: str) -> str:
        """Add the fields in the arguments of a tool call. Returns the answer for the agent."""
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return "That was no JSON object."
        if not isinstance(given, Mapping):
            return "That was no JSON object."
        self._given.update({name: value for name, value in given.items() if value is not None})
        missing = self.missing
        return f"Noted. Still missing: {'; '.join(missing)}." if missing else "Noted. Nothing is missing."

    def tool(self) -> FunctionTool:
        """The tool `record_result`. Its parameters are the fields."""

        async def invoke(context: ToolContext[Any], arguments: str) -> str:
            return self.take(arguments)

        description = (
            "Record what this call has found out, as soon as you know it. Call it again when something changes."
        )
        return FunctionTool("record_result", description, self._schema, invoke, strict_json_schema=False)


async def fill_from_transcript(form: ResultForm, transcript: Sequence[Line], model_config: RealtimeModelConfig) -> None:
    """Ask the model, in a new text session, to record from the transcript what is missing. Fields that the transcript
    does not have stay missing."""
    said = "\n".join(f"{line.who}: {line.text if line.heard is None else line.heard}" for line in transcript)
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="Clerk",
        instructions="You get the transcript of a phone call. Record by the tool what it says, and nothing else.",
        tools=[form.tool()],
    )
    config = RealtimeModelConfig(
        **{
            **model_config,
            "initial_model_settings": {
                "output_modalities": ["text"],
                "turn_detection": None,
                "tool_choice": "required",
            },
        }
    )
    try:
        async with asyncio.timeout(_EXTRACTION_S), await RealtimeRunner(agent).run(model_config=config) as session:
            await session.send_message(said)
            async for _ in session.events("tool_end", "response_failed", "error"):
                return
    except (RealtimeCoreError, TimeoutError) as error:
        log.warning(
            "The missing fields of a result could not be read from its transcript: %s", error or "no answer in time"
        )


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `UserError` if `schema` is not a JSON schema of an object, or if validating with it may not end."""
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


def _by_model(model: type[BaseModel]) -> _Check:
    check_patterns(model.__pydantic_core_schema__, "result")

    def check(given: dict[str, Any]) -> tuple[Any, list[str]]:
        try:
            return call_now(model.model_validate, given), []
        except ValidationError as error:
            return None, [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        except Exception as error:  # noqa: BLE001 - a validator is users' code
            log_failure(f"A validator of {model.__name__}", error)
            return None, ["this could not be checked"]

    return check


class _Endless(Exception):
    """One validation followed too many references between schemas."""


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
    # With an empty registry no `$ref` to an address is fetched.
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
