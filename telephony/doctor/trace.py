"""Computes from a recorded call how Twilio's media stream behaved: the time of each mark, and the arrival of the
caller's frames. Pure.

The simulated phone assumes how Twilio behaves: its delays and jitter, the start of playback, and that a mark is
returned when the audio before the mark was played. The journal of a real call shows whether these assumptions are
right.

All times are in milliseconds. A field `..._ms` is on the journal's clock, from the start of the call. A `stamp` is on
Twilio's clock, from the start of the stream. A mark that was returned between two frames of the caller was sent between
these frames, because all messages use one connection. Therefore the jitter between Twilio and this process does not
change the computed time of a mark.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from ..journal.format import MALFORMED, Record

__all__ = ["trace"]

RATE_MS = 8
"""The number of samples in a millisecond of audio at 8 kHz."""
_PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


@dataclass(slots=True)
class _Frame:
    arrived_ms: float
    stamp_ms: int
    length_ms: float
    sequence: int | None


@dataclass(slots=True)
class _Mark:
    name: str
    position: int
    """The number of samples that were sent before the mark, in all media streams of the call."""
    sent_ms: float
    queued_audio: bool
    """Whether audio was sent between the previous mark and this mark."""
    back_ms: float | None = None
    after_stamp_ms: int | None = None
    """The timestamp of the frame before the returned mark. The next field is the timestamp of the frame after the
    mark.
    """
    before_stamp_ms: int | None = None
    cleared: bool = False
    """Whether a `clear` was sent before the mark was returned. If True, the audio before the mark may not have been
    played.
    """


@dataclass(slots=True)
class _Stream:
    stream_sid: str
    media_format: Any = None
    frames: list[_Frame] = field(default_factory=list)
    marks: list[_Mark] = field(default_factory=list)
    clears_ms: list[float] = field(default_factory=list)
    runs: list[list[float]] = field(default_factory=list)
    undated: list[_Mark] = field(default_factory=list)
    closed: Any = None


def trace(records: Iterable[Record]) -> dict[str, Any]:
    """Returns how Twilio's media stream behaved in a recorded call, from the records of its journal. The result has
    JSON values: `call_sid`, `versions` (of the software), `streams` (the measurements of each media stream) and
    `malformed` (the number of ignored malformed records).
    """
    reader = _Reader()
    for record in records:
        try:
            reader.take(record)
        except MALFORMED:
            reader.malformed += 1
    return {
        "call_sid": reader.header.get("call_sid", ""),
        "versions": reader.header.get("versions", {}),
        "streams": [_figures(stream) for stream in reader.streams],
        "malformed": reader.malformed,
    }


class _Reader:
    def __init__(self) -> None:
        self.header: dict[str, Any] = {}
        self.streams: list[_Stream] = []
        self.malformed = 0
        self._position = 0
        self._marked: int | None = None

    def take(self, record: Record) -> None:
        if record.kind == "header":
            self.header = dict(record.data)
        elif record.kind == "stream" and self.streams:
            self.streams[-1].runs += [[float(position), float(stamp)] for position, stamp in record.data["runs"]]
        elif record.kind == "close" and record.data.get("peer") == "twilio" and self.streams:
            self.streams[-1].closed = dict(record.data)
        elif record.kind == "twilio.in":
            self._received(record)
        elif record.kind == "twilio.out" and self.streams:
            self._sent(record, self.streams[-1])

    def _received(self, record: Record) -> None:
        message = record.message
        if record.event == "start":
            self.streams.append(_Stream(str(message["streamSid"]), message["start"].get("mediaFormat")))
            self._marked = None
        elif not self.streams:
            return
        elif record.event == "media":
            self._frame(self.streams[-1], record.t * 1000, message)
        elif record.event == "mark":
            self._mark_back(self.streams[-1], record.t * 1000, str(message["mark"]["name"]))

    def _frame(self, stream: _Stream, now_ms: float, message: Any) -> None:
        media = message["media"]
        stamp_ms = int(media["timestamp"])
        length_ms = len(base64.b64decode(media["payload"])) / RATE_MS
        sequence = message.get("sequenceNumber")
        stream.frames.append(_Frame(now_ms, stamp_ms, length_ms, int(sequence) if sequence is not None else None))
        for mark in stream.undated:
            mark.before_stamp_ms = stamp_ms
        stream.undated.clear()

    def _mark_back(self, stream: _Stream, now_ms: float, name: str) -> None:
        mark = next((mark for mark in stream.marks if mark.name == name and mark.back_ms is None), None)
        if mark is None:
            raise ValueError("a mark that is not ours")
        mark.back_ms = now_ms
        mark.after_stamp_ms = stream.frames[-1].stamp_ms if stream.frames else None
        mark.cleared = any(mark.sent_ms <= at <= now_ms for at in stream.clears_ms)
        stream.undated.append(mark)

    def _sent(self, record: Record, stream: _Stream) -> None:
        message = record.message
        if record.event == "media":
            self._position = int(message["position"]) + int(message["bytes"])
        elif record.event == "clear":
            stream.clears_ms.append(record.t * 1000)
        elif record.event == "mark":
            audio = self._marked is not None and self._position > self._marked
            stream.marks.append(_Mark(str(message["mark"]["name"]), self._position, record.t * 1000, audio))
            self._marked = self._position


def _figures(stream: _Stream) -> dict[str, Any]:
    marks = [mark for mark in stream.marks if mark.back_ms is not None]
    trips = [mark.back_ms - mark.sent_ms for mark in marks if _is_probe(mark) and mark.back_ms is not None]
    return {
        "stream_sid": stream.stream_sid,
        "media_format": stream.media_format,
        "frames": _frames(stream.frames),
        "probe_round_trip_ms": _percentiles(trips),
        "runs": _runs(stream),
        "marks": [_rounded(asdict(mark)) for mark in stream.marks],
        "marks_lost": len(stream.marks) - len(marks),
        "clears_ms": [round(at, 3) for at in stream.clears_ms],
        "closed": stream.closed,
    }


def _is_probe(mark: _Mark) -> bool:
    """Returns whether the mark was sent while Twilio had no queued audio. Such a mark is returned immediately."""
    return mark.name.startswith("probe:")


def _frames(frames: Sequence[_Frame]) -> dict[str, Any]:
    if not frames:
        return {"count": 0}
    late = [frame.arrived_ms - frame.stamp_ms - frame.length_ms for frame in frames]
    least = min(late)
    pairs = list(pairwise(frames))
    return {
        "count": len(frames),
        "lengths_ms": sorted({frame.length_ms for frame in frames}),
        "first_stamp_ms": frames[0].stamp_ms,
        "first_arrived_ms": round(frames[0].arrived_ms, 3),
        "arrival_minus_stamp_ms": _percentiles([value - least for value in late]),
        "between_arrivals_ms": _percentiles([after.arrived_ms - before.arrived_ms for before, after in pairs]),
        "between_stamps_ms": _percentiles([after.stamp_ms - before.stamp_ms for before, after in pairs]),
        "drift_ppm": _drift(frames),
    }


def _drift(frames: Sequence[_Frame]) -> float | None:
    """Returns how much faster Twilio's clock runs than the local clock, from the fastest frames of the first and the
    last tenth of the call.
    """
    tenth = len(frames) // 10
    if tenth < 50:
        return None
    first, last = (
        min(part, key=lambda frame: frame.arrived_ms - frame.stamp_ms) for part in (frames[:tenth], frames[-tenth:])
    )
    arrival_ms, timestamp_ms = last.arrived_ms - first.arrived_ms, last.stamp_ms - first.stamp_ms
    return round((timestamp_ms / arrival_ms - 1) * 1e6, 1) if arrival_ms > 0 else None


def _runs(stream: _Stream) -> list[dict[str, Any]]:
    """Returns each run of playback (playback without a gap): the probe before the run, the first mark of the run, and
    the start delay. A probe is a mark without audio before it.

    `start_delay_ms` is the time from the return of the probe to the return of the first mark, minus the length of the
    audio before the first mark.
    """
    runs = []
    for probe, first in pairwise(stream.marks):
        if not _is_probe(probe) or _is_probe(first) or not first.queued_audio:
            continue
        audio_ms = (first.position - probe.position) / RATE_MS
        delay = None
        if probe.back_ms is not None and first.back_ms is not None and not first.cleared:
            delay = round(first.back_ms - probe.back_ms - audio_ms, 3)
        stamp = next((stamp for position, stamp in stream.runs if position == probe.position), None)
        runs.append(
            {
                "position": probe.position,
                "probe_sent_ms": round(probe.sent_ms, 3),
                "first_mark_audio_ms": audio_ms,
                "start_delay_ms": delay,
                "estimated_stamp_ms": stamp,
            }
        )
    return runs


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    """Returns percentiles of the values, such as `p50` (nearest rank, without interpolation)."""
    if not values:
        return {}
    ranked = sorted(values)
    return {f"p{p}": round(ranked[min(len(ranked) - 1, round(p / 100 * (len(ranked) - 1)))], 3) for p in _PERCENTILES}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
