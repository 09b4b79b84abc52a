"""The steps in the ladder (the list of steps for a caller) of a configured number, as TwiML: an agent, a person, a
message, or a notice.

If a step fails, the next step begins. The last step ends the call.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.requests import Request

from ..call.call_info import CallInfo
from ..call.wording import voice_of
from ..errors import NoCallerId
from ..numbers.config import Choice, StepKind
from ..numbers.ladder import Ladder, text_in
from ..twilio import twiml
from ..twilio.callbacks import VoiceRequest
from .live_numbers import RoutedCall, shared_limits
from .phone_server import PhoneServer
from .twiml_responses import call_info, new_stream

__all__ = ["after_message", "answer_number", "ladder_over", "next_step", "note_step_result", "step_twiml"]

log = logging.getLogger(__name__)

_NOT_CLOSED = "nobody_available"


async def answer_number(request: Request, phone: PhoneServer, voice: VoiceRequest, call: RoutedCall) -> str:
    """Returns the TwiML for a new inbound call to a configured number: the question for a language, or the first
    possible step for the caller (an agent, a person, a voicemail message, or a notice). `voice` has the data of the
    request. `call` has the list of steps that are configured for the number.
    """
    why, info = "", call_info(request, voice, call.token)
    if call.step.kind is StepKind.AGENT:
        refused = await phone.refuse_call(voice.call_sid, voice.caller)
        assert phone.numbers is not None
        why = "" if refused is None else refused[0]
        if not why and not await _within_limits(phone, voice, call, info):
            phone.limits.ended(voice.call_sid, phone.now)
            why = "number-limit"
    phone.call_records.announced(info)
    if why:
        phone.metrics.call_refused(why)
        phone.refusals.warning(why, f"No agent takes a call: {why}. The next step of the number takes the call.")
        note_step_result(call, f"agent: {why}")
        return next_step(request, phone, voice, call)
    if Choice.KEYPAD in call.number.choose_language and len(call.number.offered) > 1:
        return _offer_languages(request, phone, call)
    return step_twiml(request, phone, voice, call)


async def _within_limits(phone: PhoneServer, voice: VoiceRequest, call: RoutedCall, info: CallInfo) -> bool:
    """Returns whether the limits of the number allow the call. The calls of this process and the calls of all processes
    are checked.
    """
    assert phone.numbers is not None
    if phone.numbers.over_limit(voice.call_sid, call, voice.caller, phone.now):
        return False
    limits = shared_limits(call.number)
    if not limits.are_set or await phone.call_records.within_limits(info, call.route.key, limits):
        return True
    phone.numbers.ended(voice.call_sid, phone.now, None)
    return False


def _offer_languages(request: Request, phone: PhoneServer, call: RoutedCall) -> str:
    addresses = phone.addresses(request)
    offers = []
    for key, tag in enumerate(call.number.offered, 1):
        locale = call.book.locale(tag)
        offers.append((locale.text("press_for_language", key=str(key)), voice_of(locale)))
    place = addresses.choose_language(call.token)
    return twiml.choose_language(offers, action=place, otherwise=place)


def next_step(request: Request, phone: PhoneServer, voice: VoiceRequest, call: RoutedCall) -> str:
    call.at = min(call.at + 1, len(call.route.steps) - 1)
    return step_twiml(request, phone, voice, call)


def step_twiml(request: Request, phone: PhoneServer, voice: VoiceRequest, call: RoutedCall) -> str:
    """Returns the TwiML of the current step of the call, such as an agent, another number or a voicemail. If this step
    is not possible now, for example because the model cannot be used, returns the TwiML of the next step that is
    possible. `voice` has the data of Twilio's request.
    """
    step, addresses = call.step, phone.addresses(request)
    locale = call.book.locale(call.language)
    speaks = voice_of(locale)
    match step.kind:
        case StepKind.AGENT:
            assert phone.numbers is not None
            usable = phone.defaults.model is not None or phone.numbers.endpoints.may_try(call.number.models)
            if not usable or phone.registry.draining:
                note_step_result(call, "agent: the model's endpoints fail")
                return next_step(request, phone, voice, call)
            info = call_info(request, voice, call.token)
            document = new_stream(request, phone, info)
            phone.warm(request, info)
            return document
        case StepKind.DIAL:
            target = call.number.transfer_targets.get(step.dial or "", step.dial or "")
            try:
                destination = voice.parties(phone.settings.twilio_phone_number).reach(target)
            except NoCallerId as error:
                log.error("A step cannot dial %s: %s.", step.dial, error)
                note_step_result(call, f"dial {step.dial}: no caller id")
                return next_step(request, phone, voice, call)
            note_step_result(call, f"dial {step.dial}: ringing")
            phone.call_records.on_ladder(voice.call_sid, voice.caller, call, within_s=step.ring_s + 4 * 3600)
            say = locale.text("connecting")
            action = addresses.ladder(call.token, "dialled")
            return twiml.dial(destination, action=action, ring_s=round(step.ring_s), say=say, voice=speaks)
        case StepKind.VOICEMAIL:
            note_step_result(call, "voicemail: no message")
            phone.call_records.on_ladder(voice.call_sid, voice.caller, call, within_s=step.max_s + 120)
            greeting = text_in(step.voicemail, call.language) or locale.text("leave_message")
            return twiml.record_message(
                greeting,
                locale.text("no_message"),
                action=addresses.ladder(call.token, "recorded"),
                status_callback=addresses.voicemail(f"{call.token}/recording"),
                max_s=step.max_s,
                transcribe_callback=addresses.voicemail(f"{call.token}/transcript") if step.transcribe else None,
                voice=speaks,
            )
        case StepKind.SAY:
            name = "closed" if call.route.ladder is Ladder.CLOSED and call.at == 0 else _NOT_CLOSED
            text = text_in(step.say, call.language) or locale.text(name)
            ladder_over(phone, voice, call, "say")
            return twiml.say_and_hang_up(text, speaks)


def after_message(phone: PhoneServer, voice: VoiceRequest, call: RoutedCall, form: Mapping[str, str]) -> str:
    """Returns the TwiML after the caller left a voicemail message. `form` has the fields of Twilio's request. Twilio
    reports the recording with a separate callback.
    """
    locale = call.book.locale(call.language)
    note_step_result(call, f"voicemail: {form.get('RecordingDuration', '0')} s")
    ladder_over(phone, voice, call, "voicemail")
    phone.voicemails.message(voice, call, form)
    if voice.ended:
        return twiml.hang_up()
    return twiml.say_and_hang_up(locale.text("message_saved"), voice_of(locale))


def note_step_result(call: RoutedCall, what: str) -> None:
    """Stores the result of the current step of a call (to an agent, a person or a voicemail) for the call record.
    `what` has the step and the result, such as `dial kitchen: ringing`. A later result of the same step replaces the
    earlier result.
    """
    step, _, result = what.partition(": ")
    if call.taken and call.taken[-1]["step"] == step:
        call.taken.pop()
    call.taken.append({"step": step, "result": result})


def ladder_over(phone: PhoneServer, voice: VoiceRequest, call: RoutedCall, how: str) -> None:
    """Writes to the call record that the call has ended without an agent, in a step such as a voicemail or a notice.
    `how` says how the call ended: `dial` (a person took the call), `voicemail` (the caller left a message), `say` (the
    caller heard a notice), or `hung-up`.
    """
    why = "closed" if call.route.ladder is Ladder.CLOSED else "fallback"
    phone.call_records.ladder_ended(voice.call_sid, voice.caller, call, f"{why}-{how}")
