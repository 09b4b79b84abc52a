"""Simulated callers, by name, from a TOML file, or from code.

A TOML file is a list of steps, each with one action:

```toml
steps = [
  { agent_speaks = 20 },      # wait until the agent speaks, 20 s at most
  { agent_silent = 1.0 },     # wait until nothing was heard for a second
  { say = "booking" },        # a clip by name, or an audio file beside this one; and wait until it is said
  { agent_speaks = 20 },
  { heard = 4.0 },            # wait until four more seconds of the agent's speech were heard
  { say = "mine.wav" },
  { pause = 0.5 },
  { press = "1" },
  { beep = true },            # the beep after the greeting of a voicemail
  { hang_up = true },
]
```
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ..audio.files import load_ulaw
from ..errors import AudioFileError, CallerError, CallerTimeout
from . import clips
from .handset import KEYS, Handset
from .peer import Caller

__all__ = ["demo", "find", "follow", "load", "patient", "read", "visitor", "visitor_of"]

BETWEEN_SENTENCES_S = 1.0
_PATIENCE_S = 12.0


async def demo(phone: Handset) -> None:
    """A simulated caller that books a table, interrupts the long answer, presses a key, and says goodbye.

    The caller waits for the sounds that it hears, and not for fixed times.
    """
    await _wait_for_silence(phone)
    await phone.say("booking")
    await phone.agent_speaks()
    await phone.heard(4.0)
    await _interrupt_and_hang_up(phone, _wait_for_silence)


async def visitor(phone: Handset) -> None:
    """A simulated caller that behaves like `demo`, but for any agent: the caller speaks three times, interrupts an
    answer, presses a key, and says goodbye. Each wait has a time limit, because the agent may say nothing.
    """
    await _visit(phone, 3)


def visitor_of(turns: int) -> Caller:
    """Returns a simulated caller that can call any agent. The caller speaks `turns` times (at least three times),
    interrupts one answer, presses a key, and says goodbye. `visitor` is this caller with three turns. The command line
    has a name for such a caller, for example `visitor-12`.
    """

    async def caller(phone: Handset) -> None:
        await _visit(phone, turns)

    return caller


async def _visit(phone: Handset, turns: int) -> None:
    await _wait_for_long_silence(phone)
    for nth in range(max(1, turns - 2)):
        await phone.say("hello" if nth else "booking")
        await _wait_for_long_silence(phone)
    await phone.say("hello")
    with contextlib.suppress(CallerTimeout):
        await phone.agent_speaks(within_s=_PATIENCE_S)
        await phone.heard(2.0, within_s=_PATIENCE_S)
    await _interrupt_and_hang_up(phone, _wait_for_long_silence, key="0")


async def _interrupt_and_hang_up(
    phone: Handset, hear_out: Callable[[Handset], Awaitable[None]], key: str = "1"
) -> None:
    await phone.say("sorry_hours")
    await hear_out(phone)
    phone.press(key)
    await hear_out(phone)
    await phone.say("goodbye")
    await hear_out(phone)
    phone.hang_up()


async def patient(phone: Handset) -> None:
    """A simulated caller that answers each turn of the agent with another sentence, until the call ends."""
    while True:
        for clip in ("busy", "next_in_line", "no_service", "echo"):
            await _wait_for_silence(phone)
            await phone.say(clip)


async def _wait_for_silence(phone: Handset) -> None:
    """Waits until the agent has spoken and is silent."""
    await phone.agent_speaks()
    await phone.agent_silent(BETWEEN_SENTENCES_S)


async def _wait_for_long_silence(phone: Handset) -> None:
    with contextlib.suppress(CallerTimeout):
        await phone.agent_speaks(within_s=_PATIENCE_S)
        await phone.agent_silent(1.2, within_s=3 * _PATIENCE_S)


_VISITOR = re.compile(r"visitor-(\d{1,3})")
NAMED: dict[str, Caller] = {"demo": demo, "patient": patient, "visitor": visitor}


def find(name: str) -> Caller:
    """Finds a simulated caller by its name in this module, by TOML file, or by import string (`module:function`).
    Raises `CallerError` for an unknown caller.
    """
    if name in NAMED:
        return NAMED[name]
    if found_turns := _VISITOR.fullmatch(name):
        return visitor_of(int(found_turns[1]))
    if name.endswith(".toml"):
        return load(name)
    module, _, attribute = name.partition(":")
    try:
        caller = getattr(importlib.import_module(module), attribute) if attribute else None
    except (ImportError, AttributeError) as error:
        raise CallerError(f"There is no caller {name!r}: {error}") from error
    if not callable(caller):
        raise CallerError(f"There is no caller {name!r}. Choose {', '.join(NAMED)}, FILE.toml or module:function.")
    found: Caller = caller
    return found


def load(path: str | Path) -> Caller:
    """Loads a simulated caller from a TOML file and checks every step. Raises `CallerError` for an invalid file."""
    document = read(path)
    if document.keys() - {"steps"}:
        raise CallerError(f"{path}: a caller has only `steps = [...]`.")
    return follow(document, path)


def read(path: str | Path) -> dict[str, Any]:
    """Reads the TOML file of a simulated caller or callee. Raises `CallerError` for an invalid file."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise CallerError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallerError(f"{path}: {error}") from error


def follow(document: Mapping[str, Any], path: str | Path) -> Caller:
    """Returns a simulated caller that does the `steps` of `document`, which was read from the TOML file at `path`.
    Raises `CallerError` for an invalid step.
    """
    steps = document.get("steps")
    if not isinstance(steps, list):
        raise CallerError(f"{path}: `steps = [...]` is missing.")
    folder = Path(path).parent
    actions = [_action(step, f"{path}: step {number}", folder) for number, step in enumerate(steps, 1)]

    async def caller(phone: Handset) -> None:
        for action in actions:
            await action(phone)

    return caller


_Action = Callable[[Handset], Awaitable[None]]


def _action(step: Any, where: str, folder: Path) -> _Action:
    if not isinstance(step, dict) or len(step) != 1:
        raise CallerError(f"{where} is not one action: {step!r}")
    ((verb, value),) = step.items()
    make = _VERBS.get(verb)
    if make is None:
        raise CallerError(f"{where}: {verb!r} is not known; {', '.join(_VERBS)} are.")
    try:
        return make(value, folder)
    except (ValueError, OSError, AudioFileError, CallerError) as error:
        raise CallerError(f"{where}: {verb}: {error}") from error


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is not a number of seconds")
    return float(value)


def _say(value: Any, folder: Path) -> _Action:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a clip")
    clip = load_ulaw(folder / value) if Path(value).suffix else clips.load(value)

    async def say(phone: Handset) -> None:
        await phone.say(clip)

    return say


def _press(value: Any, folder: Path) -> _Action:
    if not isinstance(value, str) or value not in KEYS:
        raise ValueError(f"{value!r} is not a key")

    async def press(phone: Handset) -> None:
        phone.press(value)

    return press


def _at_once(name: str, do: Callable[[Handset], Awaitable[None]]) -> Callable[[Any, Path], _Action]:
    def make(value: Any, folder: Path) -> _Action:
        if value is not True:
            raise ValueError(f"write `{name} = true`")
        return do

    return make


async def _hang_up(phone: Handset) -> None:
    phone.hang_up()


async def _beep(phone: Handset) -> None:
    await phone.beep()


def _timed(wait: Callable[[Handset, float], Awaitable[None]]) -> Callable[[Any, Path], _Action]:
    def make(value: Any, folder: Path) -> _Action:
        seconds = _seconds(value)
        return lambda phone: wait(phone, seconds)

    return make


_VERBS: dict[str, Callable[[Any, Path], _Action]] = {
    "agent_speaks": _timed(lambda phone, seconds: phone.agent_speaks(within_s=seconds)),
    "agent_silent": _timed(lambda phone, seconds: phone.agent_silent(seconds)),
    "heard": _timed(lambda phone, seconds: phone.heard(seconds)),
    "pause": _timed(lambda phone, seconds: asyncio.sleep(seconds)),
    "say": _say,
    "press": _press,
    "beep": _at_once("beep", _beep),
    "hang_up": _at_once("hang_up", _hang_up),
}
