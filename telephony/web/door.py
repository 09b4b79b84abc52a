"""Lets Twilio's requests in. A request that is refused leaves one log line, which says what to correct.

Twilio's callers hear "an application error has occurred" where a webhook is refused, and the reason is in Twilio's
debugger only. So the log has to tell it. What outsiders send is logged once a minute for each kind.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .entrance import base_of, root_of
from .forms import BadForm, Form, read_forms
from .phone import Phone, phone_of

__all__ = ["WebhookRefused", "admit", "no_such_address", "nowhere"]

_SID = re.compile(r"[A-Za-z0-9]{1,64}")


class WebhookRefused(Exception):
    """`response` is the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def admit(request: Request, phone: Phone) -> Form:
    """The form of a webhook that Twilio sent; `CallSid` is there and well formed.

    Raises:
        WebhookRefused: it is not Twilio's, or it cannot be read. The log has a line about it.
    """
    guard, path = phone.guard, request.url.path
    if not guard.admits_headers(request):
        raise WebhookRefused(_forbidden(None, None))
    if request.method != "POST" and not phone.settings.checks_signatures:
        guard.refuse("method", f"Refused a {request.method} of {path!r}: without a signature it has to be a POST. "
                               "Set the webhook's method to HTTP POST.")  # fmt: skip
        raise WebhookRefused(
            PlainTextResponse("Without a signature only POST is taken.", status_code=405, headers={"Allow": "POST"})
        )
    try:
        forms = await read_forms(request)
    except BadForm as error:
        guard.refuse("form", f"Refused a webhook to {path!r}: {error}. Twilio sends forms of 1 to 3 kB.")
        raise WebhookRefused(PlainTextResponse(f"This is {error}.", status_code=error.status)) from None
    form = guard.choose(request, forms)
    if not isinstance(form, Form):
        raise WebhookRefused(_forbidden(form.signed_for, form.expected))
    if not _SID.fullmatch(form.get("CallSid", "")):
        guard.refuse(
            "no CallSid",
            f"Refused a webhook to {path!r}: it has no CallSid. Only the voice webhook and the callbacks of calls "
            "belong here; is a messaging webhook set to this address?",
        )
        raise WebhookRefused(PlainTextResponse("This request has no CallSid.", status_code=400))
    return form


def _forbidden(signed_for: str | None, expected: str | None) -> Response:
    if signed_for is None:
        return PlainTextResponse("This request is not signed by Twilio.", status_code=403)
    error = "This request is signed for another address than PUBLIC_URL makes it."
    return JSONResponse({"error": error, "signed_for": signed_for, "expected": expected}, status_code=403)


async def no_such_address(request: Request, error: Exception) -> Response:
    """The answer to a path that is not there (404), or not for this method (405)."""
    assert isinstance(error, HTTPException)
    phone: Phone | None = getattr(request.app.state, "phone", None)
    if phone is not None and await _is_twilios(request, phone):
        path, status = request.url.path, error.status_code
        phone.guard.refuse(
            str(status),
            f"Refused a webhook ({status}): Twilio asked for {request.method} {path!r}, which is not an address of "
            f"this server. {_cure(request, phone)}",
            kind=f"{status} {path}",
        )
    return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Where a path leads that no route has. Requests come to `no_such_address`; WebSockets are refused here."""
    if scope["type"] != "websocket":
        raise HTTPException(404)
    websocket = WebSocket(scope, receive, send)
    phone = phone_of(websocket)
    if phone.guard.admits_stream(websocket):
        path = websocket.url.path
        phone.guard.refuse(
            "404",
            f"Refused a media stream (404): Twilio asked for {path!r}, which is not an address of this server. A proxy "
            f"has to pass on the path that comes after PUBLIC_URL ({phone.settings.public_url}).",
            kind=f"404 {path}",
        )
    await websocket.close(1008)


async def _is_twilios(request: Request, phone: Phone) -> bool:
    """Is it signed by Twilio; or, where nothing is signed, is it a form about a call, from this machine?"""
    guard = phone.guard
    if phone.settings.checks_signatures and "x-twilio-signature" not in request.headers:
        return False  # scanners ask for much
    try:
        forms = await read_forms(request)
    except BadForm:
        return False
    if phone.settings.checks_signatures:
        if any(guard.is_signed(request, form) for form in forms):
            return True
        guard.refuse("404", f"Refused a request for {request.url.path!r}: it has a signature that does not fit, and "
                            "nothing is there.")  # fmt: skip
        return False
    return request.method == "POST" and "CallSid" in forms[0]


def _cure(request: Request, phone: Phone) -> str:
    webhook = base_of(request, phone.settings.public_url) + "/incoming-call"
    path = request.url.path.removeprefix(root_of(request)).rstrip("/")
    if path.endswith("/media-stream"):
        return "This is the address of media streams: does the proxy pass on WebSocket upgrades?"
    if path == "/incoming-call":
        return f"Set the number's webhook to {webhook}, without a slash at its end."
    if path.endswith("/incoming-call"):
        return (
            f"Set the number's webhook to {webhook}. If {path.removesuffix('/incoming-call')!r} is a proxy's prefix, "
            "have the proxy remove it, and let PUBLIC_URL end with it."
        )
    return f"Set the number's voice webhook to {webhook}."
