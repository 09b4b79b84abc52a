"""What Twilio asks for over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..twilio import twiml
from ..twilio.signature import websocket_address

if TYPE_CHECKING:
    from .app import Phone

__all__ = ["incoming_call"]


async def incoming_call(request: Request) -> Response:
    """A call comes in: connect it to our media stream.

    https://www.twilio.com/docs/voice/twiml#twilios-voice-webhook-requests
    """
    phone: Phone = request.app.state.phone
    form = await _form(request)
    if not phone.guard.admits_webhook(request, form if request.method == "POST" else {}):
        return PlainTextResponse("This request is not signed by Twilio.", status_code=403)
    if not phone.registry.has_room:
        return _twiml(twiml.busy())
    public_url = phone.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    parameters = {"caller": form.get("From", ""), "called": form.get("To", "")}
    parameters |= phone.admission.parameters(form.get("CallSid", ""))
    return _twiml(twiml.connect_stream(websocket_address(public_url, "/media-stream"), parameters))


async def _form(request: Request) -> Mapping[str, Any]:
    if request.method == "POST":
        return await request.form()
    return request.query_params


def _twiml(document: str) -> Response:
    return Response(document, media_type="text/xml")
