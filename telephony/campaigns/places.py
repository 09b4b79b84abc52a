"""Determines the country and the time zones of a phone number. Pure."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import timezone as zones

__all__ = ["country_of", "time_zones"]


@lru_cache(maxsize=65_536)
def country_of(number: str) -> str:
    """Returns the country of a number in E.164, like `US`. Returns an empty text if the number belongs to no
    country.
    """
    region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    return "" if region is None or region == "001" else region


@lru_cache(maxsize=65_536)
def time_zones(number: str) -> tuple[str, ...]:
    """Returns the time zones in which the owner of a number may be. Returns an empty tuple if the time zones are not
    known.
    """
    found = zones.time_zones_for_number(phonenumbers.parse(number))
    return tuple(zone for zone in found if zone != zones.UNKNOWN_TIMEZONE)
