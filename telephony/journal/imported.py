"""Calls that others recorded, as journals: the raw messages of a media stream, or a stereo WAV."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from realtime_core.audio import g711

from ..audio.files import read_pcm16_channels
from ..errors import JournalError
from .format import SCHEMA
from .store import JOURNALS
from .writer import JournalWriter

__all__ = ["import_twilio", "import_wav"]

_FRAME = 160
_RATE = 8000
_DELTA = 1600
_ITEM = "imported"


def import_twilio(source: Path, folder: Path) -> Path:
    """A journal in `folder` out of the messages that a server logged: one JSON object on each line, in order, whatever
    stands around it. Times are those of the caller's frames. Messages to Twilio are left out: they do not say when they
    were sent, nor what was heard.

    Raises `JournalError` where no stream starts in it.
    """
    messages = list(_messages(source))
    start = next((message for message in messages if message["event"] == "start"), None)
    if start is None:
        raise JournalError(f"{source}: no `start` of a media stream is in it.")
    call_sid = str(start.get("start", {}).get("callSid") or source.stem)
    journal = _open(folder, call_sid, str(start.get("streamSid", "")), f"twilio messages: {source.name}")
    t = 0.0
    for message in messages:
        media = message.get("media")
        if message["event"] == "media" and isinstance(media, dict):
            if "timestamp" not in media:
                continue  # ours, to Twilio
            t = max(t, (int(media["timestamp"]) + 20) / 1000)
        elif message["event"] not in ("start", "dtmf", "stop"):
            continue
        journal.write("twilio.in", t, message=message)
    journal.write("end", t, reason="imported")
    journal.close()
    return journal.path


def import_wav(source: Path, folder: Path) -> Path:
    """A journal in `folder` out of a stereo WAV of any rate: left the caller, right the agent as it was heard.

    Raises `AudioFileError`, and `JournalError` for a file with one channel.
    """
    sides = [g711.encode(side) for side in read_pcm16_channels(source, _RATE)]
    if len(sides) != 2:
        raise JournalError(f"{source} has {len(sides)} channels; two are needed: the caller's and the agent's.")
    left, right = sides
    sid = "CA" + source.stem
    stream_sid = "MZ" + source.stem
    journal = _open(folder, sid, stream_sid, f"WAV: {source.name}")
    start = {"accountSid": "", "callSid": sid, "streamSid": stream_sid, "tracks": ["inbound"], "customParameters": {}}
    start["mediaFormat"] = {"encoding": "audio/x-mulaw", "sampleRate": _RATE, "channels": 1}
    journal.write(
        "twilio.in", 0.0, message={"event": "start", "sequenceNumber": "1", "streamSid": stream_sid, "start": start}
    )
    audio = {"output": {"format": {"type": "audio/pcmu"}}, "input": {"format": {"type": "audio/pcmu"}}}
    journal.write("model.in", 0.0, message={"type": "session.updated", "session": {"audio": audio}})
    journal.write("stream", 0.0, runs=[[0, -20.0]])
    for at in range(0, len(left), _FRAME):
        if at % _DELTA == 0:
            _agent(journal, at, right[at : at + _DELTA])
        payload = base64.b64encode(left[at : at + _FRAME].ljust(_FRAME, g711.SILENCE)).decode()
        media = {"track": "inbound", "chunk": str(at // _FRAME + 1), "timestamp": str(at // 8), "payload": payload}
        message = {"event": "media", "sequenceNumber": str(at // _FRAME + 2), "streamSid": stream_sid, "media": media}
        journal.write("twilio.in", (at + _FRAME) / _RATE, message=message)
    t = len(left) / _RATE
    stop = {"event": "stop", "sequenceNumber": "0", "streamSid": stream_sid, "stop": {"callSid": sid}}
    journal.write("twilio.in", t, message=stop)
    journal.write("end", t, reason="imported")
    journal.close()
    return journal.path


def _agent(journal: JournalWriter, at: int, ulaw: bytes) -> None:
    """A piece of the agent's side, as if the model had said it and Twilio had been sent it just when it was heard."""
    t = at / _RATE
    delta = base64.b64encode(ulaw).decode()
    message: dict[str, Any] = {
        "type": "response.output_audio.delta",
        "item_id": _ITEM,
        "content_index": 0,
        "delta": delta,
    }
    journal.write("model.in", t, message=message)
    sent = {"event": "media", "bytes": len(ulaw), "crc32": binascii.crc32(ulaw), "position": at}
    journal.write("twilio.out", t, message={**sent, "segments": [[_ITEM, 0, at, len(ulaw)]]})


def _open(folder: Path, call_sid: str, stream_sid: str, source: str) -> JournalWriter:
    safe = re.sub(r"[^A-Za-z0-9]", "", call_sid)[:64] or "imported"
    journal = JournalWriter(folder / safe / JOURNALS[0], max_queued_chars=2**40)
    journal.write("header", 0.0, schema=SCHEMA, agent="", call_sid=safe, stream_sid=stream_sid, imported=source)
    return journal


def _messages(source: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of the lines that look like messages of a media stream."""
    with source.open("rb") as file:
        for line in file:
            begin = line.find(b"{")
            if begin < 0:
                continue
            try:
                message = orjson.loads(line[begin : line.rfind(b"}") + 1])
            except orjson.JSONDecodeError:
                continue
            while (
                isinstance(message, dict) and "event" not in message and isinstance(message.get("message"), dict | str)
            ):
                inner = message["message"]
                message = orjson.loads(inner) if isinstance(inner, str) and inner.startswith("{") else inner
            if isinstance(message, dict) and isinstance(message.get("event"), str):
                yield message
