"""The details of a call other than its numbers (such as the name of the caller, or SIP headers), as parameters of its
media stream. Pure.

The webhook and the stream may reach different processes. Therefore the details of the webhook are sent with the stream,
in `<Parameter>` elements: `details0:NAME`, then `details1:NAME` and so on for the rest of a long value. Name and value
together must have less than 500 characters (https://www.twilio.com/docs/voice/twiml/stream).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from .twiml import MAX_PARAMETER_CHARS, clean

__all__ = ["own_query", "pack", "sip_headers", "unpack"]

_NAME = re.compile(r"details([0-9]{1,2}):(.+)", re.DOTALL)
_MAX_NAME_CHARS = 200
_ELEMENT_CHARS = len("<Parameter name= value= />")
_SIP_HEADER = "SipHeader_"
_TWILIOS = re.compile(
    "AccountSid|AddOns|AnsweredBy|ApiVersion|Call[A-Z]\\w*|Called\\w*|Caller\\w*|Confidence|Dial[A-Z]\\w*|Digits|"
    "Direction|Error\\w*|ForwardedFrom|From\\w*|Msg|Parent\\w+|Recording\\w+|SequenceNumber|Sip[A-Z]\\S*|SpeechResult|"
    "Stir\\w+|Stream\\w+|Timestamp|To|To[A-Z]\\w*|UnstableSpeechResult"
)
"""The fields that Twilio adds to the query of a GET request
(https://www.twilio.com/docs/voice/twiml#request-parameters).
"""


def pack(details: Mapping[str, str], room: int) -> tuple[dict[str, str], list[str]]:
    """Converts details of a call (such as the name of the caller, or SIP headers) to parameters of its media stream.
    The parameters have at most `room` characters of XML. Returns the parameters, and the names of the details that do
    not fit.
    """
    parameters: dict[str, str] = {}
    left_out: list[str] = []
    for name, value in details.items():
        pieces = _pieces(name, clean(value))
        size = sum(len(quoteattr(n)) + len(quoteattr(v)) + _ELEMENT_CHARS for n, v in pieces.items())
        if not pieces or size > room:
            left_out.append(name)
            continue
        room -= size
        parameters |= pieces
    return parameters, left_out


def _pieces(name: str, value: str) -> dict[str, str]:
    if not name or len(name) > _MAX_NAME_CHARS or clean(name) != name:
        return {}
    step = MAX_PARAMETER_CHARS - len(f"details99:{name}")
    cut = [value[at : at + step] for at in range(0, len(value), step)] or [""]
    return {f"details{n}:{name}": piece for n, piece in enumerate(cut)} if len(cut) <= 100 else {}


def unpack(parameters: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Splits the parameters of a media stream. Returns (the details of the call that `pack` has put into the
    parameters, the parameters that are no details).
    """
    pieces: dict[str, dict[int, str]] = {}
    others: dict[str, str] = {}
    for name, value in parameters.items():
        if (found := _NAME.fullmatch(name)) is not None:
            pieces.setdefault(found[2], {})[int(found[1])] = value
        else:
            others[name] = value
    return {name: "".join(cut[n] for n in sorted(cut)) for name, cut in pieces.items()}, others


def sip_headers(form: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers of a SIP call from the fields of Twilio's request. For example, the field
    `SipHeader_X-Account` becomes the header `X-Account`.
    """
    return {name.removeprefix(_SIP_HEADER): value for name, value in form.items() if name.startswith(_SIP_HEADER)}


def own_query(query: Mapping[str, str], *, is_form: bool) -> dict[str, str]:
    """Returns the query parameters that the user has added to the URL of the webhook. If `is_form` is True (a GET
    request), Twilio has added its own fields to the query, and these are left out.
    """
    return {name: value for name, value in query.items() if not (is_form and _TWILIOS.fullmatch(name))}
