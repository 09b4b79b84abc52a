"""The softphone: a page that rings the agent in the place of Twilio, over the real webhook and the real media stream.

Everybody may have the page; what it does needs this machine or the bearer token (`Guard.admits_operator`). Where
requests have to be signed, a browser cannot: then this module signs for the page whose user it has let in.
"""

from __future__ import annotations

import hmac
import mimetypes
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Message, Scope
from starlette.websockets import WebSocket
from twilio.request_validator import RequestValidator

from ..twilio.signature import public_address, websocket_address

if TYPE_CHECKING:
    from ..web.phone import Phone

__all__ = ["routes"]

_MAX_FORM_BYTES = 16 * 1024
_FILES = {file.name: file for file in (files(__package__) / "static").iterdir()}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[BaseRoute]:
    return [
        Route("/console/phone", page),
        Route("/console/phone/about", about),
        Route("/console/phone/dial", dial, methods=["POST"]),
        Route("/console/phone/feed/{call_sid}", feed),
        WebSocketRoute("/console/phone/media-stream", media_stream),
        Route("/console/phone/{name}", static),
    ]


async def page(request: Request) -> Response:
    return _file("phone.html")


async def static(request: Request) -> Response:
    return _file(request.path_params["name"])


def _file(name: str) -> Response:
    if name not in _FILES:
        return PlainTextResponse("Not Found", status_code=404)
    kind = mimetypes.guess_type(name)[0]
    return Response(_FILES[name].read_bytes(), media_type=kind, headers=_HEADERS)


async def about(request: Request) -> Response:
    """Who answers, and what the page has to say to be let in as a call."""
    phone: Phone = request.app.state.phone
    if (refusal := _refusal(request)) is not None:
        return refusal
    settings = phone.settings
    return JSONResponse(
        {
            "agents": phone.routing.names,
            "model": _model(phone),
            "account_sid": settings.twilio_account_sid,
            "number": settings.twilio_phone_number,
            "instance": phone.instance,
        }
    )


async def dial(request: Request) -> Response:
    """What the voice webhook answers to this form. The header `X-Ticket`, where there is one, opens `media_stream`."""
    from ..web.webhooks import incoming_call

    phone: Phone = request.app.state.phone
    if (refusal := _refusal(request)) is not None:
        return refusal
    body = await _body(request)
    if body is None:
        return PlainTextResponse("This form is too long.", status_code=413)
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    url = public_address(phone.settings.public_url or "", "/incoming-call")
    response = await incoming_call(Request(_signed(phone, request, "/incoming-call", url, form), replay))
    if phone.settings.checks_signatures:
        response.headers["X-Ticket"] = _ticket(phone, form.get("CallSid", ""))
    return response


async def media_stream(websocket: WebSocket) -> None:
    """The media stream, for a page that has dialled. What comes with `start` is checked as it always is."""
    from ..web import media_streams

    phone: Phone = websocket.app.state.phone
    call_sid, given = websocket.query_params.get("call", ""), websocket.query_params.get("ticket", "")
    if not hmac.compare_digest(given.encode(), _ticket(phone, call_sid).encode()):
        await websocket.close(1008)
        return
    url = websocket_address(phone.settings.public_url or "", "/media-stream")
    scope = _signed(phone, websocket, "/media-stream", url, {})
    await media_streams.media_stream(WebSocket(scope, websocket.receive, websocket.send))


async def feed(request: Request) -> Response:
    """The journal of the call that will begin with this CallSid, as server-sent events."""
    phone: Phone = request.app.state.phone
    if (refusal := _refusal(request)) is not None:
        return refusal
    if phone.feeds.full:
        return PlainTextResponse("Too many pages follow calls.", status_code=503)

    async def events() -> AsyncIterator[bytes]:
        with phone.feeds.follow(request.path_params["call_sid"]) as following:
            yield b": follows\n\n"
            async for record in following.records():
                yield (
                    b": nothing new\n\n" if record is None else b"data: " + orjson.dumps(record, default=repr) + b"\n\n"
                )

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


# --- who may -----------------------------------------------------------------------------------------------------


def _refusal(request: Request) -> Response | None:
    phone: Phone = request.app.state.phone
    if phone.guard.admits_operator(request):
        return None
    return PlainTextResponse("This needs the bearer token TELEPHONY_API_TOKEN (set it, if it is not).", status_code=401)


def _signed(phone: Phone, connection: HTTPConnection, path: str, url: str, form: dict[str, str]) -> Scope:
    """The connection as if it had come from Twilio, to `path`."""
    headers = connection.scope["headers"]
    if (token := phone.settings.twilio_auth_token) is not None:
        signature = RequestValidator(token.get_secret_value()).compute_signature(url, form)
        headers = [*headers, (b"x-twilio-signature", signature.encode())]
    return {**connection.scope, "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": headers}  # fmt: skip


def _ticket(phone: Phone, call_sid: str) -> str:
    """Opens the stream of this call alone. The stream's own token sees to it that it is opened once, and in time."""
    token = phone.settings.twilio_auth_token
    key = b"" if token is None else token.get_secret_value().encode()
    return hmac.digest(key, b"softphone\0" + call_sid.encode(), "sha256").hex()


async def _body(request: Request) -> bytes | None:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return None
    return body


def _model(phone: Phone) -> str:
    if phone.defaults.model is not None:
        return "a model of its own"
    if phone.settings.wants_script:
        return "an embedded script, no AI"
    return phone.settings.telephony_model_name or "OpenAI Realtime"
