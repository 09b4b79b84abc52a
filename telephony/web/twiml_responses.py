"""The TwiML responses that several webhooks use: a new media stream, and an apology."""

from __future__ import annotations

import logging
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from ..call.call import CallInfo
from ..call.leg.fallback import after_fallback, fallback_for
from ..call.wording import voice_of
from ..twilio import twiml
from ..twilio.callbacks import VoiceRequest
from ..twilio.details import own_query
from .phone_server import BROWSER, PhoneServer

__all__ = ["apologise", "call_info", "new_stream", "twiml_response"]

log = logging.getLogger(__name__)

_MAX_CHARS = 400
_MAX_DETAILS_CHARS = 16_000
"""The maximum number of characters of the call's details in a response. Twilio accepts responses of up to 64 kB (error
11750).
"""


def apologise(phone: PhoneServer, voice: VoiceRequest | None, request: Request | None = None) -> str:
    """Returns TwiML with an apology in the language of the call. `voice` has the data of Twilio's request, or None if
    the request cannot be read. If Twilio can call the fallback number for this caller, the TwiML also dials this
    number.
    """
    settings = phone.settings
    voice = voice or VoiceRequest("")
    fallback = fallback_for(voice.parties(settings.twilio_phone_number), settings.telephony_fallback_number)
    action = None if request is None else after_fallback(phone.addresses(request).after_dial)
    routed = None if phone.numbers is None else phone.numbers.of(voice.call_sid)
    if routed is None or routed.language == "en":
        return twiml.apologise(settings.telephony_apology, fallback, action=action)
    locale = routed.book.locale(routed.language)
    return twiml.apologise(locale.text("failed"), fallback, voice_of(locale), action=action)


def new_stream(request: Request, phone: PhoneServer, info: CallInfo, *, instance: str = "") -> str:
    """Returns TwiML that opens a media stream to this process, or to the process `instance`, which has the call. `info`
    has the data of the call.
    """
    addresses = phone.addresses(request)
    addresses = replace(addresses, instance=instance or addresses.instance, details_chars=_MAX_DETAILS_CHARS)
    return twiml.connect_stream(addresses.stream(info))


def call_info(request: Request, voice: VoiceRequest, route: str = "") -> CallInfo:
    """Returns the data of the call of a webhook, such as the two parties, and the parameters of a softphone (a phone in
    the browser). `route` is the position of the call in the configured list of steps for the caller, as text
    (`RoutedCall.token`).

    An address of a party with more than 400 characters is left out, because it is too long for a stream parameter.
    """
    caller, called = (_fitting(address) for address in (voice.caller, voice.called))
    return CallInfo(
        voice.call_sid,
        caller=caller,
        called=called,
        account_sid=voice.account_sid,
        parameters=request.scope.get(BROWSER, {}),
        forwarded_from=voice.forwarded_from,
        caller_name=voice.caller_name,
        stir_verstat=voice.stir_verstat,
        sip_headers=voice.sip_headers,
        query=own_query(request.query_params, is_form=request.method != "POST"),
        route=route,
    )


def _fitting(address: str) -> str:
    if len(address) <= _MAX_CHARS:
        return address
    log.warning("An address of %d characters is too long and is left out.", len(address))
    return ""


def twiml_response(document: str) -> Response:
    return Response(document, media_type="text/xml")
