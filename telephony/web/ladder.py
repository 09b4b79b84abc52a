"""The webhooks of the ladder (the list of steps for a caller) of a configured number.

The URL of a step contains the name of the ladder, the number of the step from 0, and the language. For example,
`open.1.de` is the second step of the ladder `open`, in German. Therefore every process can answer, and a repeated
webhook gets the same answer.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..twilio import twiml
from ..twilio.callbacks import DialResult, VoiceRequest
from .forms import Form
from .ladder_steps import after_message, ladder_over, next_step, note_step_result, step_twiml
from .live_numbers import RoutedCall
from .phone_server import PhoneServer
from .twiml_responses import apologise, twiml_response
from .webhooks import for_twilio

__all__ = ["chosen_language", "ladder_step", "voicemail_callback"]


@for_twilio
async def chosen_language(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the webhook after the caller was asked for a language. If the caller pressed no key, the call
    gets the language of the number.
    """
    voice = VoiceRequest.parse(form)
    if (call := _call(request, phone, voice)) is None:
        return twiml_response(apologise(phone, voice))
    key, offered = form.get("Digits", ""), call.number.offered
    if key.isdigit() and 1 <= int(key) <= len(offered):
        call.speak(offered[int(key) - 1])
    return twiml_response(step_twiml(request, phone, voice, call))


@for_twilio
async def ladder_step(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the webhooks of one step of the ladder: the list of steps for a caller, such as an agent, a
    person or a message. The part `what` of the path is empty when the step begins, `dialled` after a person was called,
    and `recorded` after the caller left a message. Returns the TwiML of the step, or of what follows.
    """
    voice = VoiceRequest.parse(form)
    call, what = _call(request, phone, voice), request.path_params.get("what", "")
    if call is None:
        return twiml_response(apologise(phone, voice))
    if what == "recorded":
        return twiml_response(after_message(phone, voice, call, form))
    if what == "dialled":
        result = DialResult.parse(form)
        note_step_result(call, f"dial {call.step.dial}: {result.status}")
        if result.connected or voice.ended:
            ladder_over(phone, voice, call, "dial" if result.connected else "hung-up")
            return twiml_response(twiml.hang_up())
        return twiml_response(next_step(request, phone, voice, call))
    if voice.ended:
        return twiml_response(twiml.hang_up())
    return twiml_response(step_twiml(request, phone, voice, call))


def _call(request: Request, phone: PhoneServer, voice: VoiceRequest) -> RoutedCall | None:
    if phone.numbers is None:
        return None
    place = request.path_params["place"]
    return phone.numbers.resumed(voice.call_sid, voice.called, voice.caller, place, phone.sources.now())


@for_twilio
async def voicemail_callback(request: Request, phone: PhoneServer, form: Form) -> Response:
    """The endpoint for the callbacks about a voicemail message: the recording is complete, or the transcript is
    available.
    """
    voice = VoiceRequest.parse(form)
    if request.path_params["what"] == "transcript":
        phone.voicemails.transcript(voice.call_sid, form)
    elif form.get("RecordingStatus") == "completed" and (call := _call(request, phone, voice)) is not None:
        phone.voicemails.recording(voice, call, form)
    return Response(status_code=204)
