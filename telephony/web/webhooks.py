"""The webhooks that answer Twilio with TwiML. After every error the caller hears a message.

Twilio may send a webhook twice, in any order, and to any process. Therefore no webhook depends on an earlier webhook.
Source: https://www.twilio.com/docs/voice/twiml#twilios-voice-webhook-requests
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..call.call import CallInfo
from ..call.leg.fallback import AFTER_FALLBACK
from ..call.leg.next_twiml import Next, StreamEnd
from ..call.leg.next_twiml import after_dial as decide_after_dial
from ..call.leg.next_twiml import after_stream as decide_after_stream
from ..call.wording import voice_of
from ..errors import NoCallerId
from ..locales.locale import english
from ..logs import about_call
from ..twilio import twiml
from ..twilio.callbacks import DialResult, VoiceRequest, is_sid
from ..twilio.refusal import Refusal
from .forms import BadForm, Form, read_forms
from .ladder_steps import answer_number
from .phone_server import PhoneServer, phone_of
from .twiml_responses import apologise, call_info, new_stream, twiml_response

__all__ = [
    "after_dial",
    "after_stream",
    "failed",
    "for_twilio",
    "incoming_call",
    "leg_key",
]

log = logging.getLogger(__name__)

_ANSWERED_IN_TWIML = {"incoming_call", "after_stream", "after_dial", "leg_key", "ladder_step", "chosen_language"}


Answer = Callable[[Request, PhoneServer, Form], Response | Awaitable[Response]]


def for_twilio(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Returns an endpoint that only Twilio can use. The function `answer` gets the form, whose `CallSid` is present and
    well formed.
    """

    async def endpoint(request: Request) -> Response:
        request.state.wants_twiml = answer.__name__ in _ANSWERED_IN_TWIML
        phone = phone_of(request)
        try:
            form = await _admit(request, phone)
        except _Refused as refused:
            return refused.response
        request.state.voice = VoiceRequest.parse(form)
        with about_call(form["CallSid"]):
            response = answer(request, phone, form)
            return await response if isinstance(response, Awaitable) else response

    endpoint.__name__ = answer.__name__
    endpoint.__doc__ = answer.__doc__
    return endpoint


@for_twilio
async def incoming_call(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the voice webhook of an incoming call. The response connects the call to a media stream, or
    refuses the call.
    """
    voice = VoiceRequest.parse(form)
    if voice.ended:
        phone.authenticator.refuse(
            "an ended call",
            f"A status callback ({voice.status}) came to {request.url.path!r}, which answers calls. Set the status "
            "callback of the number to /call-status, or remove it.",
        )
        return twiml_response(twiml.hang_up())
    if phone.numbers is not None:
        routed = phone.numbers.begin(voice.call_sid, voice.called, voice.caller, phone.sources.now())
        if routed is not None and _is_of_account(phone, voice, routed.book.account_sid(routed.number)):
            screened = _screened(phone, call_info(request, voice))
            return screened or twiml_response(await answer_number(request, phone, voice, routed))
    if not phone.routing.serves(voice.called):
        _record_refusal(phone, voice, "number")
        phone.refusals.warning(f"number {voice.called}", f"Refused a call: no agent answers {voice.called!r}.")
        return twiml_response(twiml.say_and_hang_up(phone.settings.telephony_unknown_number))
    if (refused := await phone.refuse_call(voice.call_sid, voice.caller)) is not None:
        why, answer = refused
        _record_refusal(phone, voice, why, is_busy=answer.kind == "busy")
        phone.refusals.warning(why, f"Refused a call: {why}.")
        return twiml_response(_refuse(request, answer, phone, voice))
    info = call_info(request, voice)
    if (screened := _screened(phone, info)) is not None:
        phone.limits.ended(voice.call_sid, phone.now)
        return screened
    document = new_stream(request, phone, info)
    phone.call_records.announced(info)
    phone.warm(request, info)
    return twiml_response(document)


def _is_of_account(phone: PhoneServer, voice: VoiceRequest, account_sid: str | None) -> bool:
    """Returns whether the request comes from the Twilio account that has the number. The signature was checked with the
    token of the account that the request names.
    """
    expected = account_sid or phone.settings.twilio_account_sid
    if expected is None or voice.account_sid == expected:
        return True
    phone.refusals.warning("account", f"Refused a call to {voice.called!r}: its number belongs to another account.")
    return False


def _screened(phone: PhoneServer, info: CallInfo) -> Response | None:
    """Returns the response to a caller whom the screening rules refuse, or None if the call is allowed."""
    if (screening := phone.defaults.screening) is None or not (why := screening.refusal(info)):
        return None
    phone.metrics.call_refused(why)
    phone.call_records.refused_call(info.sid, info.caller, info.called, why=why, is_busy=True)
    phone.refusals.warning(why, f"Refused a call: {why}.")
    return twiml_response(twiml.busy())


def _record_refusal(phone: PhoneServer, voice: VoiceRequest, why: str, *, is_busy: bool = False) -> None:
    phone.metrics.call_refused(why)
    phone.call_records.refused_call(voice.call_sid, voice.caller, voice.called, why=why, is_busy=is_busy)


@for_twilio
async def after_stream(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the webhook after a media stream. The response is a new stream, a transfer, an apology, or the
    end of the call.

    If the stream was in another process, the database contains why the stream ended.
    """
    voice = VoiceRequest.parse(form)
    end = await _stream_end(phone, voice)
    what = decide_after_stream(end, call_ended=voice.ended)
    log.info("The media stream has ended (%s): %s.", "an unknown call" if end is None else end.why, what)
    if what == "document" and end is not None and end.twiml is not None:
        return twiml_response(end.twiml)
    return twiml_response(await _go_on(what, request, phone, voice, end))


@for_twilio
async def after_dial(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the webhook after a cold transfer (the caller was connected without a briefing) has ended or
    failed.
    """
    voice, result = VoiceRequest.parse(form), DialResult.parse(form)
    if AFTER_FALLBACK in request.query_params:
        return twiml_response(_after_fallback(phone, voice, result))
    end = None if result.connected else await _stream_end(phone, voice)
    phone.hooks.dial_ended(result)
    what = decide_after_dial(
        connected=result.connected, call_ended=voice.ended, known=end is not None, offered=end.offered if end else 0
    )
    log.info("The transfer has ended (%s): %s.", result.status, what)
    return twiml_response(await _go_on(what, request, phone, voice, end))


def _after_fallback(phone: PhoneServer, voice: VoiceRequest, result: DialResult) -> str:
    """Returns the TwiML after the fallback number was dialled. If the fallback number did not answer, the TwiML is an
    apology.
    """
    log.info("The fallback number was dialled: %s.", result.status)
    if result.connected or voice.ended:
        return twiml.hang_up()
    routed = None if phone.numbers is None else phone.numbers.of(voice.call_sid)
    locale = english() if routed is None else routed.book.locale(routed.language)
    return twiml.say_and_hang_up(locale.text("nobody_available"), voice_of(locale))


async def _stream_end(phone: PhoneServer, voice: VoiceRequest) -> StreamEnd | None:
    """Returns why the last media stream of the call ended. The reason comes from this process, or from the database."""
    end = phone.hooks.stream_end(voice.call_sid)
    return end if end is not None or voice.ended else await phone.calls_elsewhere.stream_end(voice.call_sid)


@for_twilio
def leg_key(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the webhook after a key was pressed in the second call of a warm transfer."""
    return twiml_response(phone.hooks.leg_key(request.path_params["leg"], form.get("Digits", "")))


class _Refused(Exception):
    """Raised if a webhook is refused. Contains the response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def _admit(request: Request, phone: PhoneServer) -> Form:
    """Returns the form of a webhook that Twilio sent. The `CallSid` in the form is present and well formed.

    Raises:
        _Refused: the request is not from Twilio, or the request cannot be read. One log line says what must be
            corrected, because only Twilio's debugger shows the reason.
    """
    authenticator, path = phone.authenticator, request.url.path
    if not authenticator.admits_headers(request):
        raise _Refused(_forbidden(None, None))
    if request.method != "POST" and not phone.settings.checks_signatures:
        message = f"Refused a {request.method} of {path!r}: an unsigned request must be a POST. "
        authenticator.refuse("method", message + "Set the webhook's method to HTTP POST.")
        raise _Refused(
            PlainTextResponse("An unsigned request must be a POST.", status_code=405, headers={"Allow": "POST"})
        )
    try:
        forms = await read_forms(request)
    except BadForm as error:
        authenticator.refuse("form", f"Refused a webhook to {path!r}: {error}. Twilio sends forms of 1 to 3 kB.")
        raise _Refused(PlainTextResponse(f"This is {error}.", status_code=error.status)) from None
    form = authenticator.choose(request, forms)
    if not isinstance(form, Form):
        raise _Refused(_forbidden(form.signed_for, form.expected))
    if not is_sid(form.get("CallSid", "")):
        authenticator.refuse(
            "no CallSid",
            f"Refused a webhook to {path!r}: it has no CallSid. Only the voice webhook and the callbacks of calls "
            "belong here. Check that no messaging webhook is set to this address.",
        )
        raise _Refused(PlainTextResponse("This request has no CallSid.", status_code=400))
    return form


def _forbidden(signed_for: str | None, expected: str | None) -> Response:
    if signed_for is None:
        return PlainTextResponse("This request is not signed by Twilio.", status_code=403)
    error = "This request is signed for another address than the one from PUBLIC_URL."
    return JSONResponse({"error": error, "signed_for": signed_for, "expected": expected}, status_code=403)


async def failed(request: Request, error: Exception) -> Response:
    """Returns the response to a request whose endpoint raised an exception. A webhook that expects TwiML gets TwiML
    with an apology. Any other request gets the status 500. The server logs the exception.
    """
    if not getattr(request.state, "wants_twiml", False):
        return PlainTextResponse("Internal Server Error", status_code=500)
    phone, voice = phone_of(request), getattr(request.state, "voice", None)
    return twiml_response(apologise(phone, voice, request))


async def _go_on(what: Next, request: Request, phone: PhoneServer, voice: VoiceRequest, end: StreamEnd | None) -> str:
    if what == "hang up":
        return twiml.hang_up()
    if what == "new stream" and end is not None:
        phone.metrics.stream_reattached()
        phone.hooks.stream_offered(voice.call_sid)
        await phone.call_records.offered(voice.call_sid, end)
        return new_stream(request, phone, _again(request, phone, voice), instance=end.instance)
    return _next_step_twiml(request, phone, voice) or apologise(phone, voice, request)


def _again(request: Request, phone: PhoneServer, voice: VoiceRequest) -> CallInfo:
    routed = None if phone.numbers is None else phone.numbers.of(voice.call_sid)
    return call_info(request, voice, "" if routed is None else routed.token)


def _next_step_twiml(request: Request, phone: PhoneServer, voice: VoiceRequest) -> str | None:
    """Returns the TwiML of the next ladder step for a call whose agent failed, or None if the called number is not
    configured.
    """
    if phone.numbers is None:
        return None
    routed = phone.numbers.begin(voice.call_sid, voice.called, voice.caller, phone.sources.now())
    if routed is None:
        return None
    locale = routed.book.locale(routed.language)
    place = f"{routed.route.ladder}.{routed.at + 1}.{routed.language}"
    return twiml.redirect(phone.addresses(request).ladder(place), locale.words["hold_the_line"], voice_of(locale))


def _refuse(request: Request, answer: Refusal, phone: PhoneServer, voice: VoiceRequest) -> str:
    try:
        return twiml.refuse(answer, voice.parties(phone.settings.twilio_phone_number))
    except NoCallerId as error:
        log.error("A refused call cannot be dialled to %s: %s.", answer.value, error)
        return apologise(phone, voice, request)
