"""Reads and writes the JSON of journals. Pure. The content comes from Twilio, the model and users' code, and may be
invalid. `parse_object` returns None for a text that is not JSON. `dump` replaces each value that JSON does not allow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["MAX_DEPTH", "dump", "parse_object"]

MAX_DEPTH = 64
"""The maximum nesting of a message. Messages of Twilio and OpenAI have less than 12 levels. A deeper message is stored
as text.
"""
_GREATEST = 10**4000
"""The limit for integers. Python does not convert integers of more than 4,300 digits to text or from text."""


def parse_object(text: str | bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any] | None:
    """Returns the JSON object (RFC 8259) in a text. Returns None if there is no object or if its nesting is deeper than
    `max_depth`.

    Accepts lone surrogates and integers of more than 64 bits. Refuses NaN, Infinity and numbers that are too large for
    a float.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, dict):
        return None
    return None if len(text) > 2 * max_depth and _is_deep(value, max_depth) else value


def dump(fields: Mapping[str, Any]) -> str:
    """Returns the fields as the text of one JSON object.

    A value that is not JSON is replaced by its `repr`, a lone surrogate by U+FFFD, NaN and infinity by null, and a
    value that is nested deeper than `MAX_DEPTH` by "...".
    """
    try:
        return orjson.dumps(fields, default=_repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # rare, so this may be slow
        return json.dumps(_plain(fields, MAX_DEPTH), separators=(",", ":"), allow_nan=False)


def _plain(value: Any, depth: int) -> Any:
    """Returns the value with only the types of JSON."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value) if abs(value) < _GREATEST else _repr(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case str():
            return _unicode(value)
        case Mapping() | list() | tuple() if depth == 0:
            return "..."
        case Mapping():
            return {_unicode(str(key)): _plain(each, depth - 1) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, depth - 1) for each in value]
    return _unicode(_repr(value))


def _unicode(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  users' code
        return f"<{type(value).__name__}>"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond a float")
    return number


def _is_deep(value: dict[str, Any], max_depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(max_depth):
        level = [
            each
            for it in level
            for each in (it.values() if type(it) is dict else it)
            if type(each) is dict or type(each) is list
        ]
        if not level:
            return False
    return True
