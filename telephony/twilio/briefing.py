"""What the second leg of a warm transfer hears. Pure TwiML.

https://www.twilio.com/docs/voice/twiml/gather: without a key `<Gather>` goes on behind itself, so it is asked twice.
"""

from __future__ import annotations

import re

from twilio.twiml.voice_response import VoiceResponse

from .caller_id import is_withheld

__all__ = ["briefing", "declined", "introduction"]

_MAX_SUMMARY_CHARS = 1500
"""The document travels in a request, which takes 4,000 characters, and says it twice."""
_ASK = "Press 1 to take the call, or any other key to decline."


def introduction(caller: str, agent: str) -> str:
    """What is said where nobody has summed up what the call is about: who calls, and who has spoken with them."""
    is_shown = re.fullmatch(r"\+?[0-9]+", caller) is not None and not is_withheld(caller)
    who = f"from {' '.join(caller)}" if is_shown else "from a number that is not shown"
    return f"It comes {who}. {agent or 'The assistant'} has spoken with the caller."


def briefing(summary: str, action: str, *, key_s: int = 6) -> str:
    """Say what the call is about, and ask for a key; `action` is told which."""
    response = VoiceResponse()
    for intro in ("A call for you.", "Once more."):
        gather = response.gather(num_digits=1, timeout=key_s, action=action, action_on_empty_result=False)
        gather.say(f"{intro} {summary[:_MAX_SUMMARY_CHARS]} {_ASK}")
    response.hangup()
    return str(response)


def declined(text: str = "Thank you. Goodbye.") -> str:
    """The call was declined, or there is none any more."""
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return str(response)
