"""Regular expressions that take linear time for every text. Pure.

Python's `re` backtracks: `(a+)+$` needs years for a text of forty characters, and the match cannot be interrupted. The
model writes the arguments of tools, and callers can influence them. Therefore patterns in schemas are matched by Rust's
`regex` crate, a part of pydantic-core (https://docs.rs/regex: linear time, no look-around, no backreferences).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import UserError

__all__ = ["LinearPattern", "check_patterns", "check_schema_patterns", "subschemas"]

_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_LITERALS = frozenset({"default", "enum", "const", "examples", "required"})


class LinearPattern:
    """A pattern of a JSON schema. `search` returns whether the pattern matches anywhere in a text.

    Raises `UserError` for an invalid pattern, and for a pattern that needs backtracking.
    """

    def __init__(self, pattern: str) -> None:
        from pydantic_core import SchemaError, SchemaValidator, core_schema

        try:
            self._validator = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
        except SchemaError:
            raise UserError(
                f"The pattern {pattern!r} cannot be used: it must be a regular expression without look-around and "
                "without backreferences, so that every text is matched in linear time."
            ) from None

    def search(self, text: str) -> bool:
        return self._validator.isinstance_python(text)


def check_patterns(core_schema: Any, what: str) -> None:
    """Raises `UserError` if a pydantic schema would match texts with Python's `re`. This is the case for a compiled
    pattern, and if `regex_engine` is `python-re`. `what` names the schema in the message.
    """
    waiting, seen = [core_schema], set[int]()
    patterns: list[Any] = []
    backtracks = False
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (dict, list, tuple)) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            backtracks = backtracks or node.get("regex_engine") == "python-re"
            if node.get("type") == "str" and "pattern" in node:
                patterns.append(node["pattern"])
            waiting.extend(node.values())
        else:
            waiting.extend(node)
    if any(backtracks or isinstance(pattern, re.Pattern) for pattern in patterns):
        raise UserError(
            f"{what}: Python's `re` would match a pattern, which can take forever for some texts. Write the pattern as "
            "text, without look-around, and leave out regex_engine='python-re'."
        )


def subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yields a JSON schema and all schemas in it, without following references."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, Mapping):
            yield node
            for key, value in node.items():
                if key in _NAMED_SCHEMAS and isinstance(value, Mapping):
                    waiting.extend(value.values())
                elif key not in _LITERALS:
                    waiting.append(value)


def check_schema_patterns(schema: Mapping[str, Any]) -> None:
    """Raises `UserError` for a JSON schema with a pattern that cannot be matched in linear time, or with
    `patternProperties`.
    """
    for each in subschemas(schema):
        if isinstance(each.get("pattern"), str):
            LinearPattern(each["pattern"])
        if "patternProperties" in each:
            raise UserError("patternProperties cannot be used: name the properties, or allow all of them.")
