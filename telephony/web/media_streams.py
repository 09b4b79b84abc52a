"""The WebSocket that Twilio opens for each call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket

from ..call.bridge import CallOptions, run_call
from ..call.call import CallInfo
from ..journal.format import Journal
from ..journal.writer import open_journal
from .connection import StarletteConnection

if TYPE_CHECKING:
    from .app import Phone

__all__ = ["media_stream"]


async def media_stream(websocket: WebSocket) -> None:
    """Serve one media stream until the call is over."""
    phone: Phone = websocket.app.state.phone
    if not phone.guard.admits_stream(websocket):
        await websocket.close(1008)  # before `accept` this is HTTP 403
        return
    await websocket.accept()
    await run_call(StarletteConnection(websocket), phone.agent, _options(phone))


def _options(phone: Phone) -> CallOptions:
    return CallOptions(
        greeting=phone.greeting,
        model=phone.model,
        model_config=phone.model_config,
        run_config=phone.run_config,
        journal=lambda info: _journal(phone, info),
        admit=phone.admission.admit,
        data=phone.data,
        sources=phone.sources,
        cpu_clock=time.process_time,
        on_start=phone.registry.add,
        on_end=phone.registry.remove,
    )


def _journal(phone: Phone, info: CallInfo) -> Journal:
    folder = phone.settings.telephony_journal_dir
    safe = "".join(c for c in info.sid if c.isalnum())[:64] or "unknown"
    return open_journal(None if folder is None else folder / safe / "journal.jsonl")
