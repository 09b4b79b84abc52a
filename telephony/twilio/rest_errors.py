"""Converts exceptions of Twilio's library to `TwilioError`, with advice for the user. Pure."""

from __future__ import annotations

import json
from typing import Any

from twilio.base.exceptions import TwilioException

from ..errors import (
    TwilioAuthError,
    TwilioError,
    TwilioInvalidState,
    TwilioNotFound,
    TwilioRateLimited,
    TwilioRejected,
    TwilioServerError,
)
from ..masking import mask_numbers

__all__ = ["error_of", "one_line"]

_MAX_CHARS = 400

_BY_CODE: dict[int, type[TwilioError]] = {
    20003: TwilioAuthError,
    20404: TwilioNotFound,
    20429: TwilioRateLimited,
    21220: TwilioInvalidState,
}

_ADVICE = {
    10001: "The account is not active: see the Twilio Console.",
    10004: "Too many calls at once for this account: wait for one to end, or have the limit raised.",
    13214: "Use a caller id that is the caller's, the called number's or a verified one.",
    21205: "The URL has to be an absolute one, without underscores in its host name.",
    21206: "Digits to send are 0-9, A-D, #, * and w (half a second) or W (a second), 32 at most.",
    21210: "`from_` has to be a number of this account, or one that was verified.",
    21211: "Write the number in E.164, like +14155550100.",
    21212: "Write `from_` in E.164, like +14155550100.",
    21214: "This number cannot be reached.",
    21215: "Allow calls to this country: Console, Voice, Geographic permissions.",
    21216: "Twilio does not call this number.",
    21217: "This number is not valid.",
    21219: "A trial account calls verified numbers only: verify it, or upgrade.",
}
"""Advice by error code. Source: https://www.twilio.com/docs/api/errors"""


def error_of(error: TwilioException) -> TwilioError:
    """Returns a `TwilioError` for an exception of Twilio's library.

    The library has two kinds of exceptions, which share only some fields: `TwilioRestException`, and
    `TwilioServiceException` for bodies as in RFC 9457. A listing that fails raises another exception, which contains
    the response. This exception contains nothing if the response could not be read.
    """
    fields = vars(error)
    if "status" not in fields and len(error.args) > 1:
        fields = _answer(error.args[1])
    status, code = _number(fields.get("status")), _number(fields.get("code"))
    message = fields.get("detail") or fields.get("msg") or fields.get("message") or fields.get("title")
    kind = _BY_CODE.get(code or 0) or _by_status(status)
    if status is None or message is None:
        message = f"{error.args[0] if error.args else error.__class__.__name__}"
    text = one_line(message).rstrip(".")
    verb = "failed" if kind is TwilioServerError else "said no"
    return kind(f"Twilio {verb}: {text}.", status=status, code=code, advice=_ADVICE.get(code or 0))


def one_line(text: object) -> str:
    """Returns the text of a server's response as one line for error messages and logs: printable characters only,
    without phone numbers, and cut if it is long. The text may come from a gateway and not from Twilio, so it can have
    any content.
    """
    printable = "".join(c if c.isprintable() else " " for c in str(text)[: 2 * _MAX_CHARS])
    return mask_numbers(" ".join(printable.split()))[:_MAX_CHARS]


def _answer(response: Any) -> dict[str, Any]:
    """Returns the error data in a `twilio.http.response.Response`."""
    try:
        body = json.loads(response.text)
    except (AttributeError, TypeError, ValueError):
        body = None
    return {**(body if isinstance(body, dict) else {}), "status": getattr(response, "status_code", None)}


def _by_status(status: int | None) -> type[TwilioError]:
    match status:
        case 401 | 403:
            return TwilioAuthError
        case 404:
            return TwilioNotFound
        case 429:
            return TwilioRateLimited
        case int() if status < 500:
            return TwilioRejected
        case _:  # without a status it is unknown whether the request was executed
            return TwilioServerError


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else int(value) if isinstance(value, str) and value.isdigit() else None
