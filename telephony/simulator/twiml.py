"""Parses TwiML documents as Twilio does. Pure.

https://www.twilio.com/docs/voice/twiml. An element that is not in the schema is skipped with a warning (12200), and the
call continues. A document that is not XML ends the call (12100).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree  # documents with a DTD, which the known attacks need, are refused

__all__ = ["Document", "DocumentRefused", "Fetch", "Verb", "parse"]

MAX_BYTES = 64 * 1024

_VERBS: dict[str, frozenset[str]] = {
    "Connect": frozenset({"Stream"}),
    "Dial": frozenset({"Number", "Conference", "Client", "Sip"}),
    "Gather": frozenset({"Say", "Play", "Pause"}),
    "Hangup": frozenset(),
    "Pause": frozenset(),
    "Play": frozenset(),
    "Record": frozenset(),
    "Redirect": frozenset(),
    "Reject": frozenset(),
    "Say": frozenset(),
    "Start": frozenset({"Recording"}),
}
_NOUNS: dict[str, frozenset[str]] = {
    "Client": frozenset({"Identity", "Parameter"}),
    "Stream": frozenset({"Parameter"}),
}
_NOT_SIMULATED = frozenset(
    [
        "AiSession",
        "Application",
        "Autopilot",
        "Conversation",
        "ConversationRelay",
        "Echo",
        "Enqueue",
        "Leave",
        "Message",
        "Pay",
        "Queue",
        "Refer",
        "Room",
        "Sim",
        "Siprec",
        "Sms",
        "Start",
        "Stop",
        "Stream",
        "Transcription",
        "VirtualAgent",
        "WhatsApp",
    ]
)
"""The verbs and nouns of TwiML that are not simulated."""


class DocumentRefused(ValueError):
    """Raised for a document that Twilio refuses. Contains Twilio's error code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Verb:
    """An element of TwiML, such as `<Say voice="...">text</Say>`, or `<Dial>` with its nouns."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    nouns: tuple[Verb, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.attributes.get(name)
        return default if value is None else value.lower() == "true"

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.attributes.get(name, ""))
        except ValueError:
            return default


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed TwiML document: its verbs, in order."""

    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()
    """The elements of the document that were skipped, with Twilio's warning codes."""
    base: str = ""
    """The address of the document. Relative addresses in the document start from this address."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """An HTTP request for a TwiML document: its URL and parameters. `extra` has further form fields. `fallback_url`
    gets a request if the request to `url` fails.
    """

    url: str
    method: str = "POST"
    extra: Mapping[str, str] = field(default_factory=dict)
    fallback_url: str = ""


def parse(text: bytes | str, base: str = "") -> Document:
    """Parses the text of a TwiML document. `base` is its URL. Raises `DocumentRefused` for a document that Twilio
    refuses.
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise DocumentRefused(11750, f"the TwiML has {len(raw)} bytes, and {MAX_BYTES} are taken")
    if b"<!" in raw.replace(b"<!--", b""):
        raise DocumentRefused(12100, "a DTD or CDATA is not read")
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314 - no DTD
    except ElementTree.ParseError as error:
        raise DocumentRefused(12100, f"the TwiML is not XML: {error}") from None
    if root.tag != "Response":
        raise DocumentRefused(12100, f"the TwiML's root is <{root.tag}>, not <Response>")
    warnings: list[str] = []
    return Document(_children(root, warnings), tuple(warnings), base)


def _children(parent: ElementTree.Element, warnings: list[str]) -> tuple[Verb, ...]:
    if parent.tag in ("Say", "Number", "Sip"):
        return ()  # SSML or text
    known = _VERBS.keys() if parent.tag == "Response" else _VERBS.get(parent.tag) or _NOUNS.get(parent.tag, frozenset())
    verbs = []
    for element in parent:
        if element.tag in known:
            text = ("".join(element.itertext()) if element.tag == "Say" else element.text or "").strip()
            verbs.append(Verb(element.tag, dict(element.attrib), text, _children(element, warnings)))
        elif element.tag in _NOT_SIMULATED:
            warnings.append(f"<{element.tag}> in <{parent.tag}> is skipped: this simulator has none")
        else:
            warnings.append(f"<{parent.tag}> knows no <{element.tag}> (12200)")
    return tuple(verbs)
