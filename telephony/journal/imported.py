"""Creates journals from calls that other software recorded: logged media streams, or recordings of one or both sides.

Such a journal contains no messages of a model. `telephony eval` can call an agent with the recorded caller.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from realtime_core.audio import g711

from ..audio.containers import GZIP, RAW_SUFFIXES, RawAudio, container_of
from ..audio.files import read_pcm16_channels, ulaw_of
from ..errors import JournalError
from ..text_encoding import encoding_of
from .disk import Disk
from .foreign_log import LoggedAudio, LoggedStream, read_log
from .format import SCHEMA
from .store import JOURNALS
from .writer import JournalWriter

__all__ = ["Imported", "import_audio", "import_call", "import_twilio"]

T = TypeVar("T")

_FRAME = 160
_RATE = 8000
_DELTA = 1600
_ITEM = "imported"
_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": _RATE, "channels": 1}
_SNIFFED = 64 * 1024


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the paths of the journals that were created, and the problems of the source."""

    journals: list[Path]
    problems: list[str]


def import_call(
    source: Path,
    folder: Path,
    *,
    agent_side: Path | None = None,
    caller_only: bool = False,
    raw: RawAudio | None = None,
) -> Imported:
    """Creates journals in `folder` from a recording or a log. The first bytes of the file decide its type.

    `raw`, or the suffix of the file (`RAW_SUFFIXES`), defines that the file is audio without a header.

    A recording has both sides in two channels: the caller in the left channel, the agent in the right channel.
    Otherwise `source` has only the caller's side. The agent's side is then the file `agent_side`, or is unknown with
    `caller_only`.

    Raises:
        AudioFileError, JournalError: the file contains no usable call.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    with source.open("rb") as file:
        container = container_of(file.read(_SNIFFED))
    if container in (None, GZIP) and _raw_coding(source, raw) is None:
        if agent_side is not None or caller_only:
            raise JournalError(f"{source} is no recording of one side: it is text, or of an unknown kind.")
        if container is GZIP and (inner := _compressed_kind(source)) is not None:
            raise JournalError(f"{source} is {inner} in a gzip file. Unpack it first: gunzip {source}.")
        return import_twilio(source, folder)
    return Imported([import_audio(source, folder, agent_side=agent_side, caller_only=caller_only, raw=raw)], [])


def import_twilio(source: Path, folder: Path) -> Imported:
    """Creates a journal in `folder` for each call in `source`, a server's log of media stream messages.

    Each line has one JSON object, with any text around it. Successive streams of one call become one recording.
    Simultaneous streams become one recording each. The media timestamps of the frames are the times of the recording.
    The outbound track is the agent's voice. Messages to Twilio are ignored, because the log does not contain when these
    messages were sent or heard.

    Raises:
        JournalError: no stream with audio starts in the file.
    """
    streams, problems = _read(source)
    if not streams:  # perhaps one JSON value over many lines
        streams, more = _read(source, whole=True)
        problems = more if streams else problems
    if not streams:
        first = f" ({problems[0]})" if problems else ""
        raise JournalError(f"{source}: no `start` of a media stream is in it{first}.")
    silent = [stream for stream in streams if not stream.caller and not stream.agent]
    problems += [f"stream {stream.sid!r} of call {stream.call_sid!r} has no audio" for stream in silent]
    calls = list(_recordings([stream for stream in streams if stream not in silent]))
    if not calls:
        raise JournalError(f"{source}: no audio of a caller is in it ({problems[0]}).")
    return Imported([_write_call(call, source, folder) for call in calls], problems)


def _read(source: Path, *, whole: bool = False) -> tuple[list[LoggedStream], list[str]]:
    """Reads a log by lines, or as one text. The log may be compressed with gzip."""
    with source.open("rb") as head:
        opened: Callable[..., IO[Any]] = gzip.open if head.read(2) == b"\x1f\x8b" else open
    broken: list[str] = []
    with opened(source, "rb") as file, io.TextIOWrapper(file, _encoding(file), errors="replace", newline="\n") as text:
        lines = _until_broken(text, broken)
        streams, problems = read_log(["".join(lines)] if whole else lines)
    return streams, problems + broken


def _compressed_kind(source: Path) -> str | None:
    """Returns the type of the file in a gzip file, or None if it is text."""
    with gzip.open(source) as file:
        first = next(_until_broken(iter(lambda: file.read(_SNIFFED), b""), []), b"")
    return None if (container := container_of(first)) is None else container.kind


def _encoding(file: IO[bytes]) -> str:
    first = next(_until_broken(iter(lambda: file.read(4), b""), []), b"")
    file.seek(0)
    return encoding_of(first)


def _until_broken(parts: Iterable[T], broken: list[str]) -> Iterator[T]:
    """Yields the parts of a file up to the place where its compression is damaged. Adds this problem to `broken`."""
    try:
        yield from parts
    except (EOFError, zlib.error, gzip.BadGzipFile):
        broken.append("the gzip file is truncated or damaged")


def import_audio(
    source: Path,
    folder: Path,
    *,
    agent_side: Path | None = None,
    caller_only: bool = False,
    raw: RawAudio | None = None,
) -> Path:
    """Creates a journal in `folder` from `source`, a recording of any type and sample rate. `agent_side` is the
    recording of the agent if each side has a mono file. `caller_only` means that the recording is mono and has only the
    caller. `raw` is the encoding of a recording without a header. Returns the path of the journal.

    Raises:
        AudioFileError, JournalError: a file cannot be read, or its number of channels is wrong.
    """
    sides = _channels(source, raw)
    if agent_side is not None or caller_only:
        if len(sides) != 1:
            raise JournalError(f"{source} has {len(sides)} channels. One is needed where it is the caller's side.")
        sides.append(b"")
    if agent_side is not None:
        (sides[1], *more) = _channels(agent_side, raw)
        if more:
            raise JournalError(f"{agent_side} has {1 + len(more)} channels. One is needed: the agent's side.")
    if len(sides) != 2:
        raise JournalError(
            f"{source}: two channels are needed, the caller's and the agent's, and it has {len(sides)}. "
            "Twilio records two with recordingChannels=dual. If it is one side, use --agent-side FILE or --caller-only."
        )
    if not any(sides):
        raise JournalError(f"{source} has no audio in it.")
    lanes = [[LoggedAudio(0, side)] if side else [] for side in sides]
    sid, stream_sid = "CA" + source.stem, "MZ" + source.stem
    stream = LoggedStream(stream_sid, sid, {"callSid": sid, "tracks": ["inbound"]}, 0, 0, lanes[0], lanes[1])
    return _write_call([stream], source, folder)


def _raw_coding(source: Path, raw: RawAudio | None) -> RawAudio | None:
    """Returns the encoding of a file without a header, or None if the file has a header or is not audio."""
    return raw or RAW_SUFFIXES.get(source.suffix.lower())


def _channels(source: Path, raw: RawAudio | None) -> list[bytes]:
    """Returns the channels of a recording as mu-law."""
    data = source.read_bytes()
    coding = _raw_coding(source, raw)
    if coding is None or container_of(data[:_SNIFFED]) is not None:
        return [g711.encode(side) for side in read_pcm16_channels(source, _RATE)]
    return [ulaw_of(data, coding)]


def _recordings(streams: Sequence[LoggedStream]) -> Iterator[list[LoggedStream]]:
    """Yields the streams of each recording. A stream that begins before another stream of its call has ended becomes a
    separate recording.
    """
    open_calls: list[list[LoggedStream]] = []
    for stream in streams:
        for call in open_calls:
            if stream.call_sid and call[-1].call_sid == stream.call_sid and call[-1].last_line < stream.first_line:
                call.append(stream)
                break
        else:
            open_calls.append([stream])
    yield from open_calls


def _write_call(streams: Sequence[LoggedStream], source: Path, folder: Path) -> Path:
    sid, path = _place(streams[0].call_sid or streams[0].sid or source.stem, folder)
    journal = JournalWriter(path, disk=Disk(max_queued_chars=2**40))
    header = {"agent": "", "call_sid": sid, "stream_sid": streams[0].sid, "imported": source.name}
    journal.write("header", 0.0, schema=SCHEMA, **header)
    if any(stream.agent for stream in streams):
        audio = {"output": {"format": {"type": "audio/pcmu"}}, "input": {"format": {"type": "audio/pcmu"}}}
        journal.write("model.in", 0.0, message={"type": "session.updated", "session": {"audio": audio}})
    t, sent = 0.0, 0
    for stream in streams:
        for at, kind, fields in _records(stream, t, sent):
            journal.write(kind, at, **fields)
        sent += len(_lane(stream.agent))
        t += stream.end_ms / 1000
    journal.write("end", t, reason="imported")
    journal.finish()
    if journal.error is not None:
        raise journal.error
    return journal.path


def _place(call_sid: str, folder: Path) -> tuple[str, Path]:
    """Creates a new folder for the call. If a call already has the name, a number is added to the name."""
    safe = re.sub(r"[^A-Za-z0-9]", "", call_sid)[:64] or "imported"
    name, n = safe, 1
    while any((folder / name / journal).exists() for journal in JOURNALS):
        n += 1
        name = f"{safe}-{n}"
    return name, folder / name / JOURNALS[0]


def _records(stream: LoggedStream, t: float, sent: int) -> list[tuple[float, str, dict[str, Any]]]:
    """Returns the records of a stream, each as (time, kind, fields), in order of time. The stream begins at `t`, after
    `sent` samples of the agent.
    """
    start = {"accountSid": "", "customParameters": {}, "mediaFormat": _FORMAT, **stream.start, "streamSid": stream.sid}
    messages: list[tuple[float, dict[str, Any]]] = [(t, {"event": "start", "start": start})]
    rest_ms = stream.end_ms - len(_lane(stream.caller)) // 8
    silence = (
        [LoggedAudio(stream.end_ms - min(rest_ms, 20), g711.SILENCE * 8 * min(rest_ms, 20))] if rest_ms > 0 else []
    )
    for piece in [*stream.caller, *silence]:  # a call is as long as its caller's audio
        for at in range(0, len(piece.ulaw), _FRAME):
            stamp_ms = piece.stamp_ms + at // 8
            ulaw = piece.ulaw[at : at + _FRAME].ljust(min(_FRAME, len(piece.ulaw)), g711.SILENCE)
            payload = base64.b64encode(ulaw).decode()
            media = {"track": "inbound", "timestamp": str(stamp_ms), "payload": payload}
            messages.append((t + stamp_ms / 1000 + len(ulaw) / _RATE, {"event": "media", "media": media}))
    for stamp_ms, digit in stream.keys:
        dtmf = {"track": "inbound_track", "digit": digit}
        messages.append((t + stamp_ms / 1000, {"event": "dtmf", "dtmf": dtmf}))
    messages.sort(key=lambda it: it[0])
    stop = {"event": "stop", "stop": {"accountSid": "", "callSid": stream.call_sid}}
    messages.append((t + stream.end_ms / 1000, stop))
    records: list[tuple[float, str, dict[str, Any]]] = []
    for number, (at_s, message) in enumerate(messages, 1):
        if message["event"] == "media":
            message["media"]["chunk"] = str(number - 1)
        message = {**message, "sequenceNumber": str(number), "streamSid": stream.sid}
        records.append((at_s, "twilio.in", {"message": message}))
    if stream.agent:
        records.insert(1, (t, "stream", {"runs": [[sent, -20.0]]}))
        lane = _lane(stream.agent)
        for at in range(0, len(lane), _DELTA):
            records += _agent(t + at / _RATE, sent + at, bytes(lane[at : at + _DELTA]))
    return sorted(records, key=lambda record: record[0])


def _lane(pieces: Sequence[LoggedAudio]) -> bytearray:
    lane = bytearray()
    for piece in pieces:
        at = piece.stamp_ms * 8
        if at > len(lane):
            lane += g711.SILENCE * (at - len(lane))
        lane[at : at + len(piece.ulaw)] = piece.ulaw
    return lane


def _agent(t: float, position: int, ulaw: bytes) -> list[tuple[float, str, dict[str, Any]]]:
    """Returns the records of a piece of the agent's audio, as if the audio had been received and sent when it was
    heard.
    """
    delta: dict[str, Any] = {
        "type": "response.output_audio.delta",
        "item_id": _ITEM,
        "content_index": 0,
        "delta": base64.b64encode(ulaw).decode(),
    }
    sent = {"event": "media", "bytes": len(ulaw), "crc32": binascii.crc32(ulaw), "position": position}
    segments = {"segments": [[_ITEM, 0, position, len(ulaw)]]}
    return [(t, "model.in", {"message": delta}), (t, "twilio.out", {"message": {**sent, **segments}})]
