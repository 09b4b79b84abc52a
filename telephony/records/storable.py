"""Converts texts, numbers and keys to forms that every database accepts. Pure.

Texts come from forms, from error messages of gateways, or from a model. PostgreSQL refuses NUL in a text, no database
accepts a lone surrogate, and JSON has no NaN. Such parts are replaced, so the record can be stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MAX_KEY_CHARS", "clean_json", "clean_number", "clean_text", "is_key"]

MAX_KEY_CHARS = 64
"""The maximum number of characters in the id of a call, for ids of this application and for Twilio's ids."""
_MAX_INT = 2**31 - 1
_REFUSED = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str, max_chars: int | None = None) -> str:
    """Returns `text` with U+FFFD in place of NUL and of lone surrogates, cut after `max_chars` characters."""
    return _REFUSED.sub("\N{REPLACEMENT CHARACTER}", text[:max_chars])


def clean_number(value: int | float) -> int | float | None:
    """Returns `value`, or None if a database cannot store it, because it is not finite or does not fit an INTEGER
    column (32 bits).
    """
    if isinstance(value, int):
        return value if abs(value) <= _MAX_INT else None
    return value if math.isfinite(value) else None


def clean_json(value: Any) -> Any:
    """Returns a copy of a JSON value that every database accepts. In texts, U+FFFD replaces NUL and lone surrogates.
    null replaces NaN and the infinities.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_json(name): clean_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(each) for each in value]
    return value


def is_key(key: str) -> bool:
    """Returns whether this text can be the id or the `CallSid` of a call."""
    return 0 < len(key) <= MAX_KEY_CHARS and _REFUSED.search(key) is None
