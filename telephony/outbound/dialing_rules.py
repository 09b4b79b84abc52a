"""The dialing rules: which numbers may be called, and at which times. Pure.

Twilio enforces neither quiet hours nor a do-not-call list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers import timezone as zones

from realtime_core.errors import UserError

from ..errors import CallRefused
from ..twilio.numbers import e164 as international
from ..twilio.numbers import legible, plain, tidy
from ..twilio.phone_forms import forms_of_one_phone

__all__ = ["DialingRules", "e164", "is_quiet"]

_COSTLY = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company-wide number whose cost is not known",
}


@dataclass(frozen=True, slots=True)
class DialingRules:
    """The dialing rules. `check` raises `CallRefused` for a call that the rules forbid.

    - `countries`: the regions that may be called (`US`, `DE`). With None, only the region of the calling number may be
      called.
    - `quiet_from`, `quiet_until`: the start and the end of the quiet hours, in the local time of the callee. If both
      are equal, there are no quiet hours.
    - `timezone`: the time zone of the callees. With None, the time zone is derived from each number.
    - `do_not_call`: the numbers that must never be called: a `DoNotCall` file, or numbers in E.164. With a file, the
      agents of placed calls get the tool `opt_out`.

    `dialing_rules_of` creates the rules from the settings.
    """

    countries: Collection[str] | None = None
    quiet_from: time = time(21, 0)
    quiet_until: time = time(8, 0)
    timezone: str | None = None
    do_not_call: Container[str] = ()

    def __post_init__(self) -> None:
        """Validates the rules. Raises `UserError` for an invalid number, country, time or time zone."""
        for name in ("quiet_from", "quiet_until"):
            object.__setattr__(self, name, _time_of_day(name, getattr(self, name)))
        if self.countries is not None:
            given = self.countries.split(",") if isinstance(self.countries, str) else self.countries
            if not isinstance(given, Iterable) or not all(isinstance(country, str) for country in given):
                raise UserError("DialingRules(countries=...): write a list of regions, like ['US', 'DE'].")
            countries = frozenset(tidy(country).upper() for country in given)
            if unknown := countries - phonenumbers.SUPPORTED_REGIONS - {"001"}:  # numbers of no country
                raise UserError(
                    f"DialingRules(countries=...): {', '.join(sorted(unknown))}: write regions like US and DE."
                )
            object.__setattr__(self, "countries", countries)
        object.__setattr__(self, "do_not_call", _do_not_call(self.do_not_call))
        if self.timezone:
            try:
                _zone(self.timezone)
            except CallRefused as error:
                raise UserError(f"DialingRules(timezone=...): {error}") from None

    @classmethod
    def none(cls) -> DialingRules:
        """Returns rules that allow any country at any hour, for simulated calls."""
        return cls(countries=phonenumbers.SUPPORTED_REGIONS, quiet_from=time(0), quiet_until=time(0))

    @classmethod
    def at_any_hour(cls) -> DialingRules:
        """Returns the default dialing rules, but without quiet hours, so numbers may be called at any hour."""
        return cls(quiet_from=time(0), quiet_until=time(0))

    def check(self, to: str, *, from_: str, now: datetime, timezone: str | ZoneInfo | None = None) -> str:
        """Checks whether the number `to` may be called from the number `from_` at the time `now`. Returns `to` in
        E.164. `timezone` is the time zone of this callee. With None, the time zone of the rules applies, or the time
        zone of the number.

        Raises:
            CallRefused: the number is invalid, has special costs, is in another country, is in quiet hours now, or is
                on the do-not-call list.
        """
        number = _parse(to, from_)
        e164 = _e164(number)
        if (what := _COSTLY.get(phonenumbers.number_type(number))) is not None:
            raise CallRefused(f"{e164} is {what}; such numbers are never called.")
        region = phonenumbers.region_code_for_number(number)
        allowed = {_region(from_)} if self.countries is None else set(self.countries)
        if region not in allowed:
            where = ", ".join(sorted(filter(None, allowed))) or "nowhere"
            raise CallRefused(
                f"{e164} lies in {region}, and calls go to {where}; say DialingRules(countries=...) for more."
            )
        if self.lists(e164):
            raise CallRefused(f"{e164} is on the do-not-call list.")
        zone = timezone or self.timezone or None
        if zone is not None:
            zone = _zone(zone).key  # an invalid time zone is an error at any hour
        if self.quiet_from != self.quiet_until:
            self._check_hours(number, e164, now, zone)
        return e164

    def lists(self, number: str) -> bool:
        """Returns whether a number in E.164 is on the do-not-call list, in any form (`forms_of_one_phone`).

        Raises:
            CallRefused: the list cannot be read.
        """
        return any(form in self.do_not_call for form in forms_of_one_phone(number))

    def _check_hours(self, number: PhoneNumber, e164: str, now: datetime, zone: str | None) -> None:
        """Checks the quiet hours. If a number may be in several time zones, the call is refused while any of these time
        zones has quiet hours.
        """
        for name in [zone] if zone else zones.time_zones_for_number(number):
            if name == zones.UNKNOWN_TIMEZONE:
                raise CallRefused(f"The time zone of {e164} is not known: give its time zone.")
            there = now.astimezone(_zone(name))
            if is_quiet(there.time(), self.quiet_from, self.quiet_until):
                hours = f"{self.quiet_from:%H:%M} to {self.quiet_until:%H:%M}"
                raise CallRefused(
                    f"It is {there:%H:%M} where {e164} is ({name}); no calls from {hours} "
                    "(TELEPHONY_QUIET_HOURS; off, or --any-hour: at any hour).",
                    temporary=True,
                )


def is_quiet(at: time, start: time, until: time) -> bool:
    """Returns whether the quiet hours from `start` to `until` contain the time of day `at`. Quiet hours may include
    midnight. If `start` and `until` are equal, there are no quiet hours.
    """
    if start <= until:
        return start <= at < until
    return at >= start or at < until


def e164(to: str, from_: str) -> str:
    """Converts a number in any usual notation to E.164. The default country is the country of `from_`. Raises
    `CallRefused` for an invalid number.
    """
    return _e164(_parse(to, from_))


def _e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse(to: object, from_: object) -> PhoneNumber:
    region = _region(from_)
    try:
        number = phonenumbers.parse(plain(to), region)
    except ValueError as error:
        raise CallRefused(f"{to!r:.100} is not called: {error}.") from error
    except phonenumbers.NumberParseException as error:
        raise CallRefused(f"{to!r} is not a phone number: write it like +14155550123.") from error
    if not phonenumbers.is_valid_number(number):
        raise CallRefused(f"{to!r} is not a valid phone number.")
    return number


def _time_of_day(name: str, given: object) -> time:
    """Returns a time of day, which may be given as text, such as `21:00`."""
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            given = time.fromisoformat(given)
    if not isinstance(given, time) or given.tzinfo is not None:
        raise UserError(f"DialingRules({name}=...): write a time without a time zone, like time(21, 0) or '21:00'.")
    return given


def _zone(zone: object) -> ZoneInfo:
    try:
        name = zone.key if isinstance(zone, ZoneInfo) else zone
        if not isinstance(name, str):
            raise ValueError
        return ZoneInfo(tidy(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CallRefused(f"{zone!r:.100} is no time zone: write it like Europe/Berlin.") from None


def _region(number: object) -> str | None:
    """Returns the region of the calling number, or None if its region is not known."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(legible(number)))
    except phonenumbers.NumberParseException:
        return None
    except ValueError as error:
        raise CallRefused(f"No number is called from {number!r:.100}: {error}.") from error


def _do_not_call(given: Any) -> Container[str]:
    """Returns the numbers of a collection in E.164. Another container, such as a `DoNotCall` file, is not changed.
    Raises `UserError` for a value that contains no numbers.
    """
    if given is None:
        return ()
    if isinstance(given, str | PhoneNumber):
        given = [given]
    if not isinstance(given, list | tuple | Set | Mapping | Iterator):
        if isinstance(given, Container) and not isinstance(given, bytes | bytearray):
            return given
        raise UserError("DialingRules(do_not_call=...): write a list of numbers, or DoNotCall(file).")
    try:
        return frozenset(_e164(phonenumbers.parse(international(each))) for each in given)
    except (ValueError, phonenumbers.NumberParseException) as error:
        raise UserError(f"DialingRules(do_not_call=...): {error}.") from None
