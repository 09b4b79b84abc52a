"""Where Twilio tells us what happens to a call. There is nothing to answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..twilio.callbacks import CallStatus, MachineDetection, StreamStatus
from .forms import Form
from .webhooks import for_twilio

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["amd_status", "call_status", "stream_status"]

log = logging.getLogger(__name__)


@for_twilio
def call_status(request: Request, phone: Phone, form: Form) -> Response:
    """The call has come to another state. May come twice, late, and in any order."""
    status = CallStatus.parse(form)
    if phone.progress.add(status):
        log.debug("The call is %s.", status.status)
        phone.ledger.status(status.call_sid, status)
        phone.hooks.call_status(status)
    return Response(status_code=204)


@for_twilio
def stream_status(request: Request, phone: Phone, form: Form) -> Response:
    """The media stream has started, stopped or failed."""
    status = StreamStatus.parse(form)
    if status.failed:
        log.warning("Twilio reports a fault of the stream: %r (31900 to 31954).", status.error[:500])
    phone.hooks.stream_status(status)
    return Response(status_code=204)


@for_twilio
def amd_status(request: Request, phone: Phone, form: Form) -> Response:
    """Who answered an outgoing call."""
    phone.hooks.machine_detected(MachineDetection.parse(form))
    return Response(status_code=204)
