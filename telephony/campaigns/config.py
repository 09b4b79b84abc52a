"""The configuration of a campaign: the calling times, the retries and the rate of calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .calling_hours import Window
from .contact import FINAL, Outcome

__all__ = ["CampaignConfig", "Rate", "RetryRule", "duration_of", "retry_rules"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=366)


def duration_of(text: str) -> timedelta:
    """Parses a duration such as `30m`, `4h`, `1d` or `1h30m`. Raises `ValueError` for any other text."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"{text!r} is not a duration: write 30m, 4h or 1d")
    total = timedelta(**{_UNITS[unit]: 0.0 for _, unit in parts})
    for number, unit in parts:
        total += timedelta(**{_UNITS[unit]: float(number)}) if float(number) < 1e6 else _LONGEST * 2
    if total > _LONGEST:
        raise ValueError(f"{text!r} is longer than a year")
    return total


def _written(duration: timedelta) -> str:
    """Returns the duration as text, such as `30m`, that `duration_of` can parse."""
    seconds = duration.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


class _Counted(BaseModel):
    """A count and a duration, written as `3/30m`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int = Field(ge=0, le=100)
    per: timedelta

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        times, slash, per = value.partition("/")
        if not slash or not times.strip().isdecimal():
            raise ValueError(f"{value!r}: write a count and a duration, like 3/30m")
        return {"times": int(times), "per": duration_of(per)}

    @field_validator("per")
    @classmethod
    def _check(cls, value: timedelta) -> timedelta:
        if not timedelta(0) <= value <= _LONGEST:
            raise ValueError("the duration is from 0 to a year")
        return value

    def __str__(self) -> str:
        return f"{self.times}/{_written(self.per)}"


class RetryRule(_Counted):
    """How often a contact is called again after an outcome such as "busy", and the pause before each call. `3/30m`
    means three more attempts, each 30 minutes after the attempt before.
    """


class Rate(_Counted):
    """A limit: at most `times` calls within any period of the length `per`. `3/7d` means at most 3 calls in 7 days."""

    times: int = Field(ge=1, le=100)


def retry_rules(text: str) -> dict[Outcome, RetryRule]:
    """Parses retry rules such as `busy=3/30m, no-answer=2/4h, machine=1/1d`. `busy=0` means that a busy number is not
    tried again. Raises `ValueError` for an invalid text.
    """
    rules: dict[Outcome, RetryRule] = {}
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        name, equals, rule = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r}: write busy=3/30m")
        rules[_retried(name)] = RetryRule.model_validate("0/1m" if rule == "0" else rule)
    return rules


def _retried(name: str | Outcome) -> Outcome:
    known = [each.value for each in Outcome if each not in FINAL and each is not Outcome.CALLBACK]
    value = name.value if isinstance(name, Outcome) else name.strip().lower().replace("_", "-")
    if value not in known:
        raise ValueError(f"{value!r} cannot be tried again; these can: {', '.join(known)}")
    return Outcome(value)


_RETRY = "busy=3/30m,no-answer=2/4h,machine=1/1d,screening=1/1d,failed=1/1h,canceled=1/1m"


class CampaignConfig(BaseModel):
    """The configuration of a campaign. All times are in UTC. All calling windows are in the local time of the
    callee.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    # What is said
    agent: str = ""
    """The agent that speaks in the calls, as an import string (`module:attribute`) or as the name of an agent of the
    server.
    """
    result: str | None = None
    """The type of the result that the agent must find out in a call, as an import string: `module:Model`. None means no
    result.
    """
    message: str | None = None
    """The words that the agent says to a voicemail. With None or an empty text, the agent hangs up when a voicemail
    answers.
    """
    greeting: str | None = None
    max_s: float = Field(default=300.0, gt=0, le=14_400)
    """The maximum length of a call, in seconds."""
    ring_s: int = Field(default=30, ge=5, le=600)
    check: str | None = None
    """The check before dialing: a function (`module:function`) or an `https` URL. Before each attempt, the check
    returns whether the call is still wanted. None means no check.
    """

    # When
    windows: tuple[Window, ...] = ()
    """The weekly windows in which calls may begin, like `mon-fri 09:00-18:00`. If empty, calls may begin at any hour
    outside the quiet hours.
    """
    holidays: bool = False
    """Whether calls are made on public holidays of the callee's country."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """The end of the campaign. No call begins at this time or later. None means no end."""

    # How often
    retry: Mapping[Outcome, RetryRule] = Field(default_factory=lambda: retry_rules(_RETRY))
    """The retry rule of each outcome. An outcome without a rule is not tried again. If the rules are given as a text
    (such as `busy=3/30m`), outcomes that the text does not name keep their default rules.
    """
    max_attempts: int = Field(default=5, ge=1, le=100)
    """The maximum number of attempts for one contact. Agreed callbacks are counted. Calls from the contact are not
    counted.
    """
    per_number: Rate = Rate(times=4, per=timedelta(days=1))
    """The maximum number of calls to one number by this campaign."""
    per_person: Rate = Rate(times=8, per=timedelta(days=7))
    """The maximum number of calls to one number by all campaigns together."""
    needs_consent: bool = False
    """Whether only contacts with a yes in the consent column are called. A contact with a no is never called."""

    # How fast
    at_once: int = Field(default=2, ge=1, le=10_000)
    """The maximum number of calls at the same time."""
    per_second: float = Field(default=1.0, gt=0, le=100)
    """The maximum number of calls that begin within a second. 0.5 means one call in two seconds."""
    max_per_day: int | None = Field(default=None, ge=1)
    """The maximum number of calls within any 24 hours. None means no limit."""
    max_calls: int | None = Field(default=None, ge=1)
    """The maximum number of calls of the whole campaign. None means no limit."""
    max_minutes: float | None = Field(default=None, gt=0)
    """The maximum length of all calls of the campaign together, in minutes. A call in progress counts as `max_s` long.
    None means no limit.
    """
    max_cost: float | None = Field(default=None, gt=0)
    """The maximum cost of all calls of the campaign together, in the currency of the Twilio account. A call whose price
    is not known yet counts with the average price. None means no limit.
    """
    failures: int = Field(default=10, ge=1, le=100)
    """The campaign pauses when this number of the last `failures_of` attempts have failed (the circuit breaker)."""
    failures_of: int = Field(default=20, ge=1, le=100)
    """The number of most recent calls among which `failures` are counted."""
    max_abandoned_per_day: int = Field(default=10, ge=1)
    """The maximum number of abandoned calls within any 24 hours. Each abandoned call lowers the number of calls at the
    same time. When the maximum is reached, no call begins."""
    abandoned_after_s: float = Field(default=2.0, gt=0, le=30)
    """The maximum time in seconds from the end of the first words of a person who answered until the first words of the
    agent. A call with a longer silence counts as abandoned.
    """

    @field_validator("message")
    @classmethod
    def _message(cls, value: str | None) -> str | None:
        return value if value and value.strip() else None

    @field_validator("windows", mode="before")
    @classmethod
    def _windows(cls, value: Any) -> Any:
        return tuple(filter(None, re.split(r";\s*|(?<=\d),\s*", value))) if isinstance(value, str) else value

    @field_validator("retry", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {**retry_rules(_RETRY), **retry_rules(value)}
        return {_retried(name): rule for name, rule in value.items()} if isinstance(value, Mapping) else value

    @field_validator("starts_at", "ends_at")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("write the time with its offset, like 2026-12-01T09:00+01:00")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.failures > self.failures_of:
            raise ValueError("failures is larger than failures_of, so the circuit breaker would never open")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        return self
