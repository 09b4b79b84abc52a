"""Computes when a callee may be called, from weekly windows, quiet hours and holidays in the callee's local time. Pure.

Holidays come from the package `holidays`, by the country of the number. A country that the package does not contain has
no holidays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, Self
from zoneinfo import ZoneInfo

import holidays as public_holidays
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ..outbound.dialing_rules import is_quiet

__all__ = ["CallingHours", "ClosedBy", "Window", "is_holiday"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WRITTEN = re.compile(r"(?:([a-z,\- ]+?)\s+)?(\d{1,2}(?::\d{2})?)\s*-\s*(\d{1,2}(?::\d{2})?)", re.IGNORECASE)
_SEARCH_DAYS = 400
"""The number of days in which an open window is searched. If no window is found, the callee is never called."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week in which a campaign may call, in the local time of the callee: from `start` to `until` on each
    of the weekdays `days`. 0 is Monday. `until` 00:00 is midnight at the end of the day.
    """

    days: frozenset[int]
    start: time
    until: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses a window such as `mon-fri 09:00-18:00`, `sat,sun 10-16`, or `09:00-18:00` for every day. Raises
        `ValueError` for any other text.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a window: write mon-fri 09:00-18:00")
        start, until = _time(found[2], text), _time(found[3], text)
        if until != time(0) and until <= start:
            raise ValueError(f"{text!r} ends before it begins: a window lies within one day")
        return cls(_days(found[1], text), start, until)

    def __str__(self) -> str:
        days = ",".join(_DAYS[day] for day in sorted(self.days))
        return f"{days} {self.start:%H:%M}-{self.until:%H:%M}" if len(self.days) < 7 else self._hours

    @property
    def _hours(self) -> str:
        return f"{self.start:%H:%M}-{self.until:%H:%M}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Window:
            return value if isinstance(value, Window) else cls.parse(str(value))

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _time(text: str, whole: str) -> time:
    hours, _, minutes = text.partition(":")
    if int(hours) == 24 and int(minutes or 0) == 0:
        return time(0)
    try:
        return time(int(hours), int(minutes or 0))
    except ValueError:
        raise ValueError(f"{whole!r}: {text} is not a time of day") from None


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None or text.strip().lower() == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.replace(" ", "").lower().split(","):
        first, dash, last = part.partition("-")
        try:
            start, end = _DAYS.index(first[:3]), _DAYS.index((last if dash else first)[:3])
        except ValueError:
            raise ValueError(f"{whole!r}: write the days as mon, tue, wed, thu, fri, sat, sun") from None
        days |= {(start + n) % 7 for n in range((end - start) % 7 + 1)}
    return frozenset(days)


@lru_cache(maxsize=256)
def _holidays(country: str, year: int) -> frozenset[date]:
    if country not in public_holidays.list_supported_countries():
        return frozenset()
    return frozenset(public_holidays.country_holidays(country, years=year))


def is_holiday(day: date, country: str) -> bool:
    """Returns whether this day is a public holiday in the whole country `country` (such as `US` or `DE`)."""
    return day in _holidays(country, day.year)


class ClosedBy(Enum):
    """The rules that forbid a call at a time."""

    QUIET_HOURS = "quiet-hours"
    HOLIDAY = "holiday"
    WINDOW = "window"
    """The time is outside of the weekly windows."""


@dataclass(frozen=True, slots=True)
class CallingHours:
    """The hours in which one callee may be called.

    `zones` are the time zones in which the callee may be. A call is allowed only if it is allowed in each of these
    zones. If `zones` is empty, no call is allowed. `quiet_from` and `quiet_until` are as in `DialingRules`: if they are
    equal, there are no quiet hours. `country` is the country whose public holidays allow no call. If `country` is
    empty, calls are allowed on holidays.
    """

    zones: tuple[str, ...]
    windows: Sequence[Window] = ()
    quiet_from: time = time(0)
    quiet_until: time = time(0)
    country: str = ""

    def is_open(self, now: datetime) -> bool:
        return bool(self.zones) and self.closed_by(now) is None

    def closed_by(self, now: datetime) -> ClosedBy | None:
        """Returns the rule that forbids a call at the time `now`, or None if no rule does. The rules are checked in
        each time zone in which the callee may be, in the order of `zones`. The first rule that forbids the call is
        returned.
        """
        rules = (self._closed_by_in(now.astimezone(ZoneInfo(zone))) for zone in self.zones)
        return next((rule for rule in rules if rule is not None), None)

    def next_open(self, now: datetime) -> datetime | None:
        """Returns the first time from `now` on at which the callee may be called, in UTC, or None if there is no such
        time within 400 days.
        """
        if not self.zones:
            return None
        at, end = now, now + timedelta(days=_SEARCH_DAYS)
        while at < end:
            closed = [zone for zone in self.zones if self._closed_by_in(at.astimezone(ZoneInfo(zone)))]
            if not closed:
                return at.astimezone(UTC)
            at = max(self._next_edge(at, ZoneInfo(zone)) for zone in closed)
        return None

    def _closed_by_in(self, local: datetime) -> ClosedBy | None:
        if is_quiet(local.time(), self.quiet_from, self.quiet_until):
            return ClosedBy.QUIET_HOURS
        if self.country and is_holiday(local.date(), self.country):
            return ClosedBy.HOLIDAY
        is_open = not self.windows or any(
            local.weekday() in window.days
            and window.start <= local.time() < (time.max if window.until == time(0) else window.until)
            for window in self.windows
        )
        return None if is_open else ClosedBy.WINDOW

    def _next_edge(self, at: datetime, zone: ZoneInfo) -> datetime:
        """Returns the next time after `at` at which a call may become allowed or forbidden in this zone."""
        local = at.astimezone(zone)
        edges = {time(0), self.quiet_from, self.quiet_until, *(window.start for window in self.windows)}
        for days in (0, 1):
            day = local.date() + timedelta(days=days)
            found = [instant for each in edges for instant in _instants(day, each, zone) if instant > at]
            if found:
                return min(found)
        raise AssertionError("midnight of the next day lies in the future")


def _instants(day: date, at: time, zone: ZoneInfo) -> set[datetime]:
    """Returns this local time in UTC. Returns two times if the local time occurs twice, because the clock is set
    back.
    """
    local = datetime.combine(day, at, zone)
    return {local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
