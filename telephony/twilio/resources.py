"""The resources of Twilio's REST API that `TwilioRest` returns. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Account", "Application", "CallResource", "DialingPermission", "PhoneNumber"]


@dataclass(frozen=True, slots=True)
class Account:
    """A Twilio account: https://www.twilio.com/docs/iam/api/account"""

    sid: str
    status: str
    """The status: `active`, `suspended` or `closed`."""
    is_trial: bool


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A phone number of the account: https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource"""

    sid: str
    number: str
    voice: bool
    """Whether the number can receive voice calls."""
    voice_url: str
    voice_method: str
    voice_fallback_url: str
    status_callback: str
    voice_application_sid: str
    """The SID of a TwiML application. If set, Twilio uses the settings of the application in place of the settings of
    the number.
    """
    trunk_sid: str
    """The SID of a SIP trunk. If set, calls go to this trunk, and the webhook is not used."""
    voice_fallback_method: str = ""
    status_callback_method: str = ""

    @classmethod
    def of(cls, it: Any) -> PhoneNumber:
        return cls(
            sid=str(it.sid),
            number=str(it.phone_number),
            voice=bool((it.capabilities or {}).get("voice", True)),
            voice_url=it.voice_url or "",
            voice_method=it.voice_method or "",
            voice_fallback_url=it.voice_fallback_url or "",
            status_callback=it.status_callback or "",
            voice_application_sid=it.voice_application_sid or "",
            trunk_sid=it.trunk_sid or "",
            voice_fallback_method=it.voice_fallback_method or "",
            status_callback_method=it.status_callback_method or "",
        )


@dataclass(frozen=True, slots=True)
class Application:
    """A TwiML application: https://www.twilio.com/docs/usage/api/applications"""

    sid: str
    name: str
    voice_url: str


@dataclass(frozen=True, slots=True)
class DialingPermission:
    """The permission to call a country: https://www.twilio.com/docs/voice/api/dialingpermissions-country-resource"""

    country: str
    enabled: bool
    """Whether ordinary numbers may be called. High-risk numbers have their own permissions."""


@dataclass(frozen=True, slots=True)
class CallResource:
    """A call at Twilio: https://www.twilio.com/docs/voice/api/call-resource"""

    sid: str
    status: str
    direction: str
    created: datetime | None
    duration_s: int
    cost: float | None
    """The price of the call. None until Twilio has computed the price."""
    currency: str
    from_: str = ""
    to: str = ""

    @classmethod
    def of(cls, it: Any) -> CallResource:
        price = _number(it.price)
        return cls(
            str(it.sid),
            str(it.status),
            str(it.direction),
            it.date_created if isinstance(it.date_created, datetime) else None,
            int(_number(it.duration) or 0),
            None if price is None else -price,
            str(it.price_unit or ""),
            str(getattr(it, "_from", "") or ""),
            str(getattr(it, "to", "") or ""),
        )


def _number(value: Any) -> float | None:
    """Returns a number in a response. Returns None if the value is missing or is no number, because the rest of the
    response is still useful.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
