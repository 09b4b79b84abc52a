"""Whom we may call, and when. Pure.

Twilio enforces none of this: not the callee's night, nor a wish not to be called.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers import timezone as zones

from realtime_core.errors import UserError

from ..errors import CallRefused
from ..twilio.numbers import e164 as international
from ..twilio.numbers import plain, tidy

__all__ = ["DialingRules", "e164"]

_COSTLY = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company-wide number whose cost is not known",
}


@dataclass(frozen=True, slots=True)
class DialingRules:
    """The rules. `check` raises `CallRefused` for a call that must not be made.

    - `countries`: regions (`US`, `DE`) that may be called; None: that of our own number.
    - `quiet_from`, `quiet_until`: nobody is called between these, in the callee's local time; equal: no quiet hours.
    - `timezone`: of the callees, where it is known better than by the number.
    - `do_not_call`: those who do not want to be called: a `DoNotCall` file, or numbers in E.164. With a file the agents
      of calls get the tool `opt_out`.

    `dialing_rules_of` makes them from the settings.
    """

    countries: Collection[str] | None = None
    quiet_from: time = time(21, 0)
    quiet_until: time = time(8, 0)
    timezone: str | None = None
    do_not_call: Container[str] = ()

    def __post_init__(self) -> None:
        """Raises `UserError` for a number or a country that cannot be meant so."""
        if self.countries is not None:
            given = self.countries.split(",") if isinstance(self.countries, str) else self.countries
            countries = frozenset(tidy(country).upper() for country in given)
            if unknown := countries - phonenumbers.SUPPORTED_REGIONS - {"001"}:  # numbers of no country
                raise UserError(
                    f"DialingRules(countries=...): {', '.join(sorted(unknown))}: write regions like US and DE."
                )
            object.__setattr__(self, "countries", countries)
        if isinstance(self.do_not_call, list | tuple | set | frozenset):
            try:
                object.__setattr__(self, "do_not_call", frozenset(map(international, self.do_not_call)))
            except ValueError as error:
                raise UserError(f"DialingRules(do_not_call=...): {error}.") from None

    @classmethod
    def none(cls) -> DialingRules:
        """Any country, any hour: where nobody is really called."""
        return cls(countries=phonenumbers.SUPPORTED_REGIONS, quiet_from=time(0), quiet_until=time(0))

    @classmethod
    def at_any_hour(cls) -> DialingRules:
        """Without quiet hours."""
        return cls(quiet_from=time(0), quiet_until=time(0))

    def check(self, to: str, *, from_: str, now: datetime, timezone: str | None = None) -> str:
        """The number in E.164. `timezone`: this callee's, where it is known.

        Raises:
            CallRefused: it is none, costs more than a call, lies in another country, is asleep, or wants no calls.
        """
        number = _parse(to, from_)
        e164 = _e164(number)
        if (what := _COSTLY.get(phonenumbers.number_type(number))) is not None:
            raise CallRefused(f"{e164} is {what}; such numbers are not called.")
        region = phonenumbers.region_code_for_number(number)
        allowed = {_region(from_)} if self.countries is None else set(self.countries)
        if region not in allowed:
            where = ", ".join(sorted(filter(None, allowed))) or "nowhere"
            raise CallRefused(
                f"{e164} lies in {region}, and calls go to {where}; say DialingRules(countries=...) for more."
            )
        if e164 in self.do_not_call:
            raise CallRefused(f"{e164} does not want to be called.")
        zone = tidy(timezone or self.timezone or "") or None
        if zone is not None:
            _zone(zone)  # one that is none is told at any hour
        if self.quiet_from != self.quiet_until:
            self._check_hours(number, e164, now, zone)
        return e164

    def _check_hours(self, number: PhoneNumber, e164: str, now: datetime, zone: str | None) -> None:
        """Where a number may lie in several zones it is quiet while it is quiet in any of them."""
        for name in [zone] if zone else zones.time_zones_for_number(number):
            if name == zones.UNKNOWN_TIMEZONE:
                raise CallRefused(f"Nobody knows what time it is where {e164} is: say its time zone.")
            there = now.astimezone(_zone(name))
            if self._is_quiet(there.time()):
                hours = f"{self.quiet_from:%H:%M} to {self.quiet_until:%H:%M}"
                raise CallRefused(
                    f"It is {there:%H:%M} where {e164} is ({name}); nobody is called from {hours} "
                    "(TELEPHONY_QUIET_HOURS; off, or --any-hour: at any hour)."
                )

    def _is_quiet(self, at: time) -> bool:
        if self.quiet_from <= self.quiet_until:
            return self.quiet_from <= at < self.quiet_until
        return at >= self.quiet_from or at < self.quiet_until


def e164(to: str, from_: str) -> str:
    """A number as people write it, in E.164; without a country it lies in that of `from_`. Raises `CallRefused`."""
    return _e164(_parse(to, from_))


def _e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse(to: str, from_: str) -> PhoneNumber:
    try:
        number = phonenumbers.parse(plain(to), _region(from_))
    except ValueError as error:
        raise CallRefused(f"{to!r} is not called: {error}.") from error
    except phonenumbers.NumberParseException as error:
        raise CallRefused(f"{to!r} is no phone number: write it like +14155550123.") from error
    if not phonenumbers.is_valid_number(number):
        raise CallRefused(f"{to!r} is no number that anybody can have.")
    return number


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise CallRefused(f"{name!r} is no time zone: write it like Europe/Berlin.") from None


def _region(number: str) -> str | None:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
