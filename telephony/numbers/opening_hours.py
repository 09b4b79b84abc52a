"""Opening hours: whether a number is open at a time. Pure.

An exception for a date replaces the weekday and the holiday of this date. On a holiday the number is closed. A span
that ends before it begins (`22:00-02:00`) ends on the next day.
"""

from __future__ import annotations

import datetime as dates
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from .policies import Part

__all__ = ["DayException", "Hours", "HoursState", "Span"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in a day. `end` is a `timedelta` since midnight: one day for 24:00, and more than one day for a
    span that ends on the next day.
    """

    start: timedelta
    end: timedelta

    @classmethod
    def parse(cls, text: Any) -> Span:
        """Parses a span such as `08:00-12:30`. Raises `ValueError` for any other text."""
        if isinstance(text, Span):
            return text
        start, dash, end = str(text).partition("-")
        try:
            begins, ends = _since_midnight(start), _since_midnight(end)
        except ValueError:
            dash = ""
        if not dash or begins == ends or begins >= _DAY:
            raise ValueError(f"{text!r} is not a time: write the begin and the end, like 08:00-12:30")
        return cls(begins, ends if ends > begins else ends + _DAY)


def _since_midnight(text: str) -> timedelta:
    if text.strip() == "24:00":
        return _DAY
    at = time.fromisoformat(text.strip())
    return timedelta(hours=at.hour, minutes=at.minute)


_Spans = tuple[Annotated[Span, BeforeValidator(Span.parse)], ...]


class DayException(Part):
    """Different opening hours on one date, or on the dates from `date` to `until`. Without `open`, the number is
    closed.
    """

    date: dates.date
    until: dates.date | None = None
    open: _Spans = ()
    reason: str = ""

    def covers(self, day: dates.date) -> bool:
        return self.date <= day <= (self.until or self.date)

    @model_validator(mode="after")
    def _check(self) -> DayException:
        if self.until is not None and self.until < self.date:
            raise ValueError("`until` is before `date`: exchange the two")
        return self


@dataclass(frozen=True, slots=True)
class HoursState:
    """Whether a number is open at a time. For a closed number, `why` is `hours`, `holiday` or `exception`, and `name`
    is the name of the holiday or the reason of the exception.
    """

    is_open: bool
    why: str = ""
    name: str = ""


class Hours(Part):
    """The opening hours of a week, with exceptions and holidays. On a day without hours the number is closed."""

    timezone: str
    """The name of the time zone, such as `Europe/Berlin`."""
    weekdays: _Spans = ()
    """The opening hours of each day from Monday to Friday. The field of a single day, such as `monday`, has
    priority.
    """
    monday: _Spans | None = None
    tuesday: _Spans | None = None
    wednesday: _Spans | None = None
    thursday: _Spans | None = None
    friday: _Spans | None = None
    saturday: _Spans = ()
    sunday: _Spans = ()
    holidays: str = Field(default="", examples=["DE-BE"])
    """The country, or the part of a country, on whose public holidays the number is closed: `DE`, `DE-BE`, `US-CA`."""
    exceptions: tuple[DayException, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not a time zone: write a name like Europe/Berlin") from None
        return value

    @field_validator("holidays")
    @classmethod
    def _check_holidays(cls, value: str) -> str:
        if value:
            _holidays(value)
        return value

    def at(self, moment: datetime) -> HoursState:
        """Returns whether the number is open at `moment`, and the reason if it is closed. `moment` must have a time
        zone.
        """
        local = moment.astimezone(ZoneInfo(self.timezone))
        today = local.date()
        for day in (today, today - _DAY):
            spans, _, _ = self._day(day)
            if any(begins <= local < ends for begins, ends in self._moments(day, spans)):
                return HoursState(True)
        _, why, name = self._day(today)
        return HoursState(False, why, name)

    def _day(self, day: dates.date) -> tuple[_Spans, str, str]:
        """Returns the opening hours of a day, and the rule from which the hours come."""
        for exception in self.exceptions:
            if exception.covers(day):
                return exception.open, "exception", exception.reason
        if self.holidays and (name := _holidays(self.holidays).get(day)):
            return (), "holiday", str(name)
        spans: _Spans | None = getattr(self, _DAYS[day.weekday()])
        return (self.weekdays if spans is None else spans), "hours", ""

    def _moments(self, day: dates.date, spans: _Spans) -> Iterator[tuple[datetime, datetime]]:
        zone = ZoneInfo(self.timezone)
        for span in spans:
            yield _wall(day, span.start, zone), _wall(day, span.end, zone)


def _wall(day: dates.date, since_midnight: timedelta, zone: ZoneInfo) -> datetime:
    """Returns the local time of a clock that is `since_midnight` after midnight, also on a day on which the clock is
    changed.
    """
    days, rest = divmod(since_midnight, _DAY)
    at = time(rest.seconds // 3600, rest.seconds // 60 % 60)
    return datetime.combine(day + timedelta(days=days), at, zone)


@cache
def _holidays(name: str) -> Any:
    """Returns the holidays of a country or of a part of a country. Raises `ValueError` for an unknown name."""
    import holidays  # loads its countries

    country, _, part = name.partition("-")
    try:
        return holidays.country_holidays(country.upper(), subdiv=part.upper() or None, language="en_US")
    except NotImplementedError:
        raise ValueError(
            f"the holidays of {name!r} are not known: write a country like DE, or a part of it like DE-BE"
        ) from None
