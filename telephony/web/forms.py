"""Reads the forms that Twilio posts."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

__all__ = ["BadForm", "Form", "read_form"]

Form = ImmutableMultiDict[str, str]

MAX_BYTES = 64 * 1024
_MAX_FIELDS = 200


class BadForm(Exception):
    """Not a form that Twilio would send. `status` is the HTTP status for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_form(request: Request) -> Form:
    """The body of a POST, the query of a GET. Empty fields stay: they are signed, too.

    Raises:
        BadForm: the body is too long, or not a form.
    """
    if request.method != "POST":
        return request.query_params
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BadForm(413, f"a body of more than {MAX_BYTES} bytes")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise BadForm(400, "a body that is no form") from None
    return ImmutableMultiDict(fields)
