"""The endpoints for Twilio's status callbacks. The response is always empty."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..twilio.callbacks import CallStatus, MachineDetection, StreamStatus
from .forms import Form
from .webhooks import for_twilio

if TYPE_CHECKING:
    from .phone_server import PhoneServer

__all__ = ["amd_status", "call_status", "stream_status"]

log = logging.getLogger(__name__)


@for_twilio
def call_status(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the status callback of a call. Writes the status to the call record, and passes it to
    `Hooks.call_status`. Twilio may send the callback twice, late, and in any order, so repeated callbacks are ignored.
    """
    status = CallStatus.parse(form)
    if phone.progress.add(status):
        log.debug("The call is %s.", status.status)
        phone.call_records.status(status.call_sid, status)
        phone.hooks.call_status(status)
    return Response(status_code=204)


@for_twilio
def stream_status(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the status callback of a media stream. Twilio reports that the stream has started, stopped or
    failed. A failure is logged. Each status is passed to `Hooks.stream_status`.
    """
    status = StreamStatus.parse(form)
    if status.failed:
        log.warning("Twilio reports an error of the media stream: %r (31900 to 31954).", status.error[:500])
    phone.hooks.stream_status(status)
    return Response(status_code=204)


@for_twilio
def amd_status(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the callback with the result of answering machine detection."""
    phone.hooks.machine_detected(MachineDetection.parse(form))
    return Response(status_code=204)
