"""Reads the bodies of the console's requests. Each endpoint that changes something reads the whole body first, also if
it needs nothing of the body: a proxy that loses the body answers 502, and the client repeats its request.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from ..errors import ConsoleError
from ..web.forms import BadForm, read_body

__all__ = ["body_of", "json_of", "text_of"]

_MAX_BYTES = 64 * 1024


async def body_of(request: Request) -> bytes:
    """Returns the body. Raises `ConsoleError` (400, 408 or 413) if the body does not arrive whole or is too large."""
    try:
        return await read_body(request, _MAX_BYTES)
    except BadForm as error:
        raise ConsoleError(error.status, f"This is {error}.") from None


async def json_of(request: Request) -> dict[str, Any]:
    """Returns the JSON object in the body. Returns an empty object for an empty body. Raises `ConsoleError` (400,
    408 or 413) for a body that is not such an object, does not arrive whole, or is too large.
    """
    body = await body_of(request)
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise ConsoleError(400, "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise ConsoleError(400, "The body is not a JSON object.")
    return value


def text_of(body: dict[str, Any], name: str, *, max_chars: int = 200) -> str:
    """Returns the text of the field `name` of a JSON body, without spaces at its ends. Raises `ConsoleError` (400) if
    the text is missing, empty, or longer than `max_chars` characters.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > max_chars:
        raise ConsoleError(400, f"`{name}` has to be a text of 1 to {max_chars} characters.")
    return value.strip()
