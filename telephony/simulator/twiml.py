"""Reads the TwiML that a webhook answers. So far its first `<Connect><Stream>` counts. Pure.

https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import RingFailed
from .documents import MAX_BYTES, DocumentRefused, Verb, parse

__all__ = ["MAX_BYTES", "Stream", "stream_of"]


@dataclass(frozen=True, slots=True)
class Stream:
    """`<Stream url>` and its `<Parameter>`s."""

    url: str
    parameters: Mapping[str, str]


def stream_of(document: bytes) -> Stream:
    """The stream that the call is to be connected to. Raises `RingFailed` where Twilio would give up."""
    try:
        verbs = parse(document).verbs
    except DocumentRefused as error:
        raise RingFailed(f"The webhook's answer is refused: {error}.") from None
    streams = [noun for verb in verbs if verb.name == "Connect" for noun in verb.nouns]
    if not streams:
        found = ", ".join(f"<{verb.name}>" for verb in verbs) or "nothing"
        raise RingFailed(f"The TwiML connects no stream: <Response> with {found}.")
    return Stream(_url(streams[0].get("url")), dict(map(_parameter, streams[0].nouns)))


def _url(url: str) -> str:
    """Twilio wants `wss:` and drops a query string. `ws:` is taken here, for servers on this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "ws") or not parts.hostname:
        raise RingFailed(f"<Stream url={url!r}> is no absolute wss: address (31922, 31923).")
    return parts._replace(query="", fragment="").geturl()


def _parameter(noun: Verb) -> tuple[str, str]:
    name, value = noun.get("name"), noun.get("value")
    if not name or len(name) + len(value) >= 500:
        raise RingFailed(f"<Parameter name={name!r}> is nameless, or 500 characters or longer.")
    return name, value
