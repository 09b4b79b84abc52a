"""The TwiML documents of the application's responses, built with Twilio's library. Pure.

https://www.twilio.com/docs/voice/twiml/stream: `<Connect><Stream>` blocks until the stream ends. Then Twilio requests
the `action`. Without an `action`, Twilio continues after `</Connect>`. Every document explicitly ends or continues the
call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twilio.twiml.voice_response import VoiceResponse

from ..errors import TwimlError
from .caller_id import Destination, Parties, is_withheld
from .refusal import Refusal

__all__ = [
    "DEFAULT_VOICE",
    "MAX_PARAMETER_CHARS",
    "StreamTarget",
    "Voice",
    "apologise",
    "briefing",
    "busy",
    "can_be_read_aloud",
    "choose_language",
    "clean",
    "conference",
    "connect_stream",
    "dial",
    "enqueue",
    "fits",
    "hang_up",
    "play_digits",
    "record_message",
    "redirect",
    "refuse",
    "say_and_hang_up",
    "say_code",
]

MAX_PARAMETER_CHARS = 499
"""The maximum number of characters of the name and the value of a stream parameter together. Source:
https://www.twilio.com/docs/voice/twiml/stream
"""
_MAX_SAY_CHARS = 4096
_MAX_SUMMARY_CHARS = 1500
"""The maximum number of characters of a summary. The document contains the summary twice, and is part of a request that
may have 4,000 characters.
"""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Matches characters that XML 1.0 does not allow. Twilio's library does not remove these characters."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The language and the voice of the TwiML verb `<Say>`: https://www.twilio.com/docs/voice/twiml/say/text-speech"""

    language: str | None = None
    voice: str | None = None


DEFAULT_VOICE = Voice()
"""The default voice of the Twilio account."""


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """The target of a media stream in TwiML: its URL, its parameters, and the webhook that Twilio requests after the
    stream.
    """

    url: str
    """A `wss:` URL without a query, because Twilio drops the query."""
    action: str | None = None
    """The URL of the webhook after the stream. Twilio does not request this URL if the caller hung up."""
    status_callback: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def connect_stream(target: StreamTarget) -> str:
    """Returns TwiML that connects the call to a media stream.

    Raises:
        TwimlError: a parameter is too long.
    """
    response = VoiceResponse()
    _connect(response, target)
    return str(response)


def clean(text: str) -> str:
    """Returns the text without characters that XML does not allow."""
    return _NO_XML.sub("", text)


def fits(name: str, value: str) -> bool:
    """Returns whether a `<Parameter>` with this name and value is short enough for Twilio."""
    return len(name) + len(value) <= MAX_PARAMETER_CHARS


def play_digits(digits: str, target: StreamTarget) -> str:
    """Returns TwiML that presses keys (`w` is a pause of half a second) and then opens a new media stream. Twilio
    accepts no tones from a media stream.
    """
    response = VoiceResponse()
    response.play(digits=digits)
    _connect(response, target)
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def say_and_hang_up(text: str, voice: Voice = DEFAULT_VOICE) -> str:
    response = VoiceResponse()
    _say(response, text, voice)
    response.hangup()
    return str(response)


def say_code(code: str) -> str:
    """Returns TwiML that says the digits of a code twice, digit by digit."""
    response = VoiceResponse()
    for _ in range(2):
        _say(response, f"Your code is: {', '.join(code)}.")
        response.pause(length=1)
    response.hangup()
    return str(response)


def apologise(
    text: str, fallback: Destination | None = None, voice: Voice = DEFAULT_VOICE, *, action: str | None = None
) -> str:
    """Returns TwiML that apologises and then dials the fallback number or ends the call. Twilio requests `action` after
    the `<Dial>`.
    """
    response = VoiceResponse()
    _say(response, text, voice)
    if fallback is not None:
        response.dial(fallback.to, caller_id=fallback.caller_id, action=action)
    response.hangup()
    return str(response)


def busy() -> str:
    """Returns TwiML that does not answer the call. The caller hears the busy tone, and the call is not billed."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def enqueue(name: str) -> str:
    """Returns TwiML that puts the caller into the queue with the name `name` in the Twilio account."""
    response = VoiceResponse()
    response.enqueue(name)
    return str(response)


def refuse(refusal: Refusal, parties: Parties) -> str:
    """Returns the TwiML for a refused call, by the kind of the refusal: a busy tone, a queue, another URL, a number to
    dial, or a text to say.

    Raises:
        NoCallerId: the refusal has a number to dial, and no number is known that can be the caller id.
    """
    match refusal.kind:
        case "busy":
            return busy()
        case "queue":
            return enqueue(refusal.value)
        case "url":
            return redirect(refusal.value)
        case "number":
            return dial(parties.reach(refusal.value))
        case "say":
            return say_and_hang_up(refusal.value)


def redirect(url: str, say: str = "", voice: Voice = DEFAULT_VOICE) -> str:
    """Returns TwiML that says a text, and continues with the TwiML at another URL."""
    response = VoiceResponse()
    if say:
        _say(response, say, voice)
    response.redirect(url)
    return str(response)


def dial(
    destination: Destination,
    *,
    action: str | None = None,
    status_callback: str | None = None,
    ring_s: int = 30,
    say: str = "",
    voice: Voice = DEFAULT_VOICE,
) -> str:
    """Returns TwiML that says a text and then connects the caller with `destination` (a cold transfer).

    Twilio requests `action` after the transfer has ended or failed. Without an `action`, the call ends.
    `status_callback` gets the answer and the end of the dialled call.
    """
    response = VoiceResponse()
    if say:
        _say(response, say, voice)
    dialing = response.dial(action=action, caller_id=destination.caller_id, timeout=ring_s, answer_on_bridge=True)
    noun = dialing.sip if destination.to.startswith(("sip:", "sips:")) else dialing.number
    noun(
        destination.to, status_callback=status_callback, status_callback_event=status_callback and "answered completed"
    )
    response.hangup()
    return str(response)


def conference(name: str, *, action: str | None = None, end_on_exit: bool = False, beep: bool = False) -> str:
    """Returns TwiML that joins the conference with the name `name`. The conference starts with its second participant.
    With `end_on_exit`, the conference ends when this participant leaves. With `beep`, Twilio plays a sound when a
    participant joins or leaves. Twilio requests `action` after the conference. Without `action`, the call ends.
    """
    response = VoiceResponse()
    dialing = response.dial(action=action)
    dialing.conference(name, beep="true" if beep else "false", end_conference_on_exit=end_on_exit)
    response.hangup()
    return str(response)


def _connect(response: VoiceResponse, target: StreamTarget) -> None:
    stream = response.connect(action=target.action).stream(url=target.url, status_callback=target.status_callback)
    for name, value in target.parameters.items():
        if not fits(name, value):
            raise TwimlError(
                f"The stream parameter {name!r} has {len(value)} characters; with its name, Twilio accepts "
                f"{MAX_PARAMETER_CHARS}."
            )
        stream.parameter(name=clean(name), value=clean(value))
    response.hangup()  # for a document without an action


def _say(response: VoiceResponse, text: str, voice: Voice = DEFAULT_VOICE) -> None:
    if len(text) > _MAX_SAY_CHARS:
        raise TwimlError(f"<Say> accepts {_MAX_SAY_CHARS} characters, not {len(text)}.")
    response.say(clean(text), voice=voice.voice, language=voice.language)


def record_message(
    greeting: str,
    nothing: str,
    *,
    action: str,
    status_callback: str,
    max_s: int,
    transcribe_callback: str | None = None,
    voice: Voice = DEFAULT_VOICE,
) -> str:
    """Returns TwiML that says the greeting and records a message of at most `max_s` seconds. Twilio requests `action`
    after the message, also after a hang-up. If there was no speech, Twilio continues after `<Record>` and says
    `nothing`.

    `status_callback` gets the recording when the recording is complete. `transcribe_callback` gets Twilio's transcript.
    Twilio transcribes only English messages of 2 to 120 s (https://www.twilio.com/docs/voice/twiml/record).
    """
    response = VoiceResponse()
    _say(response, greeting, voice)
    transcribed = (
        {} if transcribe_callback is None else {"transcribe": True, "transcribe_callback": transcribe_callback}
    )
    response.record(
        action=action,
        max_length=max_s,
        timeout=5,
        finish_on_key="#",
        play_beep=True,
        recording_status_callback=status_callback,
        recording_status_callback_event="completed absent",
        **transcribed,
    )
    _say(response, nothing, voice)
    response.hangup()
    return str(response)


def choose_language(offers: Sequence[tuple[str, Voice]], *, action: str, otherwise: str, key_s: int = 4) -> str:
    """Returns TwiML that says the sentences of `offers` ("For English, press 1."), each with its voice, and waits
    `key_s` seconds for a key. Twilio sends the key to the URL `action`. Without a key, the call continues at the URL
    `otherwise`.
    """
    response = VoiceResponse()
    gather = response.gather(num_digits=1, timeout=key_s, action=action, action_on_empty_result=False)
    for text, voice in offers:
        gather.say(clean(text), voice=voice.voice, language=voice.language)
    response.redirect(otherwise)
    return str(response)


# --- the second leg of a warm transfer -------------------------------------------------------------------------------


def can_be_read_aloud(caller: str) -> bool:
    """Returns whether the caller id is a phone number that can be read aloud digit by digit, and not withheld."""
    return re.fullmatch(r"\+?[0-9]+", caller) is not None and not is_withheld(caller)


def briefing(
    summary: str, action: str, *, intros: Sequence[str], ask: str, key_s: int = 6, voice: Voice = DEFAULT_VOICE
) -> str:
    """Returns TwiML for the call to the person who takes over in a warm transfer. The TwiML says an introduction, the
    `summary` of the call, and the question `ask`. Twilio waits `key_s` seconds for a key, and sends the key to the URL
    `action`.

    Without a key, the same is said again with the next introduction of `intros`. After the last introduction the call
    is hung up. (Twilio continues after a `<Gather>` without a key: https://www.twilio.com/docs/voice/twiml/gather.)
    """
    response = VoiceResponse()
    for intro in intros:
        gather = response.gather(num_digits=1, timeout=key_s, action=action, action_on_empty_result=False)
        text = f"{intro} {summary[:_MAX_SUMMARY_CHARS]} {ask}"
        gather.say(text, voice=voice.voice, language=voice.language)
    response.hangup()
    return str(response)
