"""Adds the text of a search field to a query of calls: a phone number in any notation, or words."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

from ..errors import CallRefused
from ..outbound.dialing_rules import e164 as dialed
from ..records.call_query import CallQuery, Party
from ..twilio.numbers import e164
from ..web.phone_server import PhoneServer

__all__ = ["is_like_number", "text_query"]


def text_query(phone: PhoneServer, text: str, query: CallQuery) -> CallQuery:
    """Returns `query` with a condition for the search text: the number of a party of the call if the text is a complete
    number, else words. An empty text adds no condition.
    """
    subject_of, text = phone.call_records.subjects.of, text.strip()
    if number := _number(text):
        return replace(query, number=Party.of(number, subject_of))
    national = _national_number(phone, text)
    return replace(query, text=text, text_number=Party.of(national, subject_of) if national else None)


def is_like_number(text: str) -> bool:
    """Returns whether the text may be a phone number: at least seven digits, and no letters."""
    return sum(map(str.isdigit, text)) >= 7 and re.fullmatch(r"[+\d\s().\-/]+", text) is not None


def _number(text: str) -> str:
    """Returns the number in E.164 if the text is a complete number. Returns an empty text if the text may be a part of
    a number, and must be searched as words.
    """
    if not is_like_number(text):
        return ""
    try:
        return e164(text)
    except ValueError:
        return ""


def _national_number(phone: PhoneServer, text: str) -> str:
    """Returns the number in E.164 if the text is a complete number without its country code, in the country of one of
    the own numbers. Returns an empty text otherwise.
    """
    if not is_like_number(text):
        return ""
    configured = () if phone.numbers is None else phone.numbers.book.config.numbers
    for own in (phone.settings.twilio_phone_number, *configured):
        with contextlib.suppress(CallRefused):
            return dialed(text, own or "")
    return ""
