"""Checks for the embedded server whether JSON values of a client agree with the Realtime protocol. Each check raises
`Rejected` with the path of an invalid value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any

from .rejection import Rejected, invalid_type, invalid_value, missing, unknown

__all__ = ["Check", "anything", "boolean", "choice", "either", "integer", "items", "number", "obj", "or_null", "text"]

Check = Callable[[Any, str], None]
"""A function that checks a JSON value. The arguments are the value, and the path of the value in the message. The
function raises `Rejected` for an invalid value.
"""


def anything(value: Any, path: str) -> None:
    """Accepts any JSON value. A `Check` for fields whose values are not checked."""


def text(max_length: int | None = None, pattern: str | None = None) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise invalid_type(path, "a string", value)
        if max_length is not None and len(value) > max_length:
            raise Rejected(
                f"Invalid '{path}': string too long. Expected a string with maximum length {max_length}, "
                f"but got a string with length {len(value)} instead.",
                code="string_above_max_length",
                param=path,
            )
        if pattern is not None and not re.fullmatch(pattern, value):
            message = f"Invalid '{path}': string does not match pattern. Expected a string that matches '^{pattern}$'."
            raise Rejected(message, code="invalid_value", param=path)

    return check


def choice(*supported: str) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise invalid_type(path, "a string", value)
        if value not in supported:
            raise invalid_value(path, value, *supported)

    return check


def boolean(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise invalid_type(path, "a boolean", value)


def _between(kind: str, types: type | UnionType, low: float, high: float) -> Check:
    article = "an integer" if kind == "integer" else "a decimal"

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, types):
            raise invalid_type(path, article, value)
        n: Any = value
        if n < low:
            message, code = f"{kind} below minimum value. Expected a value >= {low}", f"{kind}_below_min_value"
        elif n > high:
            message, code = f"{kind} above maximum value. Expected a value <= {high}", f"{kind}_above_max_value"
        else:
            return
        raise Rejected(f"Invalid '{path}': {message}, but got {value} instead.", code=code, param=path)

    return check


def integer(low: int, high: int) -> Check:
    return _between("integer", int, low, high)


def number(low: float, high: float) -> Check:
    return _between("decimal", int | float, low, high)


def or_null(inner: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def either(word: str, inner: Check) -> Check:
    """Returns a check that accepts the text `word`, and all values that the check `inner` accepts."""

    def check(value: Any, path: str) -> None:
        if value != word:
            inner(value, path)

    return check


def items(inner: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise invalid_type(path, "an array", value)
        for i, element in enumerate(value):
            inner(element, f"{path}[{i}]")

    return check


def obj(fields: Mapping[str, Check], *required: str) -> Check:
    """Returns a check that accepts an object with only the keys of `fields`. The value of each key must pass the check
    of the key. The `required` keys must be present.
    """

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise invalid_type(path, "an object", value)
        for name in value:
            if name not in fields:
                raise unknown(f"{path}.{name}" if path else name)
        for name in required:
            if name not in value:
                raise missing(f"{path}.{name}" if path else name)
        for name, element in value.items():
            fields[name](element, f"{path}.{name}" if path else name)

    return check
