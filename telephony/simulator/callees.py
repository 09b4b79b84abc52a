"""Simulated callees, by number: `twilio.callees["+14155550123"] = callees.voicemail()`.

A callee that answers is a coroutine function like a caller (`async def person(phone)`). All callers of `callers` can be
callees, including TOML files. A callee's file may have more entries, all of them optional:

```toml
after_s = 8                     # the ringing time in seconds
answered_by = "machine_start"   # Twilio's result, correct or wrong: human, machine_start, machine_end_beep, fax...
verdict_after_s = 3.5           # the time from the answer to the result
outcome = "answers"             # or busy, no-answer, failed
steps = [{ say = "greeting.wav" }, { beep = true }, { agent_silent = 3.0 }, { hang_up = true }]
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import CallerError
from . import callers, clips
from .handset import Handset
from .peer import Caller
from .tones import tone

__all__ = ["Callee", "busy", "failed", "fax", "find", "load", "no_answer", "person", "screening", "voicemail"]

Outcome = Literal["answers", "busy", "no-answer", "failed"]
_VERDICTS = ("human", "machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax", "unknown")


@dataclass(frozen=True, slots=True)
class Callee:
    """A callee: the behaviour of the person or machine at a number.

    - `after_s`: the ringing time in seconds before the answer or the refusal. For `no-answer`, the time-out of the call
      is used if it is shorter.
    - `answered_by`: the result of Twilio's answering machine detection, correct or wrong. In the mode `Enable`, any
      `machine_*` is reported as `machine_start`. In the mode `DetectMessageEnd`, the result is reported after the beep.
    - `verdict_after_s`: the time in seconds from the answer to the result.
    """

    behaviour: Caller
    outcome: Outcome = "answers"
    after_s: float = 0.5
    answered_by: str = "human"
    verdict_after_s: float = 2.5


_PATIENCE = 2
"""The number of answers that a person gives before saying goodbye."""


async def _listens(phone: Handset) -> None:
    """Says hello, waits for the end of each turn of the agent, and answers. Says goodbye after `_PATIENCE` turns."""
    await phone.say("hello")
    for _ in range(_PATIENCE):
        await phone.agent_speaks(within_s=600)
        await phone.agent_silent(1.0, within_s=600)
        await phone.say("booking")
    await phone.agent_speaks(within_s=600)
    await phone.agent_silent(1.0, within_s=600)
    await phone.say("goodbye")
    phone.hang_up()


async def _silent(phone: Handset) -> None:
    await asyncio.Event().wait()


def person(behaviour: Caller = _listens, *, after_s: float = 0.5, verdict_after_s: float = 2.5) -> Callee:
    """Returns a simulated callee that is a person. The person answers after `after_s` seconds and then behaves as
    `behaviour` does. Twilio's result of answering machine detection comes `verdict_after_s` seconds later.
    """
    return Callee(behaviour, after_s=after_s, verdict_after_s=verdict_after_s)


def voicemail(
    greeting: str | bytes = "next_in_line",
    *,
    after_s: float = 0.5,
    records_s: float = 30.0,
    silence_s: float = 5.0,
    answered_by: str = "machine_end_beep",
) -> Callee:
    """Returns a voicemail as the callee of simulated calls. The voicemail answers after `after_s` seconds. It plays the
    greeting (the name of a clip, or mu-law) and a beep. Then it records until the agent has spoken and was silent for
    `silence_s` seconds, at most `records_s` seconds. `answered_by` is the result of the answering machine detection.
    """

    async def machine(phone: Handset) -> None:
        await asyncio.sleep(0.3)
        await phone.say(greeting)
        await asyncio.sleep(0.4)
        await phone.beep()
        try:
            async with asyncio.timeout(records_s):
                await phone.agent_speaks(within_s=silence_s)
                await phone.agent_silent(silence_s)
        except TimeoutError:
            pass

    return Callee(machine, after_s=after_s, answered_by=answered_by)


def screening(*, after_s: float = 0.5, accepts: bool = True, then: Caller = _listens) -> Callee:
    """Returns a call screening service as the callee of simulated calls. The service answers after `after_s` seconds,
    asks for the caller's name and purpose, and waits for one sentence. With `accepts`, the service connects the call,
    and `then` speaks as the person. Otherwise the service hangs up.
    """

    async def assistant(phone: Handset) -> None:
        await phone.say("no_service")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        if accepts:
            await then(phone)

    return Callee(assistant, after_s=after_s)


def fax(*, after_s: float = 0.5) -> Callee:
    """Returns a fax machine as the callee of simulated calls. The machine answers after `after_s` seconds, and plays
    its tone (1,100 Hz, ITU-T T.30) again and again.
    """

    async def machine(phone: Handset) -> None:
        while True:
            await phone.say(tone((1100,), 0.5))
            await asyncio.sleep(3)

    return Callee(machine, after_s=after_s, answered_by="fax")


def busy(*, after_s: float = 0.3) -> Callee:
    return Callee(_silent, "busy", after_s)


def no_answer(*, after_s: float = 600.0) -> Callee:
    return Callee(_silent, "no-answer", after_s)


def failed(*, after_s: float = 0.1) -> Callee:
    """Returns a simulated callee for a number that does not exist. A call to it ends with the status `failed` after
    `after_s` seconds.
    """
    return Callee(_silent, "failed", after_s)


_NAMED: dict[str, Callable[[], Callee]] = {
    "person": person,
    "voicemail": voicemail,
    "screening": screening,
    "fax": fax,
    "busy": busy,
    "no-answer": no_answer,
    "failed": failed,
}


def find(name: str) -> Callee:
    """Finds the simulated callee (the person or machine that answers an outgoing call) with this name. `name` is one of
    `person`, `voicemail`, `screening`, `fax`, `busy`, `no-answer` and `failed`, or the path of a TOML file, or the name
    of a simulated caller (see `callers.find`), who then answers as a person. Raises `CallerError` for an unknown
    callee, and `OSError` if the file cannot be read.
    """
    if name in _NAMED:
        return _NAMED[name]()
    if name.endswith(".toml"):
        return load(name)
    try:
        return person(callers.find(name))
    except CallerError as error:
        raise CallerError(f"{error} As a callee also {', '.join(_NAMED)}; clips: {', '.join(clips.names())}.") from None


def load(path: str | Path) -> Callee:
    """Loads a callee from a TOML file. The docstring of this module describes the format. Raises `CallerError` for an
    invalid file, and `OSError` if the file cannot be read.
    """
    document = callers.read(path)
    if unknown := document.keys() - {"steps", *_FITS}:
        raise CallerError(f"{path}: {', '.join(sorted(unknown))}: a callee has steps, {', '.join(_FITS)}.")
    given = {name: document[name] for name in _FITS if name in document}
    for name, value in given.items():
        if not _FITS[name](value):
            raise CallerError(f"{path}: {name} = {value!r} is not allowed.")
    quiet = given.get("outcome", "answers") != "answers" and "steps" not in document
    return Callee(_silent if quiet else callers.follow(document, path), **given)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 86_400


_FITS: dict[str, Callable[[Any], bool]] = {
    "after_s": _is_seconds,
    "answered_by": lambda value: value in _VERDICTS,
    "outcome": lambda value: value in get_args(Outcome),
    "verdict_after_s": _is_seconds,
}
