"""Reads the bodies and forms of requests, with size and time limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect, Request

__all__ = ["BODY_S", "MAX_FIELDS", "MAX_FORM_BYTES", "BadForm", "Form", "discard_body", "read_body", "read_forms"]

MAX_FORM_BYTES = 16 * 1024
"""The maximum size of a form in a request, in bytes. Twilio's webhooks have 1 to 3 kB."""
MAX_FIELDS = 100
BODY_S = 15.0
"""The maximum time in seconds for receiving the body of a request."""


class BadForm(Exception):
    """Raised for a request body that cannot be read. `status` is the HTTP status of the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Form(ImmutableMultiDict[str, str]):
    """The fields of a form in the body or query of a request. `signed` is the form as input for the check of Twilio's
    signature.
    """

    @cached_property
    def signed(self) -> Mapping[str, str]:
        """The form as input for Twilio's signature: a mapping with one field, whose name is empty and whose value joins
        all names and values in alphabetical order. Twilio's validator joins the fields of a form to the same text, so
        the signature is the same.

        The value is computed once, because a request may need several checks. Source:
        https://www.twilio.com/docs/usage/webhooks/webhooks-security
        """
        return {"": "".join(f"{name}{value}" for name, value in sorted(set(self.multi_items())))}


async def read_forms(request: Request) -> tuple[Form, ...]:
    """Returns the form in the body of a POST request, or in the query of another request. Empty fields are kept,
    because Twilio signs them.

    If the bytes are UTF-8, returns one reading of the form. Otherwise returns two readings: one as Latin-1, and one
    with U+FFFD in place of invalid bytes. The signature shows which reading Twilio signed.

    Raises:
        BadForm: the body cannot be read (see `read_body`), or the form has too many fields.
    """
    if request.method != "POST":
        return (Form(request.query_params.multi_items()),)
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        try:
            return (_parse(body.decode(), "utf-8", "strict"),)
        except UnicodeDecodeError:
            text = body.decode("latin-1")
            return _parse(text, "latin-1", "strict"), _parse(text, "utf-8", "replace")
    except ValueError:
        raise BadForm(400, f"a form of more than {MAX_FIELDS} fields") from None


def _parse(text: str, encoding: str, errors: str) -> Form:
    return Form(parse_qsl(text, keep_blank_values=True, encoding=encoding, errors=errors, max_num_fields=MAX_FIELDS))


async def read_body(request: Request, max_bytes: int, within_s: float = BODY_S) -> bytes:
    """Returns the body of a request, which must arrive within `within_s` seconds.

    Raises:
        BadForm: the body is longer than `max_bytes`, the body did not arrive within `within_s` seconds, or the peer has
            closed the connection.
    """
    too_long = BadForm(413, f"a body of more than {max_bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_long
    except ClientDisconnect:
        raise BadForm(400, "a body that ends before its length") from None
    except TimeoutError:
        raise BadForm(408, f"a body that did not arrive within {within_s:g} s") from None
    return bytes(body)


async def discard_body(request: Request, max_bytes: int, within_s: float = BODY_S) -> None:
    """Reads and drops the rest of a request body, at most `max_bytes` bytes within `within_s` seconds. The peer can
    then receive the response.

    A peer that is still sending when the connection is closed gets a connection error and no response.
    """
    left = max_bytes
    with contextlib.suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
