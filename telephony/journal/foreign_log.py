"""Reads the media stream messages in the log of another server, by stream and track. Pure.

A log may contain several calls at the same time, and both tracks of a call (`<Start><Stream track="both_tracks">`).
Each message belongs to the stream of its `streamSid`, and audio belongs to its track, so voices are never mixed.
Unusable messages are ignored and reported with their line numbers.
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pybase64

from .logged_messages import messages_in

__all__ = ["LoggedAudio", "LoggedStream", "read_log"]

_MAX_STAMP_MS = 24 * 3_600_000
"""The maximum timestamp in milliseconds. No call is longer than 24 hours:
https://www.twilio.com/docs/voice/twiml/dial#timelimit
"""
_MAX_JUMP_MS = 3_600_000
_MAX_PAYLOAD = 64 * 1024
_TRACKS = {"inbound": False, "inbound_track": False, "outbound": True, "outbound_track": True}
_OF_A_STREAM = ("start", "media", "dtmf", "mark", "stop")


@dataclass(frozen=True, slots=True)
class LoggedAudio:
    """A piece of audio in one track of a log: its time from the start of the stream, and its mu-law samples."""

    stamp_ms: int
    ulaw: bytes


@dataclass(slots=True)
class LoggedStream:
    """One media stream of a log. `caller` is the inbound track and `agent` is the outbound track. `keys` has (time in
    ms, digit) for each pressed key.
    """

    sid: str
    call_sid: str
    start: Mapping[str, Any]
    first_line: int
    last_line: int
    caller: list[LoggedAudio] = field(default_factory=list)
    agent: list[LoggedAudio] = field(default_factory=list)
    keys: list[tuple[int, str]] = field(default_factory=list)

    @property
    def end_ms(self) -> int:
        return max((it.stamp_ms + len(it.ulaw) // 8 for lane in (self.caller, self.agent) for it in lane), default=0)


def read_log(lines: Iterable[str]) -> tuple[list[LoggedStream], list[str]]:
    """Reads the log of another server that contains the messages of Twilio media streams. Returns the media streams
    that start in these lines, in order, and a text for each kind of line that could not be read.
    """
    log = _Log()
    for number, line in enumerate(lines, 1):
        log.take(number, line)
    return log.streams, log.problems()


class _Log:
    def __init__(self) -> None:
        self.streams: list[LoggedStream] = []
        self._by_sid: dict[str, LoggedStream] = {}
        self._problems: list[str] = []
        self._unknown: Counter[str] = Counter()

    def problems(self) -> list[str]:
        unknown = [f"{n} messages of a stream {sid!r} that does not start here" for sid, n in self._unknown.items()]
        return [*self._problems, *unknown]

    def take(self, number: int, line: str) -> None:
        try:
            for message in messages_in(line):
                self._take(number, message)
        except ValueError as error:
            self._problems.append(f"line {number}: {error}")

    def _take(self, number: int, message: Mapping[str, Any]) -> None:
        try:
            if message["event"] in _OF_A_STREAM:
                self._message(number, message)
        except ValueError as error:
            self._problems.append(f"line {number}: {error}")

    def _message(self, number: int, message: Mapping[str, Any]) -> None:
        """Handles one message. Raises `ValueError` for an invalid message."""
        if message["event"] == "start":
            self._start(number, message)
            return
        inner = message.get(message["event"])
        if message["event"] == "media" and isinstance(inner, dict) and "timestamp" not in inner:
            return  # a message to Twilio shows neither when it was sent nor what was heard
        stream = self._stream(message)
        if stream is None:
            self._unknown[str(message.get("streamSid", ""))] += 1
            return
        for call_sid in (message.get("callSid"), inner.get("callSid") if isinstance(inner, dict) else None):
            if call_sid not in (None, "", stream.call_sid):
                raise ValueError(f"its call is {call_sid!r}, and that of its stream {stream.call_sid!r}")
        if message["event"] == "media":
            self._media(stream, inner)
        elif message["event"] == "dtmf":
            self._key(stream, inner)
        if message["event"] != "stop":  # `stop` may come after the next stream has begun
            stream.last_line = number

    def _start(self, number: int, message: Mapping[str, Any]) -> None:
        start = message.get("start")
        if not isinstance(start, dict):
            raise ValueError("a `start` without its fields")
        sid = str(message.get("streamSid") or start.get("streamSid") or "")
        call_sid = str(start.get("callSid") or message.get("callSid") or "")
        known = self._by_sid.get(sid)
        if known is not None and known.call_sid == call_sid:
            raise ValueError(f"stream {sid!r} starts a second time")
        got = start.get("mediaFormat")
        if isinstance(got, dict) and (got.get("encoding"), str(got.get("sampleRate"))) != ("audio/x-mulaw", "8000"):
            raise ValueError(
                f"stream {sid!r} is {got.get('encoding')} at {got.get('sampleRate')} Hz, not mu-law at 8000"
            )
        # If another call had this stream name, its messages end here.
        stream = self._by_sid[sid] = LoggedStream(sid, call_sid, start, number, number)
        self.streams.append(stream)

    def _stream(self, message: Mapping[str, Any]) -> LoggedStream | None:
        sid = message.get("streamSid")
        if sid is None and len(self.streams) == 1:
            return self.streams[0]
        return self._by_sid.get(str(sid))

    def _key(self, stream: LoggedStream, dtmf: Any) -> None:
        """Adds a key to the stream. A key message has no timestamp, so the key counts as pressed at the end of the
        caller's audio so far.
        """
        if not isinstance(dtmf, dict) or not isinstance(dtmf.get("digit"), str):
            raise ValueError("a key without its digit")
        if not _is_outbound(stream, dtmf):
            stream.keys.append((_end(stream.caller or stream.agent), dtmf["digit"]))

    def _media(self, stream: LoggedStream, media: Any) -> None:
        if not isinstance(media, dict):
            raise ValueError("a `media` without its fields")
        stamp_ms = _stamp(media["timestamp"])
        lane = stream.agent if _is_outbound(stream, media) else stream.caller
        if stamp_ms > _end(lane) + _MAX_JUMP_MS:
            raise ValueError(f"its timestamp {stamp_ms} is more than an hour after the one before")
        payload = media.get("payload")
        if not isinstance(payload, str) or len(payload) > _MAX_PAYLOAD:
            raise ValueError("audio without a payload that can be used")
        try:
            ulaw = pybase64.b64decode(payload, validate=True)
        except ValueError:
            raise ValueError("its payload is not base64") from None
        lane.append(LoggedAudio(stamp_ms, ulaw))


def _stamp(value: Any) -> int:
    """Returns a timestamp from a text of decimal digits, as Twilio writes it, or from a number."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        value = int(value)
    if type(value) is not int or not 0 <= value <= _MAX_STAMP_MS:
        raise ValueError(f"its timestamp is {str(value)[:40]!r}")
    return value


def _is_outbound(stream: LoggedStream, of_track: Mapping[str, Any]) -> bool:
    """Returns whether this message has audio to the caller. A message without a track belongs to the only track of its
    stream.
    """
    track = of_track.get("track")
    if track is None:
        return stream.start.get("tracks") in (["outbound"], ["outbound_track"])
    if not isinstance(track, str) or track not in _TRACKS:
        raise ValueError(f"its track is {str(track)[:40]!r}")
    return _TRACKS[track]


def _end(lane: list[LoggedAudio]) -> int:
    return lane[-1].stamp_ms + len(lane[-1].ulaw) // 8 if lane else 0
