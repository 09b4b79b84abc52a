"""The TwiML documents of our responses, built with Twilio's library. Pure.

https://www.twilio.com/docs/voice/twiml/stream: `<Connect><Stream>` blocks until the stream ends. Then Twilio requests
the `action`, or without one continues behind `</Connect>`. A document never ends in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from twilio.twiml.voice_response import VoiceResponse

from ..errors import TwimlError
from .caller_id import Destination, Parties, is_withheld
from .refusal import Refusal

__all__ = [
    "MAX_PARAMETER_CHARS",
    "StreamTarget",
    "apologise",
    "briefing",
    "busy",
    "clean",
    "conference",
    "connect_stream",
    "declined",
    "dial",
    "enqueue",
    "fits",
    "hang_up",
    "introduction",
    "play_digits",
    "redirect",
    "refuse",
    "say_and_hang_up",
]

MAX_PARAMETER_CHARS = 499
"""https://www.twilio.com/docs/voice/twiml/stream: name and value together stay under 500."""
_MAX_SAY_CHARS = 4096
_MAX_SUMMARY_CHARS = 1500
"""The document is part of a request, which may have 4,000 characters. It contains the summary twice."""
_ASK = "Press 1 to take the call, or any other key to decline."
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain. The library does not remove them."""


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """The addresses and parameters of a media stream."""

    url: str
    """A `wss:` URL without a query, because Twilio drops the query."""
    action: str | None = None
    """The webhook after the stream, unless the caller hung up."""
    status_callback: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def connect_stream(target: StreamTarget) -> str:
    """Connect the call to our media stream.

    Raises:
        TwimlError: a parameter is too long.
    """
    response = VoiceResponse()
    _connect(response, target)
    return str(response)


def clean(text: str) -> str:
    """The text without characters that XML cannot contain."""
    return _NO_XML.sub("", text)


def fits(name: str, value: str) -> bool:
    """Whether Twilio accepts this `<Parameter>`."""
    return len(name) + len(value) <= MAX_PARAMETER_CHARS


def play_digits(digits: str, target: StreamTarget) -> str:
    """Press keys (`w` is half a second), then open a new stream. Twilio accepts no tones from a stream."""
    response = VoiceResponse()
    response.play(digits=digits)
    _connect(response, target)
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def say_and_hang_up(text: str) -> str:
    response = VoiceResponse()
    _say(response, text)
    response.hangup()
    return str(response)


def apologise(text: str, fallback: Destination | None = None) -> str:
    """Apologise, then dial the fallback number or end the call."""
    response = VoiceResponse()
    _say(response, text)
    if fallback is not None:
        response.dial(fallback.to, caller_id=fallback.caller_id)
    response.hangup()
    return str(response)


def busy() -> str:
    """Do not answer. The caller hears the busy tone, and the call is not billed."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def enqueue(name: str) -> str:
    """Put the caller into a queue of the account."""
    response = VoiceResponse()
    response.enqueue(name)
    return str(response)


def refuse(refusal: Refusal, parties: Parties) -> str:
    """The answer to a refused call.

    Raises:
        NoCallerId: the number that takes it cannot be called for this caller.
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


def redirect(url: str) -> str:
    """Continue with the TwiML of another address."""
    response = VoiceResponse()
    response.redirect(url)
    return str(response)


def dial(whom: Destination, *, action: str | None = None, status_callback: str | None = None, ring_s: int = 30) -> str:
    """A cold transfer.

    Twilio requests `action` after the transfer has ended or failed; without an `action` the call ends.
    `status_callback` gets the answer and the end of the dialled leg.
    """
    response = VoiceResponse()
    dialling = response.dial(action=action, caller_id=whom.caller_id, timeout=ring_s, answer_on_bridge=True)
    noun = dialling.sip if whom.to.startswith(("sip:", "sips:")) else dialling.number
    noun(whom.to, status_callback=status_callback, status_callback_event=status_callback and "answered completed")
    response.hangup()
    return str(response)


def conference(name: str, *, action: str | None = None, end_on_exit: bool = False, beep: bool = False) -> str:
    """Join a conference. It starts with its second participant."""
    response = VoiceResponse()
    dialling = response.dial(action=action)
    dialling.conference(name, beep="true" if beep else "false", end_conference_on_exit=end_on_exit)
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


def _say(response: VoiceResponse, text: str) -> None:
    if len(text) > _MAX_SAY_CHARS:
        raise TwimlError(f"<Say> accepts {_MAX_SAY_CHARS} characters, not {len(text)}.")
    response.say(clean(text))


# --- the second leg of a warm transfer -------------------------------------------------------------------------------


def introduction(caller: str, agent: str) -> str:
    """The introduction of a call without a summary: who calls, and who has spoken with the caller."""
    is_shown = re.fullmatch(r"\+?[0-9]+", caller) is not None and not is_withheld(caller)
    who = f"from {' '.join(caller)}" if is_shown else "from a number that is not shown"
    return f"It comes {who}. {agent or 'The assistant'} has spoken with the caller."


def briefing(summary: str, action: str, *, key_s: int = 6) -> str:
    """Say what the call is about, and ask for a key. Twilio sends the key to `action`.

    Without a key Twilio continues behind `<Gather>` (https://www.twilio.com/docs/voice/twiml/gather), so the document
    asks twice.
    """
    response = VoiceResponse()
    for intro in ("A call for you.", "Once more."):
        gather = response.gather(num_digits=1, timeout=key_s, action=action, action_on_empty_result=False)
        gather.say(f"{intro} {summary[:_MAX_SUMMARY_CHARS]} {_ASK}")
    response.hangup()
    return str(response)


def declined(text: str = "Thank you. Goodbye.") -> str:
    """Say goodbye to a callee who declined, or whose call has ended."""
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return str(response)
