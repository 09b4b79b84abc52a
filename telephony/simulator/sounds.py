"""The audio of `<Say>`, `<Play>` and `<Pause>`, as mu-law."""

from __future__ import annotations

import asyncio

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3

from ..audio.files import read_ulaw
from ..errors import AudioFileError
from . import tones
from .playout import RATE, SILENCE
from .ports import Leg
from .twiml import Fetch, Verb
from .webhooks import WebhookFailed, absolute

__all__ = ["announcement", "sound"]


async def sound(call: Leg, verb: Verb, base: str) -> bytes:
    """Returns the audio of a `<Say>`, `<Play>` or `<Pause>`, as mu-law. The attribute `loop` is not applied. `base` is
    the URL of the document. If audio cannot be loaded, adds a warning and returns no audio.
    """
    match verb.name:
        case "Say":
            return await asyncio.to_thread(_speech, verb.text)
        case "Pause":
            return SILENCE * round(RATE * max(0.0, verb.number("length", 1)))
        case "Play" if keys := verb.get("digits"):
            return tones.digits(keys)
        case "Play":
            try:
                return await asyncio.to_thread(read_ulaw, await call.twilio.webhooks.sound(absolute(base, verb.text)))
            except (WebhookFailed, AudioFileError) as error:
                call.warn(f"<Play>{verb.text}: {error}")
    return b""


async def announcement(call: Leg, url: str, method: str) -> bytes:
    """Requests the TwiML document at `url` with the HTTP method `method`, and returns the audio of the document as
    mu-law. The document may contain only `<Say>` and `<Play>`. Used for `AnnounceUrl`, `HoldUrl` and `waitUrl`.
    """
    document = await call.read(Fetch(url, method or "POST"))
    return b"".join([await sound(call, verb, document.base) for verb in document.verbs])


def _speech(text: str) -> bytes:
    """Returns speech: stored clips for known words, and a hum for other text. The function blocks."""
    from realtime_core.local.voice import Voice  # loads its clips

    speech = Voice().speech(text)
    down = Downsampler3()
    return b"" if speech is None else g711.encode(down.push(speech.pcm) + down.flush())
