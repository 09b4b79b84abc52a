"""The responses to requests for an unknown URL, and to requests before the application has started.

If a webhook is refused, the caller hears "an application error has occurred", and only Twilio's debugger shows the
reason. Therefore a log line says what must be corrected.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..errors import SettingsError
from ..logs import Repeats
from ..settings import Settings, read_settings
from ..twilio import twiml
from ..urls import origin, public_address
from .forms import BadForm, read_forms
from .middleware import base_of, root_of
from .phone_server import PhoneServer, phone_of

__all__ = ["NotStartedAnswer", "no_such_address", "unknown_path"]


class NotStartedAnswer:
    """An exception handler for `NotStarted`, which a request raises if the application was not started (its ASGI
    lifespan was not run). The caller hears an apology, and a log line says what must be corrected.

    `settings` are the settings of the application. With None, the settings of the environment are used.
    """

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._repeats = Repeats(logging.getLogger(__name__))

    async def __call__(self, connection: Request | WebSocket, error: Exception) -> Any:
        self._repeats.error("not started", str(error))
        if isinstance(connection, WebSocket):
            await connection.close(1013)  # before `accept` this is HTTP 403
            return None
        if getattr(connection.state, "wants_twiml", False):
            return Response(twiml.say_and_hang_up(self._apology), media_type="text/xml")
        return JSONResponse({"status": "not started", "error": str(error)}, status_code=503)

    @cached_property
    def _apology(self) -> str:
        try:
            return (self._settings or read_settings()).telephony_apology
        except SettingsError:
            return str(Settings.model_fields["telephony_apology"].default)


async def no_such_address(request: Request, error: Exception) -> Response:
    """Returns the response to a request for an unknown path (404), or with an HTTP method that the path does not allow
    (405).
    """
    assert isinstance(error, HTTPException)
    phone: PhoneServer | None = getattr(request.app.state, "phone", None)
    if phone is not None and await _is_twilios(request, phone):
        path, status = request.url.path, error.status_code
        phone.authenticator.refuse(
            str(status),
            f"Refused a webhook ({status}): Twilio sent {request.method} {path!r}, which is not an address of this "
            f"server. {_remedy(request, phone)}",
            kind=f"{status} {path}",
        )
    return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)


async def unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    """The endpoint of all unknown paths. Refuses WebSockets, and raises 404 for HTTP requests (see
    `no_such_address`).
    """
    if scope["type"] != "websocket":
        raise HTTPException(404)
    websocket = WebSocket(scope, receive, send)
    phone = phone_of(websocket)
    if phone.authenticator.admits_stream(websocket):
        path = websocket.url.path
        phone.authenticator.refuse(
            "404",
            f"Refused a media stream (404): Twilio opened {path!r}, which is not an address of this server. A proxy "
            f"must forward the path after PUBLIC_URL ({phone.settings.public_url}).",
            kind=f"404 {path}",
        )
    await websocket.close(1008)


async def _is_twilios(request: Request, phone: PhoneServer) -> bool:
    """Returns whether Twilio signed the request. If signatures are not checked, returns whether the request is a form
    about a call.
    """
    authenticator = phone.authenticator
    if phone.settings.checks_signatures and "x-twilio-signature" not in request.headers:
        return False  # most unknown paths come from scanners
    try:
        forms = await read_forms(request)
    except BadForm:
        return False
    if phone.settings.checks_signatures:
        kept = _url_with_whole_path(request, phone)
        if any(authenticator.is_signed(request, form, url) for form in forms for url in {None, kept}):
            return True
        path = request.url.path
        authenticator.refuse(
            "404", f"Refused a request for {path!r}: its signature is invalid, and the path is unknown."
        )
        return False
    return request.method == "POST" and "CallSid" in forms[0]


def _url_with_whole_path(request: Request, phone: PhoneServer) -> str | None:
    """Returns the URL that Twilio uses if a proxy does not remove the path of PUBLIC_URL from requests. Returns None if
    PUBLIC_URL has no path.
    """
    public_url = phone.settings.public_url or ""
    if not urlsplit(public_url).path:
        return None
    return public_address(origin(public_url), request.url.path, request.url.query)


def _remedy(request: Request, phone: PhoneServer) -> str:
    webhook = base_of(request, phone.settings.public_url) + "/incoming-call"
    path = request.url.path.removeprefix(root_of(request)).rstrip("/")
    if path.endswith("/media-stream"):
        return "This is the address of media streams. Check that the proxy forwards WebSocket upgrades."
    if path == "/incoming-call":
        return f"Set the number's webhook to {webhook}, without a slash at its end."
    if path.endswith("/incoming-call"):
        return (
            f"Set the number's webhook to {webhook}. If {path.removesuffix('/incoming-call')!r} is a proxy's prefix, "
            "let the proxy remove it, and let PUBLIC_URL end with it."
        )
    return f"Set the number's voice webhook to {webhook}."
