"""The ladder of a call: the list of steps for a caller, such as an agent, another number, and a voicemail. The steps
are tried in order, until a step succeeds. Pure.

The first step of an open number is its agent. The last step of each ladder ends the call, so no caller is left in
silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .config import Choice, NumberConfig, NumbersConfig, Step, StepKind
from .opening_hours import HoursState

__all__ = ["Ladder", "Route", "ladder_of", "language_of", "route_of", "text_in"]

_ENDING = (StepKind.SAY, StepKind.VOICEMAIL)


class Ladder(StrEnum):
    """Which of the two lists of steps of a phone number is used for a caller: the list for open hours, or the list for
    closed hours. The function `ladder_of` returns the list itself.
    """

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Route:
    """The configuration of one call: the configuration of the called number, the steps that are tried for the caller,
    the language, and whether the number is open. It does not change during the call, even if the configuration is
    reloaded.
    """

    key: str
    """The key under which the called number stands in the numbers configuration: the number itself, or a pattern such
    as `+1415*`.
    """
    number: NumberConfig
    ladder: Ladder
    steps: tuple[Step, ...]
    language: str
    hours: HoursState


def route_of(
    config: NumbersConfig, key: str, caller: str, now: datetime, *, fallback_number: str | None = None
) -> Route:
    """Returns the configuration of a call from `caller`: the steps that are tried, the language, and whether the number
    is open. `key` is the key of the called number in `config`. The call begins at `now`. `fallback_number` is
    TELEPHONY_FALLBACK_NUMBER, which is called if no agent can help.
    """
    number = config.numbers[key]
    hours = config.hours_of(number)
    state = HoursState(True) if hours is None else hours.at(now)
    ladder = Ladder.OPEN if state.is_open else Ladder.CLOSED
    steps = ladder_of(number, ladder, fallback_number)
    return Route(key, number, ladder, steps, language_of(number, caller), state)


def ladder_of(number: NumberConfig, ladder: Ladder, fallback_number: str | None = None) -> tuple[Step, ...]:
    """Returns the steps of a ladder (the list of steps for a caller). `fallback_number` is TELEPHONY_FALLBACK_NUMBER,
    which is used for numbers without a `fallback`.
    """
    fallback = number.fallback or ((Step(dial=fallback_number),) if fallback_number else ())
    steps = [Step(agent=number.agent), *fallback] if ladder is Ladder.OPEN else list(number.closed)
    ends = next((at for at, step in enumerate(steps) if step.kind in _ENDING), None)
    return (*steps, Step(say=True)) if ends is None else tuple(steps[: ends + 1])


def language_of(number: NumberConfig, caller: str) -> str:
    """Returns the language of a call at its start: the language for the caller's number (`callers`), or the language of
    the called number.
    """
    if Choice.CALLER in number.choose_language:
        for prefix in sorted(number.callers, key=len, reverse=True):
            if caller.startswith(prefix):
                return number.callers[prefix]
    return number.language


def text_in(text: bool | str | dict[str, str] | None, language: str) -> str | None:
    """Returns the text that the caller hears at a step of the ladder (the list of steps for a caller), in this
    language. `text` is one text for all languages, or the texts by language. If `text` does not have the language,
    returns its first text. Returns None if `text` is True or None: then the caller hears the default text of the
    locale.
    """
    if isinstance(text, dict):
        return text.get(language) or text.get(language.partition("-")[0]) or next(iter(text.values()), None)
    return text if isinstance(text, str) else None
