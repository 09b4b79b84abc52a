"""Reads the TwiML that a webhook answers. So far its first `<Connect><Stream>` counts. Pure.

https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree import ElementTree  # documents with a DTD, which the known attacks need, are refused

from ..errors import RingFailed

__all__ = ["Stream", "stream_of"]

MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """`<Stream url>` and its `<Parameter>`s."""

    url: str
    parameters: Mapping[str, str]


def stream_of(document: bytes) -> Stream:
    """The stream that the call is to be connected to. Raises `RingFailed` where Twilio would give up."""
    if len(document) > MAX_BYTES:
        raise RingFailed(f"The TwiML has {len(document)} bytes; Twilio takes {MAX_BYTES} (11750).")
    if b"<!" in document.replace(b"<!--", b""):
        raise RingFailed("The TwiML has a DTD or CDATA; that is not read (12100).")
    try:
        response = ElementTree.fromstring(document)  # noqa: S314 - no DTD
    except ElementTree.ParseError as error:
        raise RingFailed(f"The TwiML is no XML (12100): {error}") from None
    stream = response.find("./Connect/Stream")
    if response.tag != "Response" or stream is None:
        verbs = ", ".join(f"<{verb.tag}>" for verb in response) or "nothing"
        raise RingFailed(f"The TwiML connects no stream: <{response.tag}> with {verbs}.")
    return Stream(_url(stream.get("url", "")), dict(map(_parameter, stream.findall("Parameter"))))


def _url(url: str) -> str:
    """Twilio wants `wss:` and drops a query string. `ws:` is taken here, for servers on this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "ws") or not parts.hostname:
        raise RingFailed(f"<Stream url={url!r}> is no absolute wss: address (31922, 31923).")
    return parts._replace(query="", fragment="").geturl()


def _parameter(element: ElementTree.Element) -> tuple[str, str]:
    name, value = element.get("name"), element.get("value", "")
    if not name or len(name) + len(value) >= 500:
        raise RingFailed(f"<Parameter name={name!r}> is nameless, or 500 characters or longer.")
    return name, value
