"""The dialing rules: which numbers may be called, and at which times. Pure.

Twilio enforces neither quiet hours nor a do-not-call list.
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
        """Validates the numbers and countries. Raises `UserError` for an invalid number or country."""
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
        """Returns rules that allow any country at any hour, for simulated calls."""
        return cls(countries=phonenumbers.SUPPORTED_REGIONS, quiet_from=time(0), quiet_until=time(0))

    @classmethod
    def at_any_hour(cls) -> DialingRules:
        """Returns the default rules without quiet hours."""
        return cls(quiet_from=time(0), quiet_until=time(0))

    def check(self, to: str, *, from_: str, now: datetime, timezone: str | None = None) -> str:
        """Checks whether the number `to` may be called from the number `from_` at the time `now`. Returns the number in
        E.164. `timezone` is the time zone of this callee, if the time zone is known.

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
        if e164 in self.do_not_call:
            raise CallRefused(f"{e164} is on the do-not-call list.")
        zone = tidy(timezone or self.timezone or "") or None
        if zone is not None:
            _zone(zone)  # an invalid time zone is an error at any hour
        if self.quiet_from != self.quiet_until:
            self._check_hours(number, e164, now, zone)
        return e164

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


def _parse(to: str, from_: str) -> PhoneNumber:
    try:
        number = phonenumbers.parse(plain(to), _region(from_))
    except ValueError as error:
        raise CallRefused(f"{to!r} is not called: {error}.") from error
    except phonenumbers.NumberParseException as error:
        raise CallRefused(f"{to!r} is not a phone number: write it like +14155550123.") from error
    if not phonenumbers.is_valid_number(number):
        raise CallRefused(f"{to!r} is not a valid phone number.")
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
