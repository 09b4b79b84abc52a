"""Parses JSON that contains half of a surrogate pair, for example in a text that was cut within an emoji. The library
`orjson` refuses such JSON. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["loads"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(message: str | bytes) -> Any:
    """Parses JSON. Half of a surrogate pair becomes U+FFFD. As in orjson, an integer of more than 64 bits becomes a
    float, and NaN and Infinity are refused.

    Raises:
        ValueError, RecursionError: the message is not JSON, or is nested too deep.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    def integer(digits: str) -> int | float:
        return int(digits) if len(digits) < 19 else float(digits)

    return _whole(json.loads(message, parse_constant=refuse, parse_int=integer))


def _whole(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {_whole(key): _whole(each) for key, each in value.items()}
        case _:
            return value
