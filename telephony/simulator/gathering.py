"""Simulates `<Gather>` and `<Record>`: collects the keys and the speech of the simulated caller, and records messages.
There is no speech recognition. The recognised text is the name of the audio clip that the caller plays.

https://www.twilio.com/docs/voice/twiml/gather, https://www.twilio.com/docs/voice/twiml/record
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .handset import FRAME_S
from .playout import FRAME, SILENCE
from .ports import Leg
from .twiml import Verb

__all__ = ["gather", "message"]

_AUTO_S = 1.0
"""The length in seconds of a pause that ends the speech with `speechTimeout="auto"`."""


async def gather(call: Leg, verb: Verb, prompt: Coroutine[Any, Any, None]) -> dict[str, str]:
    """Executes `<Gather>`: collects keys or speech of the caller, and returns them as fields for the request to the
    `action` URL. `prompt` plays the verbs within the `<Gather>`. Returns an empty mapping if there were no keys and no
    speech.

    The first key or word ends the prompt. The time-out starts when the prompt has ended or was interrupted.
    """
    inputs = verb.get("input", "dtmf").split()
    while not call.keyed.empty():
        call.keyed.get_nowait()
    prompting = asyncio.create_task(prompt)
    try:
        kind, first = await _next(call, prompting, inputs, verb.number("timeout", 5))
        if kind == "speech":
            return await _speech(call, first, verb.number("speechTimeout", _AUTO_S))
        return await _keys(call, first, verb)
    finally:
        prompting.cancel()
        await asyncio.wait({prompting})


async def message(
    call: Leg, *, pause_s: float, max_s: float, finish: str, into: bytearray | None = None
) -> tuple[str, bool]:
    """Executes `<Record>`: listens to the caller until `pause_s` seconds of silence, a key of `finish`, or the end of
    the call, at most `max_s` seconds. With `into`, appends the audio (mu-law) to this array.

    Returns the key, and whether there was speech.
    """
    heard, silent_s, at_s = False, 0.0, 0.0
    while silent_s < pause_s and at_s < max_s:
        frame = call.phone.speak()
        speaks = frame != SILENCE * FRAME
        if into is not None:
            into += frame
        call.phone.hear(SILENCE * FRAME)
        heard, silent_s = heard or speaks, 0.0 if speaks else silent_s + FRAME_S
        at_s += FRAME_S
        while not call.keyed.empty():
            kind, key = call.keyed.get_nowait()
            if kind == "dtmf" and key in finish:
                return key, heard
        await asyncio.sleep(FRAME_S)
    return "", heard


async def _keys(call: Leg, key: str, verb: Verb) -> dict[str, str]:
    count, finish = int(verb.number("numDigits", 0)), verb.get("finishOnKey", "#")
    keys = ""
    while key and key != finish:
        keys += key
        if len(keys) == count:
            break
        key = (await _next(call, None, ["dtmf"], verb.number("timeout", 5)))[1]
    return {"Digits": keys} if keys else {}


async def _speech(call: Leg, words: str, pause_s: float) -> dict[str, str]:
    said = ""
    while words:
        said = f"{said} {words}".strip()
        words = (await _next(call, None, ["speech"], pause_s))[1]
    return {"SpeechResult": said, "Confidence": "0.95"} if said else {}


async def _next(
    call: Leg, prompting: asyncio.Task[None] | None, inputs: list[str], timeout_s: float
) -> tuple[str, str]:
    """Returns the next key (`dtmf`) or clip (`speech`). Returns `("", "")` after the time-out."""
    waiting = asyncio.create_task(_one_of(call, inputs))
    try:
        if prompting is not None:
            await asyncio.wait({waiting, prompting}, return_when=asyncio.FIRST_COMPLETED)
            prompting.cancel()
            await asyncio.wait({prompting})
        if not waiting.done():
            try:
                async with asyncio.timeout(timeout_s):
                    await call.while_silent(waiting)
            except TimeoutError:
                return "", ""
        return waiting.result()
    finally:
        waiting.cancel()


async def _one_of(call: Leg, inputs: list[str]) -> tuple[str, str]:
    while True:
        kind, what = await call.keyed.get()
        if kind in inputs and what:
            return kind, what
