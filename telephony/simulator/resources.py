"""Builds the JSON of the resources and errors of the simulated REST API, as Twilio does. Pure.

https://www.twilio.com/docs/voice/api/call-resource, https://www.twilio.com/docs/usage/twilios-response
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .documented_parameters import API

if TYPE_CHECKING:
    from .calls import SimulatedCall
    from .recordings import Recording
    from .rooms import Member, Room

__all__ = [
    "OwnedNumber",
    "application",
    "call",
    "caller_id",
    "conference",
    "dialing_permission",
    "error",
    "number",
    "page",
    "participant",
    "recording",
]

_PRICE_PER_MINUTE = 0.014


class OwnedNumber:
    """A phone number of the simulated Twilio account. A call to the number requests `voice_url`."""

    FIELDS = (
        "VoiceUrl", "VoiceMethod", "VoiceFallbackUrl", "VoiceFallbackMethod", "StatusCallback", "StatusCallbackMethod",
        "FriendlyName", "VoiceApplicationSid", "TrunkSid",
    )  # fmt: skip

    def __init__(self, sid: str, phone_number: str, voice_url: str = "") -> None:
        self.sid = sid
        self.phone_number = phone_number
        self.voice_url = voice_url
        self.voice_method = self.status_callback_method = self.voice_fallback_method = "POST"
        self.voice_fallback_url = self.status_callback = self.friendly_name = ""
        self.voice_application_sid = self.trunk_sid = ""
        self.voice_region = "us1"
        self.capabilities = {"voice": True, "sms": False, "mms": False, "fax": False}


def region(it: OwnedNumber, account_sid: str) -> dict[str, Any]:
    """Returns the region of the number `it` in the form of Twilio's Routes API."""
    return {
        "phone_number": it.phone_number,
        "url": f"https://routes.twilio.com/v2/PhoneNumbers/{it.phone_number}",
        "sid": f"QQ{it.sid[2:]}",
        "account_sid": account_sid,
        "friendly_name": it.friendly_name,
        "voice_region": it.voice_region,
        "date_created": None,
        "date_updated": None,
    }


def error(status: int, code: int, message: str) -> dict[str, Any]:
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def page(name: str, items: list[dict[str, Any]], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Returns one page of the resources `items` as the JSON of a listing with the key `name` and the URL `path`, as
    selected by the query of the request.
    """
    number, size = (int(query.get(key, default)) for key, default in (("Page", 0), ("PageSize", 50)))
    shown = items[number * size : (number + 1) * size]

    def uri(page: int) -> str:
        return f"{path}?{urlencode({**query, 'PageSize': size, 'Page': page})}"

    return {
        name: shown,
        "page": number,
        "page_size": size,
        "uri": uri(number),
        "first_page_uri": uri(0),
        "previous_page_uri": uri(number - 1) if number else None,
        "next_page_uri": uri(number + 1) if (number + 1) * size < len(items) else None,
        "start": number * size,
        "end": number * size + max(0, len(shown) - 1),
    }


def call(it: SimulatedCall) -> dict[str, Any]:
    account = it.twilio.account_sid
    uri = f"{API}/{account}/Calls/{it.sid}"
    over = it.ended is not None
    priced = it.ended is not None and (it.twilio.sources.now() - it.ended).total_seconds() >= it.twilio.price_after_s
    minutes = -(-it.duration_s // 60)
    return {
        "sid": it.sid,
        "account_sid": account,
        "parent_call_sid": None if it.parent is None else it.parent.sid,
        "to": it.to,
        "to_formatted": it.to,
        "from": it.from_,
        "from_formatted": it.from_,
        "status": it.status,
        "direction": it.direction,
        "answered_by": it.answered_by,
        "date_created": _date(it.created),
        "date_updated": _date(it.updated),
        "start_time": _date(it.started),
        "end_time": _date(it.ended),
        "duration": str(it.duration_s) if over else None,
        "price": f"{-_PRICE_PER_MINUTE * minutes:.5f}" if priced else None,
        "price_unit": "USD",
        "phone_number_sid": None,
        "api_version": "2010-04-01",
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": str(it.queued_ms),
        "trunk_sid": None,
        "annotation": None,
        "uri": f"{uri}.json",
        "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
    }


def number(it: OwnedNumber, account: str) -> dict[str, Any]:
    return {
        "sid": it.sid,
        "account_sid": account,
        "phone_number": it.phone_number,
        "friendly_name": it.friendly_name or it.phone_number,
        "voice_url": it.voice_url,
        "voice_method": it.voice_method,
        "voice_fallback_url": it.voice_fallback_url,
        "voice_fallback_method": it.voice_fallback_method,
        "status_callback": it.status_callback,
        "status_callback_method": it.status_callback_method,
        "voice_application_sid": it.voice_application_sid,
        "trunk_sid": it.trunk_sid or None,
        "capabilities": dict(it.capabilities),
        "api_version": "2010-04-01",
        "uri": f"{API}/{account}/IncomingPhoneNumbers/{it.sid}.json",
    }


def application(sid: str, voice_url: str, account: str) -> dict[str, Any]:
    return {
        "sid": sid,
        "account_sid": account,
        "friendly_name": "Simulated",
        "voice_url": voice_url,
        "voice_method": "POST",
        "api_version": "2010-04-01",
        "uri": f"{API}/{account}/Applications/{sid}.json",
    }


def caller_id(number: str, account: str) -> dict[str, Any]:
    return {"sid": f"PN{number[1:]:0>32}", "account_sid": account, "phone_number": number, "friendly_name": number}


def dialing_permission(country: str, *, enabled: bool) -> dict[str, Any]:
    return {
        "iso_code": country,
        "name": country,
        "country_codes": [],
        "low_risk_numbers_enabled": enabled,
        "high_risk_special_numbers_enabled": False,
        "high_risk_tollfraud_numbers_enabled": False,
    }


def conference(it: Room, account: str) -> dict[str, Any]:
    uri = f"{API}/{account}/Conferences/{it.sid}"
    return {
        "sid": it.sid,
        "account_sid": account,
        "friendly_name": it.name,
        "status": it.status,
        "region": "us1",
        "api_version": "2010-04-01",
        "uri": f"{uri}.json",
        "subresource_uris": {"participants": f"{uri}/Participants.json"},
    }


def recording(it: Recording) -> dict[str, Any]:
    account = it.call.twilio.account_sid
    return {
        "sid": it.sid,
        "account_sid": account,
        "call_sid": it.call.sid,
        "status": it.status,
        "source": it.source,
        "channels": it.channels,
        "duration": str(it.duration_s) if it.is_over else None,
        "start_time": _date(it.started),
        "date_created": _date(it.started),
        "api_version": "2010-04-01",
        "uri": f"{API}/{account}/Calls/{it.call.sid}/Recordings/{it.sid}.json",
    }


def participant(room: Room, it: Member, account: str) -> dict[str, Any]:
    return {
        "account_sid": account,
        "conference_sid": room.sid,
        "call_sid": it.call.sid,
        "label": it.label or None,
        "muted": it.muted,
        "hold": it.hold,
        "start_conference_on_enter": it.starts,
        "end_conference_on_exit": it.ends,
        "coaching": it.coaches is not None,
        "call_sid_to_coach": it.coaches,
        "status": "connected",
        "api_version": "2010-04-01",
        "uri": f"{API}/{account}/Conferences/{room.sid}/Participants/{it.call.sid}.json",
    }


def _date(value: datetime | None) -> str | None:
    return None if value is None else format_datetime(value)
