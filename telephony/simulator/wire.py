"""Encodes the messages of a media stream as Twilio does, and strictly decodes the messages of the server. Pure.

This module follows only Twilio's documentation. It is independent of the product's own codec, so each implementation
checks the other. Sources: https://www.twilio.com/docs/voice/media-streams/websocket-messages,
https://www.twilio.com/docs/api/errors/31950, 31951.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .playout import FRAME, SILENCE

__all__ = ["Clear", "Command", "Mark", "Play", "Rejected", "Sender", "decode"]


@dataclass(frozen=True, slots=True)
class Play:
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    pass


Command = Play | Mark | Clear


class Rejected(ValueError):
    """Raised for a message that Twilio ignores. Contains the code of Twilio's warning."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


def decode(message: str | bytes, stream_sid: str) -> Command:
    """Decodes a message of the server on the media stream `stream_sid`. Raises `Rejected` with 31950 for a binary
    message, and with 31951 for any other error.
    """
    if not isinstance(message, str):
        raise Rejected(31950, "a binary message")
    try:
        fields = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise Rejected(31951, f"no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Rejected(31951, "no JSON object")
    event = fields.get("event")
    if not isinstance(event, str) or event not in _FIELDS:
        raise Rejected(31951, f"unknown event {event!r}")
    _check_fields(event, fields, _FIELDS[event])
    if fields["streamSid"] != stream_sid:
        raise Rejected(31951, f"{event}: not this stream's streamSid")
    if event == "clear":
        return Clear()
    body = fields[event]
    if event == "mark":
        _check_fields("mark.mark", body, {"name"})
        if not isinstance(body["name"], str):
            raise Rejected(31951, "mark.mark.name is not a string")
        return Mark(body["name"])
    _check_fields("media.media", body, {"payload"})
    return Play(_audio(body["payload"]))


def _check_fields(what: str, fields: Any, expected: set[str]) -> None:
    if not isinstance(fields, dict):
        raise Rejected(31951, f"{what} is not an object")
    if missing := expected - fields.keys():
        raise Rejected(31951, f"{what}: {', '.join(sorted(missing))} missing")
    if extra := fields.keys() - expected:
        raise Rejected(31951, f"{what}: {', '.join(sorted(extra))} not known")


def _audio(payload: Any) -> bytes:
    if not isinstance(payload, str):
        raise Rejected(31951, "media.media.payload is not a string")
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:
        raise Rejected(31951, f"media.media.payload is not base64: {error}") from None


class Sender:
    """Encodes the messages that the simulated Twilio sends on one media stream. Counts `sequenceNumber` and `chunk`,
    which are strings in the messages.
    """

    def __init__(self, stream_sid: str, call_sid: str, account_sid: str, parameters: Mapping[str, str]) -> None:
        self._stream_sid = stream_sid
        self._call = {"accountSid": account_sid, "callSid": call_sid}
        self._parameters = dict(parameters)
        self._sequence_number = 0
        self._chunk = 0

    def connected(self) -> str:
        return '{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def start(self) -> str:
        return self._message(
            "start",
            {
                "accountSid": self._call["accountSid"],
                "streamSid": self._stream_sid,
                "callSid": self._call["callSid"],
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": self._parameters,
            },
        )

    def media(self, timestamp_ms: int, ulaw: bytes) -> str:
        self._sequence_number += 1
        self._chunk += 1
        payload = _SILENT_PAYLOAD if ulaw == _SILENT_FRAME else base64.b64encode(ulaw).decode()
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence_number}","streamSid":"{self._stream_sid}","media":'
            f'{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{timestamp_ms}","payload":"{payload}"}}}}'
        )

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        return self._message("stop", self._call)

    def _message(self, event: str, body: Mapping[str, Any]) -> str:
        self._sequence_number += 1
        message = {
            "event": event,
            "sequenceNumber": str(self._sequence_number),
            "streamSid": self._stream_sid,
            event: body,
        }
        return orjson.dumps(message).decode()


_SILENT_FRAME = SILENCE * FRAME
_SILENT_PAYLOAD = base64.b64encode(_SILENT_FRAME).decode()
