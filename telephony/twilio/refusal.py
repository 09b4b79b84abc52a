"""How to answer a call that is not taken, as the settings say it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Refusal", "parse_refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """`twiml.refuse` makes the document for it."""

    kind: Literal["busy", "queue", "url", "number", "say"]
    value: str = ""


def parse_refusal(text: str) -> Refusal:
    """`busy` (the call is not answered, and not billed), `queue:NAME`, `https://...` (other TwiML), `+14155550100`
    (dialled), or `say:TEXT`. Raises `ValueError`."""
    text = text.strip()
    kind, colon, value = text.partition(":")
    if text == "busy":
        return Refusal("busy")
    if urlsplit(text).scheme in ("http", "https") and urlsplit(text).hostname:
        return Refusal("url", text)
    if re.fullmatch(r"\+[1-9][0-9]{1,14}", text):
        return Refusal("number", text)
    if colon and value.strip() and kind in ("queue", "say"):
        return Refusal("queue" if kind == "queue" else "say", value.strip())
    raise ValueError("write busy, queue:NAME, say:TEXT, a URL that answers with TwiML, or a number like +14155550100")
