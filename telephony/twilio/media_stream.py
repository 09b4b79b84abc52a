"""Encodes and decodes the messages of a Twilio media stream. Pure.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Twilio sends `connected` and `start`, then `media`,
`dtmf` and `mark` in any order, and `stop`. The server sends `media`, `mark` and `clear` with exactly Twilio's fields,
because Twilio rejects messages with other fields (31951). In these messages numbers are strings, except in
`mediaFormat`.

The decoder is strict for fields whose values are used. Unknown events become `Unknown`, and unknown fields are ignored.
A frame of the caller in one of the two forms that Twilio writes is decoded by a regular expression, which takes half
the time of the JSON parser. Every other text is decoded by the parser. Both ways give the same result for texts that
both accept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import orjson
import pybase64

from realtime_core import lenient_json

from ..errors import BadAudio, BadField, BadJson, BinaryFrame, TooLarge

__all__ = [
    "Connected",
    "Dtmf",
    "Mark",
    "Media",
    "Message",
    "Start",
    "Stop",
    "Unknown",
    "decode",
    "encode_clear",
    "encode_mark",
    "encode_media",
]

_T = TypeVar("_T")

MAX_CHARS = 64 * 1024
MAX_DEPTH = 16
"""The maximum nesting of a message. Twilio's messages have 3 levels. A deeper message could be read but could not be
written to the journal.
"""


_NUMBER = "([0-9]{1,19})"
_SID = '"streamSid":"([A-Za-z0-9]*)"'
_BODY = f'"media":\\{{"track":"([a-z]*)","chunk":"{_NUMBER}","timestamp":"{_NUMBER}","payload":"([^"]*)"}}'
_FRAME = re.compile(f'\\{{"event":"media","sequenceNumber":"{_NUMBER}",{_SID},{_BODY}}}')
_FRAME_SID_LAST = re.compile(f'\\{{"event":"media","sequenceNumber":"{_NUMBER}",{_BODY},{_SID}}}')
"""The two orders of the fields in a `media` message: the order in Twilio's documentation, and the order on real
streams. The decoder of base64 checks the characters of the payload.
"""


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message of a connection. This message belongs to no stream and has no sequence number."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Start:
    """The first message of a media stream. According to Twilio's documentation, `encoding` is always `audio/x-mulaw`,
    `sample_rate` is 8000, and `channels` is 1. The code that uses the message must check these values. `parameters` are
    the `<Parameter>` elements of the TwiML. `raw` is the whole message.
    """

    stream_sid: str
    call_sid: str
    account_sid: str
    tracks: tuple[str, ...]
    encoding: str
    sample_rate: int
    channels: int
    parameters: Mapping[str, str]
    sequence_number: int
    raw: Mapping[str, Any]


class Media(NamedTuple):
    """A message with a piece of one track's audio: 160 bytes, 20 ms, 50 times a second. The track `inbound` has the
    caller's audio, and `outbound` has the audio that the caller hears. The class is a tuple, because many objects are
    created.

    `payload` is mu-law at 8 kHz. `timestamp_ms` is the time from the start of the stream in milliseconds. `chunk`
    counts from 1.
    """

    payload: bytes
    timestamp_ms: int
    chunk: int
    sequence_number: int
    stream_sid: str
    track: str


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key that the caller pressed."""

    digit: str
    track: str
    sequence_number: int
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that Twilio returned. The audio before the mark was played or cleared. The message does not show which of
    the two happened.
    """

    name: str
    sequence_number: int
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of the stream. This message may be missing. The end of the connection has the same meaning."""

    call_sid: str
    account_sid: str
    stream_sid: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message with an event that this module does not know."""

    event: str
    raw: Mapping[str, Any]


Message = Connected | Start | Media | Dtmf | Mark | Stop | Unknown


def decode(message: str | bytes) -> Message:
    """Decodes a message of Twilio. Half of a surrogate pair in a text becomes U+FFFD. Raises only `MediaStreamError`,
    for an invalid message.
    """
    if not isinstance(message, str):
        raise BinaryFrame("a binary message, where Twilio sends text only")
    if len(message) > MAX_CHARS:
        raise TooLarge(f"a message of {len(message)} characters; {MAX_CHARS} are read")
    return _frame(message) or _decode_json(message)


def _frame(text: str) -> Media | None:
    """Returns the caller's audio in one of the usual forms. Returns None if the text has another form, is not audio, or
    is not valid.
    """
    try:
        if (found := _FRAME.fullmatch(text)) is not None:
            number, sid, track, chunk, timestamp, payload = found.groups()
        elif (found := _FRAME_SID_LAST.fullmatch(text)) is not None:
            number, track, chunk, timestamp, payload, sid = found.groups()
        else:
            return None
        audio = pybase64.b64decode(payload, validate=True)
    except ValueError:
        return None
    return Media(audio, int(timestamp), int(chunk), int(number), sid, track)


def _decode_json(message: str) -> Message:
    try:
        fields = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        try:
            fields = lenient_json.loads(message)
        except (ValueError, RecursionError):
            raise BadJson(f"not JSON: {error}") from None
    if type(fields) is not dict:
        raise BadJson("not a JSON object")
    if message.count("{") + message.count("[") > MAX_DEPTH and _is_deep(fields):
        raise TooLarge(f"a message that is nested more than {MAX_DEPTH} deep")
    match event := fields.get("event"):
        case "media":
            return _media(fields)
        case "mark":
            mark = _get(fields, "mark", dict)
            return Mark(_get(mark, "name", str), _number(fields, "sequenceNumber"), _get(fields, "streamSid", str))
        case "dtmf":
            return _dtmf(fields)
        case "start":
            return _start(fields)
        case "connected":
            return Connected(_get(fields, "protocol", str, ""), _get(fields, "version", str, ""))
        case "stop":
            return _stop(fields)
        case str():
            return Unknown(event, fields)
    raise BadField("event")


def _is_deep(fields: dict[str, Any]) -> bool:
    level: list[Any] = [fields]
    for _ in range(MAX_DEPTH):
        inner = (each for it in level for each in (it.values() if type(it) is dict else it))
        level = [each for each in inner if type(each) in (dict, list)]
    return bool(level)


def _media(fields: dict[str, Any]) -> Media:
    media = _get(fields, "media", dict)
    try:
        payload = pybase64.b64decode(_get(media, "payload", str), validate=True)
    except ValueError as error:
        raise BadAudio(f"the payload is no base64: {error}") from None
    return Media(
        payload,
        _number(media, "timestamp"),
        _number(media, "chunk"),
        _number(fields, "sequenceNumber"),
        _get(fields, "streamSid", str),
        _get(media, "track", str, "inbound"),
    )


def _dtmf(fields: dict[str, Any]) -> Dtmf:
    dtmf = _get(fields, "dtmf", dict)
    return Dtmf(
        _get(dtmf, "digit", str),
        _get(dtmf, "track", str, "inbound_track"),
        _number(fields, "sequenceNumber"),
        _get(fields, "streamSid", str),
    )


def _start(fields: dict[str, Any]) -> Start:
    start = _get(fields, "start", dict)
    media_format = _get(start, "mediaFormat", dict)
    tracks = _get(start, "tracks", list, [])
    parameters = _get(start, "customParameters", dict, {})
    if not all(type(track) is str for track in tracks):
        raise BadField("tracks")
    if not all(type(value) is str for value in parameters.values()):
        raise BadField("customParameters")
    return Start(
        _get(fields, "streamSid", str),
        _get(start, "callSid", str),
        _get(start, "accountSid", str),
        tuple(tracks),
        _get(media_format, "encoding", str),
        _number(media_format, "sampleRate"),
        _number(media_format, "channels"),
        parameters,
        _number(fields, "sequenceNumber"),
        fields,
    )


def _stop(fields: dict[str, Any]) -> Stop:
    stop = _get(fields, "stop", dict, {})
    return Stop(_get(stop, "callSid", str, ""), _get(stop, "accountSid", str, ""), _get(fields, "streamSid", str, ""))


def _get(fields: dict[str, Any], name: str, kind: type[_T], default: _T | None = None) -> _T:
    """Returns a field with this type. A field without a default is required."""
    value = fields.get(name)
    if type(value) is kind:
        return value
    if value is None and default is not None:
        return default
    raise BadField(name)


def _number(fields: dict[str, Any], name: str) -> int:
    """Returns a number from decimal digits in a string, as Twilio writes numbers, or from a JSON number."""
    value = fields.get(name)
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) < 20:
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise BadField(name)


def encode_media(stream_sid: str, ulaw: bytes) -> str:
    """Returns a message that plays this mu-law audio (8 kHz, no header, any length) after the buffered audio."""
    payload = pybase64.b64encode_as_string(ulaw)
    return f'{{"event":"media","streamSid":{_json(stream_sid)},"media":{{"payload":"{payload}"}}}}'


def encode_mark(stream_sid: str, name: str) -> str:
    """Returns a message with a mark. Twilio returns the mark with this name when all earlier audio was played."""
    return f'{{"event":"mark","streamSid":{_json(stream_sid)},"mark":{{"name":{_json(name)}}}}}'


def encode_clear(stream_sid: str) -> str:
    """Returns a message that drops all buffered audio. Twilio then returns the pending marks."""
    return f'{{"event":"clear","streamSid":{_json(stream_sid)}}}'


def _json(text: str) -> str:
    return orjson.dumps(text).decode()
