"""The TwiML documents that we answer with. Pure: text in, text out, built by Twilio's own library.

https://www.twilio.com/docs/voice/twiml/stream: `<Connect><Stream>` blocks until the stream ends; what follows it is
what the caller gets then. A document never ends in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

from twilio.twiml.voice_response import VoiceResponse

__all__ = ["busy", "connect_stream", "say_and_hang_up"]


def connect_stream(stream_url: str, parameters: Mapping[str, str]) -> str:
    """Connect the call to our media stream; hang up when the stream is over. Each parameter's name and value together
    stay under 500 characters, which is Twilio's limit."""
    response = VoiceResponse()
    stream = response.connect().stream(url=stream_url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value[: 499 - len(name)])
    response.hangup()
    return str(response)


def say_and_hang_up(text: str) -> str:
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return str(response)


def busy() -> str:
    """Do not answer; the caller hears the busy tone, and nothing is billed."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)
