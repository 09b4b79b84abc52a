"""The softphone (a phone in the browser): a page that calls the agent in place of Twilio. The page uses the real
webhook and the real media stream.

The page itself is public. A call needs a login with the scope `control`. The webhooks accept only requests with
Twilio's signature, and a browser cannot sign. Therefore this module checks the login, and then signs the requests of
the page.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Message
from starlette.types import Scope as AsgiScope
from starlette.websockets import WebSocket

from ..journal.encoding import dump
from ..twilio import twiml
from ..twilio.signature import sign
from ..urls import public_address, websocket_address
from ..web import media_streams as streams
from ..web import webhooks
from ..web.forms import MAX_FORM_BYTES, BadForm, read_body
from ..web.middleware import base_of, root_of
from ..web.phone_server import BROWSER, PhoneServer, phone_of
from .access import Scope
from .console import console_of

__all__ = ["routes"]

_WEBHOOKS = {
    "incoming-call": webhooks.incoming_call,
    "after-stream": webhooks.after_stream,
    "after-dial": webhooks.after_dial,
}


def routes() -> list[BaseRoute]:
    return [
        Route("/console/phone/about", about),
        Route("/console/phone/webhook/{name}", webhook, methods=["POST"]),
        Route("/console/phone/feed/{call_sid}", feed),
        WebSocketRoute("/console/phone/media-stream", media_stream),
    ]


async def about(request: Request) -> Response:
    """Returns the data that the page of the softphone needs, as JSON: the agents, the model and the URLs."""
    console = console_of(request)
    phone = console.phone
    await console.access.admit(request, Scope.VIEW)
    settings = phone.settings
    return JSONResponse(
        {
            "agents": phone.routing.names,
            "model": _model(phone),
            "account_sid": settings.twilio_account_sid,
            "number": settings.twilio_phone_number,
            "public_url": settings.public_url,
            "instance": phone.instance,
        }
    )


async def webhook(request: Request) -> Response:
    """Passes a request of the page to the webhook `name` as if Twilio had sent it, and returns the response. The
    parameters of the URL become the custom parameters of the call's media stream. If the response has the header
    `X-Ticket`, the page must connect to `/console/phone/media-stream` with the value of this header as `?ticket=`.
    """
    console = console_of(request)
    phone = console.phone
    endpoint = _WEBHOOKS.get(name := request.path_params["name"])
    if endpoint is None:
        return PlainTextResponse("Not Found", status_code=404)
    grant = await console.access.admit(request, Scope.CONTROL)
    try:
        body = await read_body(request, MAX_FORM_BYTES)
    except BadForm as error:
        return PlainTextResponse(f"This is {error}.", status_code=error.status)
    parameters = dict(request.query_params)
    if any(not twiml.fits(*pair) for pair in parameters.items()):
        return PlainTextResponse(
            "The name and value of a parameter must have fewer than 500 characters together.", status_code=400
        )
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    grant.demand(Scope.CONTROL, form.get("To", ""))

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    url = public_address(base_of(request, phone.settings.public_url), f"/{name}")
    response = await endpoint(Request(_as_twilio(phone, request, f"/{name}", url, form, parameters), replay))
    if phone.settings.checks_signatures or phone.control is not None:
        response.headers["X-Ticket"] = _ticket(phone, form.get("CallSid", ""))
    return response


async def media_stream(websocket: WebSocket) -> None:
    """Serves the media stream of a softphone over a WebSocket. The `start` message is checked as for any other
    stream.
    """
    phone = phone_of(websocket)
    call_sid, given = websocket.query_params.get("call", ""), websocket.query_params.get("ticket", "")
    if not hmac.compare_digest(given.encode(), _ticket(phone, call_sid).encode()):
        await websocket.close(1008)
        return
    url = websocket_address(base_of(websocket, phone.settings.public_url), "/media-stream")
    scope = _as_twilio(phone, websocket, "/media-stream", url, {}, {})
    await streams.media_stream(WebSocket(scope, websocket.receive, websocket.send))


async def feed(request: Request) -> Response:
    """Returns the journal records of one call, as they are written, as server-sent events for the page of the
    softphone. The path has the CallSid. The page can connect before the call starts.
    """
    console = console_of(request)
    call = console.phone.registry.call(request.path_params["call_sid"])
    await console.access.admit(request, Scope.VIEW, number=None if call is None else call.called)
    if console.feeds.full:
        return PlainTextResponse("Too many pages follow calls.", status_code=503)

    async def events() -> AsyncIterator[bytes]:
        with console.feeds.follow(request.path_params["call_sid"]) as following:
            yield b": follows\n\n"
            async for record in following.records():
                yield (b": nothing new\n\n" if record is None else b"data: " + dump(record).encode() + b"\n\n")

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


# --- access -----------------------------------------------------------------------------------------------------


def _as_twilio(
    phone: PhoneServer,
    connection: HTTPConnection,
    path: str,
    url: str,
    form: Mapping[str, str],
    parameters: Mapping[str, str],
) -> AsgiScope:
    """Returns the ASGI scope of the connection as if Twilio had sent the request to `path`. The scope is marked,
    because Twilio's REST API does not know such a call.
    """
    signed = sign(phone.settings.signing_keys, url, form).items()
    headers = [*connection.scope["headers"], *((name.lower().encode(), value.encode()) for name, value in signed)]
    root = root_of(connection)
    path = root + path
    return {**connection.scope, "path": path, "raw_path": path.encode(), "root_path": root, "query_string": b"",
            "headers": headers, BROWSER: parameters}  # fmt: skip


def _ticket(phone: PhoneServer, call_sid: str) -> str:
    """Returns a ticket that is valid only for the media stream of this call. The stream token limits the ticket to one
    use within the lifetime of the token.
    """
    keys = phone.settings.signing_keys
    key = (keys.auth_token or keys.shared_key_secret or "").encode()
    return hmac.digest(key, b"softphone\0" + call_sid.encode(), "sha256").hex()


def _model(phone: PhoneServer) -> str:
    if phone.defaults.model is not None:
        return "a model of its own"
    if phone.settings.wants_script:
        return "an embedded script, no AI"
    return phone.settings.telephony_model_name or "OpenAI Realtime"
