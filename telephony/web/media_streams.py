"""The WebSocket endpoint to which Twilio sends the audio of a call (a media stream)."""

from __future__ import annotations

from starlette.websockets import WebSocket

from .connection import accept
from .phone_server import phone_of

__all__ = ["media_stream"]


async def media_stream(websocket: WebSocket) -> None:
    """The WebSocket endpoint that Twilio connects to for each call, and again after a lost stream or a failed transfer.

    The call may continue after the stream has ended.
    """
    phone = phone_of(websocket)
    if not phone.authenticator.admits_stream(websocket):
        await websocket.close(1008)  # before `accept` this is HTTP 403
        return
    agent, options = phone.answer(websocket)
    outcome = await phone.registry.serve_stream(
        await accept(websocket), agent, options, of_call=lambda info: phone.answer(websocket, info)
    )
    phone.metrics.messages_skipped(outcome.skipped)
    if outcome.call is None:
        phone.metrics.request_refused("stream")
    elif outcome.reason:  # the call is over, too
        phone.metrics.underruns(outcome.underruns)
