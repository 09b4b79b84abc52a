"""Checks the arguments that the recorded model gave to tools against the schemas of the current tools. Pure.

The recorded model does not know that a parameter was renamed or removed, and the tools answer from the recording.
Without this check a replay would pass although a real call would fail. Arguments that were already wrong in the
recording are not reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from ..journal.format import Record, object_at
from .changes import tool_schemas
from .compare import Divergence

__all__ = ["argument_mismatches"]

_Schemas = Mapping[str, Mapping[str, Any]]


def argument_mismatches(commands: Iterable[Record], replayed: Iterable[tuple[int, Record]]) -> list[Divergence]:
    """Returns the recorded tool calls whose arguments do not fit the current tools, in the order of the calls.

    `commands` are the recorded messages to the model. `replayed` are the records of the replay that contain messages to
    and from the model, with their numbers.
    """
    then: dict[str, Mapping[str, Any]] = {}
    for record in commands:
        if record.event == "session.update":
            then |= tool_schemas(object_at(record.message, "session"))
    now: _Schemas = {}
    found: list[Divergence] = []
    seen: set[str] = set()
    for index, record in replayed:
        if record.kind == "model.out" and record.event == "session.update":
            session = object_at(record.message, "session")
            now = tool_schemas(session) if "tools" in session else now
        elif record.kind == "model.in":
            for item in _calls(record):
                name, call_id = str(item.get("name")), str(item.get("call_id"))
                if call_id not in seen and name in then:
                    seen.add(call_id)
                    found += _mismatch(
                        index, record.t, name, str(item.get("arguments") or ""), then[name], now.get(name)
                    )
    return found


def _calls(record: Record) -> Iterator[Mapping[str, Any]]:
    if record.event == "response.output_item.done":
        items: Any = [object_at(record.message, "item")]
    elif record.event == "response.done":
        items = object_at(record.message, "response").get("output")
    else:
        return
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and item.get("type") == "function_call":
            yield item


def _mismatch(
    index: int, t: float, name: str, arguments: str, then: Mapping[str, Any], now: Mapping[str, Any] | None
) -> Iterator[Divergence]:
    if now is None:
        what = f"The recorded model calls {name}, and the agent has no such tool now."
    else:
        known = set(_faults(then, arguments))
        faults = [fault for fault in _faults(now, arguments) if fault not in known]
        if not faults:
            return
        what = f"{name} no longer takes the recorded arguments: {'; '.join(faults)}."
    parameters = "no such tool" if now is None else f"{name}({', '.join(now.get('properties') or {})})"
    yield Divergence("schema", "tools", t, what, f"{name}({arguments})", parameters, index, cause=what)


def _faults(schema: Mapping[str, Any], arguments: str) -> Iterator[str]:
    """Yields a description of each problem with these arguments."""
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        yield "they are not JSON"
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as invalid:
        yield f"the schema of the tool is not valid ({invalid.message})"
        return
    errors = Draft202012Validator(_closed(schema)).iter_errors(value)
    for error in sorted(errors, key=lambda each: list(map(str, each.path))):
        where = ".".join(map(str, error.path))
        if error.validator == "unevaluatedProperties":
            unknown = [name for name in error.instance if name not in (error.schema.get("properties") or {})]
            yield f"{where + ': ' if where else ''}there is no parameter {', '.join(map(repr, unknown))}"
        elif error.validator == "required":
            yield f"{where + ': ' if where else ''}{error.message.replace('a required property', 'required')}"
        else:
            yield f"{where}: {error.message}" if where else error.message


def _closed(schema: Any) -> Any:
    """Returns the schema with unknown properties forbidden, because a function never receives such properties. If the
    schema already defines what is allowed, this definition is kept.
    """
    if not isinstance(schema, Mapping):
        return schema
    closed = dict(schema)
    for name in ("properties", "$defs", "definitions"):
        if isinstance(closed.get(name), Mapping):
            closed[name] = {key: _closed(each) for key, each in closed[name].items()}
    for name in ("anyOf", "oneOf"):
        if isinstance(closed.get(name), list):
            closed[name] = [_closed(each) for each in closed[name]]
    if "items" in closed:
        closed["items"] = _closed(closed["items"])
    if closed.get("additionalProperties", False) is False and isinstance(closed.get("properties"), Mapping):
        closed.pop("additionalProperties", None)
        closed["unevaluatedProperties"] = False
    return closed
