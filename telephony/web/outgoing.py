"""The webhooks and callbacks of outgoing calls.

Each URL contains the token of its call. Therefore the call is known even if the response to `POST Calls` was lost.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..call.call_info import OUTBOUND, CallInfo
from ..twilio import twiml
from ..twilio.callbacks import CallStatus, MachineDetection, VoiceRequest
from .forms import Form
from .routing import name_of
from .webhooks import for_twilio

if TYPE_CHECKING:
    from ..outbound.dialer import Dialer
    from .phone_server import PhoneServer

__all__ = ["outgoing_call", "outgoing_machine", "outgoing_status"]

log = logging.getLogger(__name__)


@for_twilio
def outgoing_call(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the voice webhook of an outgoing call that was answered. Returns the TwiML for a media stream.
    The model connects while Twilio starts the media stream.
    """
    voice, dialer = VoiceRequest.parse(form), _dialer(request)
    call = None if dialer is None else dialer.answered(request.path_params["token"], voice.call_sid)
    if call is None:
        log.warning("An unknown or cancelled call was answered and is hung up.")
        return Response(twiml.hang_up(), media_type="text/xml")
    info = CallInfo(
        voice.call_sid,
        caller=voice.caller,
        called=voice.called,
        direction=OUTBOUND,
        account_sid=voice.account_sid,
    )
    if call.live is None:
        options = phone.options(request, agent=name_of(call.plan.agent or phone.routing.source))
        call.prepare(options)
        given, default = call.plan.agent, phone.routing.source
        source = phone.canaries.source(default) if given is None else phone.canaries.noted(given)
        if not phone.registry.begin_warm(info, call.agent(source), options):
            log.error("An outgoing call was answered, but the maximum number of calls is reached. The call is hung up.")
            return Response(twiml.hang_up(), media_type="text/xml")
    return Response(twiml.connect_stream(phone.addresses(request).stream(info)), media_type="text/xml")


@for_twilio
def outgoing_status(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the status callback of an outgoing call. Passes the status to the dialer, which follows the
    call. If this process has not placed the call, writes the status to the call record. Twilio may send the callback
    twice, late, and in any order.
    """
    status, token = CallStatus.parse(form), request.path_params["token"]
    if (dialer := _dialer(request)) is not None and token in dialer.calls:
        dialer.status(token, status)
    else:
        phone.call_records.status(token, status)
    phone.hooks.call_status(status)
    return Response(status_code=204)


@for_twilio
def outgoing_machine(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for Twilio's callback with the result of answering machine detection for an outgoing call. The
    result (for example a person or a machine) goes to the call, which then decides what the agent does.
    """
    if (dialer := _dialer(request)) is not None:
        dialer.machine(request.path_params["token"], MachineDetection.parse(form))
    return Response(status_code=204)


def _dialer(request: Request) -> Dialer | None:
    return getattr(request.app.state, "dialer", None)
