"""Finds the media stream messages in a text, such as a line of a log. Pure.

A message may have other text around it, be one of several in a list, or be a value in another JSON object, also as a
string. Servers log messages in all of these forms.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

__all__ = ["messages_in"]

_BEGIN = re.compile(r'\{\s*"(?:event|sequenceNumber|streamSid|start|media|dtmf|mark|stop|connected)"\s*:')
_MAX_LAYERS = 10
_MAX_BROKEN = 100
_DECODER = json.JSONDecoder()
"""Python's decoder, because it finds the end of an object within a text, and accepts half of a surrogate pair."""


def messages_in(text: str) -> Iterator[dict[str, Any]]:
    """Yields the messages of Twilio media streams in a text, such as a line of a log, in the order in which they stand
    in the text.

    Raises:
        ValueError: the text contains a message that cannot be read. The messages before it were yielded.
    """
    begin = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if begin < 0 or "event" not in text:
        return
    try:
        value = orjson.loads(text[begin : max(text.rfind("}"), text.rfind("]")) + 1])
    except orjson.JSONDecodeError:
        yield from _scanned(text)
    else:
        yield from _inside(value, _MAX_LAYERS)


def _inside(value: Any, layers: int) -> Iterator[dict[str, Any]]:
    """Yields the messages in a JSON value, which may contain JSON as strings."""
    match value:
        case {"event": str()}:
            yield value
        case dict() | list() if layers:
            for each in value.values() if isinstance(value, dict) else value:
                yield from _inside(each, layers - 1)
        case str() if layers and "event" in value and "{" in value:
            try:
                inner = orjson.loads(value)
            except orjson.JSONDecodeError:
                yield from _scanned(value)
            else:
                yield from _inside(inner, layers - 1)


def _scanned(text: str) -> Iterator[dict[str, Any]]:
    """Yields each message that begins somewhere in the text."""
    if '{""' in text:  # a field of CSV, with its quotes doubled
        text = text.replace('""', '"')
    if "{'" in text:  # a dictionary that a program in Python printed
        text = _from_python(text)
    at, broken = 0, 0
    while broken < _MAX_BROKEN and (found := _BEGIN.search(text, at)) is not None:
        try:
            value, at = _DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at, broken = found.end(), broken + 1
        else:
            yield from _inside(value, 0)
    looks_like_one = "streamSid" in text or '"media' in text or "media\\" in text
    if looks_like_one and (broken or not at):
        raise ValueError("the message is truncated, or not JSON")


def _from_python(text: str) -> str:
    """Returns the dictionary in the text as JSON, or the text unchanged if there is none."""
    try:
        printed = ast.literal_eval(text[text.index("{'") : text.rindex("}") + 1])
        return json.dumps(printed)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
