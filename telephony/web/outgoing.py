"""Where Twilio asks about calls that we placed: each address carries the call's own token, so that a call is known even
if the answer to `POST Calls` was lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..call.call import CallInfo
from ..twilio import twiml
from ..twilio.callbacks import CallStatus, MachineDetection, VoiceRequest
from .forms import Form
from .webhooks import for_twilio

if TYPE_CHECKING:
    from ..outbound.dialler import Dialler
    from .phone import Phone

__all__ = ["outgoing_call", "outgoing_machine", "outgoing_status"]

log = logging.getLogger(__name__)


@for_twilio
def outgoing_call(request: Request, phone: Phone, form: Form) -> Response:
    """Somebody, or something, picked up. The model is connected while Twilio sets the stream up."""
    asked, dialler = VoiceRequest.parse(form), _dialler(request)
    call = None if dialler is None else dialler.answered(request.path_params["token"], asked.call_sid)
    if call is None:
        log.warning("A call was answered that is not wanted (any more): it is hung up.")
        return Response(twiml.hang_up(), media_type="text/xml")
    info = CallInfo(
        asked.call_sid,
        caller=asked.caller,
        called=asked.called,
        direction="outbound-api",
        account_sid=asked.account_sid,
    )
    if call.live is None:
        options = phone.options(request)
        call.prepare(options)
        if not phone.registry.begin_warm(info, call.agent(phone.routing.source), options):
            log.error("There is no room for a call that we placed: it is hung up.")
            return Response(twiml.hang_up(), media_type="text/xml")
    return Response(twiml.connect_stream(phone.addresses(request).stream(info)), media_type="text/xml")


@for_twilio
def outgoing_status(request: Request, phone: Phone, form: Form) -> Response:
    """The call has come to another state. May come twice, late, and in any order."""
    status, token = CallStatus.parse(form), request.path_params["token"]
    if (dialler := _dialler(request)) is not None and token in dialler.calls:
        dialler.status(token, status)
    else:
        phone.ledger.status(token, status)
    phone.hooks.call_status(status)
    return Response(status_code=204)


@for_twilio
def outgoing_machine(request: Request, phone: Phone, form: Form) -> Response:
    """Who answered, Twilio says."""
    if (dialler := _dialler(request)) is not None:
        dialler.machine(request.path_params["token"], MachineDetection.parse(form))
    return Response(status_code=204)


def _dialler(request: Request) -> Dialler | None:
    return getattr(request.app.state, "dialler", None)
