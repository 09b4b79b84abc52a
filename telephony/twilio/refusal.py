"""Parses the setting that says what Twilio does with an inbound call that is refused, such as `busy` or `say:TEXT`.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from .numbers import e164, legible, tidy

__all__ = ["Refusal", "parse_refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response to a call that is refused: the busy tone, or a queue, a URL with TwiML, a phone number or a spoken
    text (`value`). `twiml.refuse` returns the TwiML of the response.
    """

    kind: Literal["busy", "queue", "url", "number", "say"]
    value: str = ""


def parse_refusal(text: str) -> Refusal:
    """Parses the setting for the response to a refused call: `busy` (the call is not answered and not billed),
    `queue:NAME`, `https://...` (other TwiML), `+14155550100` (a number to dial), or `say:TEXT`. Raises `ValueError` for
    any other text.
    """
    text = tidy(text)
    kind, colon, value = text.partition(":")
    if text == "busy":
        return Refusal("busy")
    if urlsplit(text).scheme in ("http", "https") and urlsplit(text).hostname:
        return Refusal("url", text)
    if legible(text).startswith("+"):
        return Refusal("number", e164(text))
    if colon and value.strip() and kind in ("queue", "say"):
        return Refusal("queue" if kind == "queue" else "say", value.strip())
    raise ValueError("write busy, queue:NAME, say:TEXT, a URL that answers with TwiML, or a number like +14155550100")
