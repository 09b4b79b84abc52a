"""Creates example arguments for a tool from its JSON schema: only the required arguments, as simple as possible. Pure.

A value comes from the first available source: `const`, `examples`, `default`, `enum`, the format, the name of the
property, the type with its limits. If the value violates the schema (for example most patterns), the tool reports the
violation. A recursive or invalid schema takes no more time than other schemas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["example_arguments"]

_FORMATS = {
    "date": "2026-11-20",
    "time": "19:00:00",
    "date-time": "2026-11-20T19:00:00Z",
    "duration": "PT30M",
    "email": "ada@example.com",
    "uri": "https://example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}
_NAMES: dict[str, Any] = {
    "day": "Friday",
    "date": "2026-11-20",
    "time": "19:00",
    "people": 2,
    "guests": 2,
    "phone": "+14155550123",
    "email": "ada@example.com",
    "name": "Ada",
    "city": "Verona",
    "query": "opening hours",
}
"""Example values by the last word of a property's name."""

_MAX_DEPTH = 8
_MAX_STEPS = 1_000
"""The maximum number of visited schemas. A schema with two references to itself would double the number at each
step.
"""
_MAX_LENGTH = 1_000
"""The maximum length of texts and arrays."""
_DEEP = 4
"""The depth from which a nullable value is null, so a recursive schema ends."""


def example_arguments(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns example arguments for a function whose `parameters` is this JSON schema. Returns an empty dict for None,
    and for an invalid schema.
    """
    try:
        value = _Example(schema or {}).of(schema or {}, "", 0)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):  # the schema is invalid
        return {}
    return value if isinstance(value, dict) else {}


class _Example:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def of(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return None
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("examples"):
            return schema["examples"][0]
        if "default" in schema:
            return schema["default"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = _type(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        hint = _NAMES.get(name.lower().replace("-", "_").rsplit("_", 1)[-1])
        if kind == "string":
            return _string(schema, hint if isinstance(hint, str) else "example")
        if kind in ("integer", "number"):
            return _number(schema, kind, hint if isinstance(hint, int) else 1)
        return {"boolean": True}.get(kind)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        return {key: self.of(properties.get(key, {}), key, depth + 1) for key in schema.get("required", ())}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        prefix = [self.of(element, name, depth + 1) for element in schema.get("prefixItems", ())]
        wanted = min(max(schema.get("minItems", 1), len(prefix)), schema.get("maxItems", 8), _MAX_LENGTH)
        one = self.of(schema.get("items", {}), name.removesuffix("s"), depth + 1)
        return (prefix + [one] * wanted)[:wanted]

    def _resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Returns the schema with resolved references and merged `allOf`. Of `anyOf` and `oneOf`, uses the first
        choice, or null at great depth.
        """
        for _ in range(_MAX_DEPTH):
            self._steps += 1
            if self._steps > _MAX_STEPS or depth > _MAX_DEPTH:
                break
            if "$ref" in schema:
                schema = {**self._target(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
            elif schema.get("allOf"):
                merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
                for part in (self._resolved(part, depth + 1) for part in schema["allOf"]):
                    properties = {**merged.get("properties", {}), **part.get("properties", {})}
                    required = [*merged.get("required", ()), *part.get("required", ())]
                    merged = {**part, **merged}
                    merged |= ({"properties": properties} if properties else {}) | (
                        {"required": required} if required else {}
                    )
                schema = merged
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                null = depth >= _DEEP
                best = next((choice for choice in choices if (choice.get("type") == "null") == null), choices[0])
                schema = {**best, **{k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}}
            else:
                break
        return schema

    def _target(self, ref: str) -> Mapping[str, Any]:
        target: Any = self._root
        for part in ref.removeprefix("#/").split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, Mapping) else {}
        return target if isinstance(target, Mapping) else {}


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _string(schema: Mapping[str, Any], hint: str) -> str:
    value = _FORMATS.get(schema.get("format", ""), hint)
    value = value.ljust(min(schema.get("minLength", 0), _MAX_LENGTH), "x")
    return value[: schema.get("maxLength", len(value))]


def _number(schema: Mapping[str, Any], kind: str, hint: int) -> int | float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    step = schema.get("multipleOf", 1 if kind == "integer" else 0)
    smallest = 1 if kind == "integer" else 1e-3
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + smallest)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - smallest)
    value: int | float = min(max(hint, low), high)
    if step:
        value = math.ceil(value / step) * step
        value = value if value <= high else math.floor(high / step) * step
    return int(value) if kind == "integer" else value
