"""Compares the audio at the simulated caller with the journal. Pure.

The simulated phone knows how many samples it received, played and flushed, and at which times. The journal contains the
item to which each sample of the stream belongs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime_core.audio.resample import DOWN_DELAY
from telephony.journal.audio import CallAudio, HeardSpan
from telephony.journal.format import Segment
from telephony.journal.recorded import Interruption, PartId, RecordedCall

__all__ = ["BargeIn", "CallerMeasurements", "Underrun", "measure_at_caller"]

_SAME_EVENT_MS = 1000.0
_COMPARED, _SEARCHED = 4000, 2000


@dataclass(frozen=True, slots=True)
class BargeIn:
    """One interruption of the agent by the caller. `silence_ms` is the time from the model's event `speech_started`
    (the caller speaks) until the caller heard silence. `heard_ms` is the length of the part of the answer that the
    caller heard. `truncated_ms` is the length that was reported to the model as heard. All values are in milliseconds.
    """

    silence_ms: float
    heard_ms: float
    truncated_ms: int

    @property
    def error_ms(self) -> float:
        return self.truncated_ms - self.heard_ms


@dataclass(frozen=True, slots=True)
class Underrun:
    """A gap in the middle of the agent's speech, as the caller heard it."""

    at_ms: float
    gap_ms: float


@dataclass(frozen=True, slots=True)
class CallerMeasurements:
    """What a simulated caller perceived in a call: interruptions, gaps in the audio, and violations of Twilio's
    protocol. Times are in milliseconds.
    """

    barge_ins: tuple[BargeIn, ...]
    underruns: tuple[Underrun, ...]
    violations: int
    wav_shift_ms: float | None
    """The greatest difference in time between the agent's speech in two recordings: in the WAV file that is computed
    from the journal, and in the audio that the caller heard. A positive value means that the speech in the
    file is late.
    """

    def to_json(self) -> dict[str, Any]:
        return {
            "barge_in_to_silence_ms": [_tenth(b.silence_ms) for b in self.barge_ins],
            "truncation_error_ms": [_tenth(b.error_ms) for b in self.barge_ins],
            "underruns": [{"at_ms": _tenth(u.at_ms), "gap_ms": _tenth(u.gap_ms)} for u in self.underruns],
            "violations": self.violations,
            "wav_shift_ms": None if self.wav_shift_ms is None else _tenth(self.wav_shift_ms),
        }


def measure_at_caller(
    call: RecordedCall, audio: CallAudio, events: Sequence[Mapping[str, Any]], heard: bytes
) -> CallerMeasurements:
    """Returns the measurements of a call as a simulated caller perceived the call. `events` are the events of
    `telephony.simulator.events`, as dictionaries. `heard` is the audio that the caller heard (mu-law, 8 kHz).
    """
    stream = _Stream(call)
    barge_ins = [
        found
        for event in events
        if event["event"] == "cleared" and (found := _barge_in(call, stream, event)) is not None
    ]
    violations = sum(event["event"] == "violation" for event in events)
    shifts = [shift for span in audio.spans if (shift := _shift_ms(audio, heard, span)) is not None]
    return CallerMeasurements(
        tuple(barge_ins), tuple(_underruns(stream, events)), violations, max(shifts, key=abs, default=None)
    )


class _Stream:
    """The audio part to which each sample of the stream belongs."""

    def __init__(self, call: RecordedCall) -> None:
        self._segments = sorted((s for media in call.media for s in media.segments), key=lambda s: s.position)
        self._starts = [segment.position for segment in self._segments]

    def at(self, position: int) -> Segment | None:
        n = bisect_right(self._starts, position) - 1
        return self._segments[n] if n >= 0 and position < self._starts[n] + self._segments[n].length else None

    def part(self, position: int) -> PartId | None:
        segment = self.at(position)
        return (segment.item_id, segment.content_index) if segment and segment.item_id else None


def _barge_in(call: RecordedCall, stream: _Stream, cleared: Mapping[str, Any]) -> BargeIn | None:
    interruption = _nearest(call.interruptions, call, cleared["position"] / 8)
    if interruption is None or not interruption.truncations:
        return None
    (item_id, _), truncated_ms = interruption.truncations[0]
    heard_to = cleared["received"] - cleared["flushed"]
    segment = stream.at(heard_to - 1)
    if segment is None or segment.item_id != item_id:
        return None
    delay = DOWN_DELAY if call.output_format != "audio/pcmu" else 0
    heard = segment.offset + heard_to - segment.position - delay
    started = [s.started_t for s in call.speech if s.started_t <= interruption.t]
    began_ms = call.ms(max(started, default=interruption.t))
    return BargeIn(cleared["position"] / 8 - began_ms, max(0, heard) / 8, truncated_ms)


def _shift_ms(audio: CallAudio, heard: bytes, span: HeardSpan) -> float | None:
    """Returns how much later a span begins in the rebuilt audio than in the audio that the caller heard, in
    milliseconds.
    """
    sound = audio.agent[span.at : span.at + min(span.length, _COMPARED)]
    start = max(0, span.at - _SEARCHED)
    found = heard.find(sound, start, span.at + len(sound) + _SEARCHED)
    return None if found < 0 or len(set(sound)) < 20 else (span.at - found) / 8


def _nearest(interruptions: Sequence[Interruption], call: RecordedCall, ms: float) -> Interruption | None:
    near = [i for i in interruptions if abs(call.ms(i.t) - ms) < _SAME_EVENT_MS]
    return min(near, key=lambda i: abs(call.ms(i.t) - ms), default=None)


def _underruns(stream: _Stream, events: Sequence[Mapping[str, Any]]) -> list[Underrun]:
    underruns = []
    received = 0
    dry: Mapping[str, Any] | None = None
    for event in events:
        if event["event"] == "audio_received":
            part = stream.part(received)
            if dry is not None and part is not None and part == stream.part(received - 1):
                dry_ms = dry["position"] / 8
                underruns.append(Underrun(dry_ms, event["t"] * 1000 - dry_ms))
            received += event["samples"]
            dry = None
        elif event["event"] == "ran_dry":
            dry = event
        elif event["event"] == "cleared":
            dry = None
    return underruns


def _tenth(ms: float) -> float:
    return round(ms, 1) + 0.0  # no minus before a zero
