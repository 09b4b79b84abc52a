"""The WebSocket that Twilio opens for each call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket

from ..call.bridge import CallOptions, run_call
from ..journal.opening import journal_for
from .connection import StarletteConnection

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["media_stream"]


async def media_stream(websocket: WebSocket) -> None:
    """Serve one media stream until the call is over."""
    phone: Phone = websocket.app.state.phone
    if not phone.guard.admits_stream(websocket):
        await websocket.close(1008)  # before `accept` this is HTTP 403
        return
    await websocket.accept()
    await run_call(StarletteConnection(websocket), phone.routing.source, _options(phone))


def _options(phone: Phone) -> CallOptions:
    return CallOptions(
        greeting=phone.greeting,
        model=phone.model,
        model_config=phone.model_config,
        run_config=phone.run_config,
        journal=lambda info: journal_for(phone.settings, info.sid),
        admit=phone.admission.admit,
        data=phone.data,
        sources=phone.sources,
        cpu_clock=time.process_time,
        on_start=phone.call_started,
        on_end=phone.call_ended,
    )
