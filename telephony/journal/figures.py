"""The measurements (figures) of a recorded call, such as latencies, interruptions and gaps in the agent's speech.
Pure.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from .audio import CallAudio, HeardSpan, pcm_of
from .recorded import RecordedCall, Speech

__all__ = ["Figures", "Latency", "Silence", "Underrun", "figures_of"]

FRAME = 160
MIN_UNDERRUN_MS = 5
"""The minimum length in milliseconds of an underrun. The times at which the caller heard the audio are estimates, and a
later estimate can correct an earlier one. Such a correction looks like a short gap within an audio part. Therefore a
shorter gap is not counted.
"""
_HAND_BACK = "supervisor.hand_back("


@dataclass(frozen=True, slots=True)
class Latency:
    """One measured latency. It lasts from `from_ms`, the end of the caller's speech (or a key press), to `to_ms`, when
    the caller heard the first sample of the answer.

    The end of speech is the last loud frame in the caller's audio, and not the time at which the end was detected.
    """

    after: Literal["speech", "key"]
    from_ms: float
    to_ms: float

    @property
    def ms(self) -> float:
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class Silence:
    """One measured silence: the time from an interruption by the caller until the agent is silent. `from_ms` is the
    arrival of the model's event `speech_started`. `to_ms` is the end of the agent's voice as the caller heard it.
    """

    from_ms: float
    to_ms: float

    @property
    def ms(self) -> float:
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class Underrun:
    """A gap of `gap_ms` milliseconds in the agent's speech, within one audio part, at the time `at_ms` of the call."""

    at_ms: float
    gap_ms: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The measurements of one recorded call."""

    call_s: float
    greeting_ms: float | None
    latencies: tuple[Latency, ...]
    silences: tuple[Silence, ...]
    truncations: tuple[tuple[str, int], ...]
    underruns: tuple[Underrun, ...]
    cpu_s: float | None
    counts: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    """How often the agent's speech was interrupted, by cause (the values of `CutCause`, such as the caller or a
    guardrail).
    """
    handoffs: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the measurements as a JSON object. Times in milliseconds have one decimal."""
        answers = [latency.ms for latency in self.latencies if latency.after == "speech"]
        return {
            "call_s": round(self.call_s, 3),
            "greeting_ms": _tenth(self.greeting_ms),
            "response_latency_ms": {
                "p50": _tenth(statistics.median(answers) if answers else None),
                "worst": _tenth(max(answers, default=None)),
                "turns": [{"after": x.after, "at_ms": _tenth(x.from_ms), "ms": _tenth(x.ms)} for x in self.latencies],
            },
            "interruption_to_silence_ms": [_tenth(silence.ms) for silence in self.silences],
            "truncations": [{"item_id": item_id, "audio_end_ms": ms} for item_id, ms in self.truncations],
            "underruns": [{k: _tenth(v) for k, v in asdict(underrun).items()} for underrun in self.underruns],
            "cpu_ms_per_call_s": _tenth(self.cpu_s * 1000 / self.call_s if self.cpu_s and self.call_s else None),
            "counts": self.counts,
            "cuts": self.cuts,
            "handoffs": self.handoffs,
        }


def figures_of(call: RecordedCall, audio: CallAudio) -> Figures:
    """Returns the measurements of a recorded call, such as latencies and interruptions. `call` is the content of the
    journal, and `audio` is the audio that the two parties heard, computed from the journal.
    """
    cpu_s = (call.end or {}).get("cpu_s")
    return Figures(
        call_s=call.duration_ms / 1000,
        greeting_ms=audio.spans[0].at / 8 if audio.spans else None,
        latencies=tuple(_latencies(call, audio)),
        silences=tuple(_silences(call, audio)),
        truncations=tuple((item, ms) for i in call.interruptions for (item, _), ms in i.truncations),
        underruns=tuple(_underruns(call, audio)),
        cpu_s=float(cpu_s) if isinstance(cpu_s, int | float) else None,
        counts={
            "caller_frames": call.frames,
            "caller_gaps": call.gaps,
            "media_sent": len(call.media),
            "marks_sent": len(call.marks),
            "marks_returned": sum(mark.back_t is not None for mark in call.marks),
            "clears": len(call.clears),
            "keys": len(call.keys),
            "tool_calls": len(call.tools),
            "interruptions": sum(i.cause.is_callers for i in call.interruptions),
            "records_lost": call.lost,
            "samples_mismatched": audio.mismatches,
        },
        cuts=dict(Counter(i.cause.value for i in call.interruptions)),
        handoffs=sum(note.kind == "handoff" for note in call.notes),
    )


def end_of_voice_ms(caller: bytes, speech: Speech, end_ms: float) -> float:
    """Returns the time in the call, in milliseconds, at which the caller's voice really ended in the turn `speech`.
    `caller` is the caller's audio (mu-law, 8 kHz). The audio from the start of the turn until `end_ms` is searched for
    the last frame of 20 ms that is at most 30 dB quieter than the loudest frame. The result is the end of this frame.
    """
    first, last = int(speech.start_ms * 8) // FRAME, int(end_ms * 8) // FRAME
    pcm = pcm_of(caller)[first * FRAME : last * FRAME].astype(np.float64)
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    power = (frames**2).mean(axis=1)
    if not power.size or power.max() == 0:
        return end_ms
    return float((first + 1 + np.flatnonzero(power >= power.max() / 1000)[-1]) * FRAME / 8)


def _latencies(call: RecordedCall, audio: CallAudio) -> list[Latency]:
    moments: list[tuple[float, Literal["speech", "key", "hand-back"]]] = [(call.ms(key.t), "key") for key in call.keys]
    moments += [(end_of_voice_ms(audio.caller, x, x.end_ms), "speech") for x in call.speech if x.end_ms is not None]
    moments += [(call.ms(note.t), "hand-back") for note in call.notes if note.text.startswith(_HAND_BACK)]
    moments.sort()  # after a hand-back, the agent's next sound is no answer to what the caller said to the supervisor
    clips = {part_id for part_id, part in call.parts.items() if part.is_clip}
    answers = [span.at / 8 for span in audio.spans if span.offset == 0 and span.part not in clips]
    latencies = []
    for n, (from_ms, after) in enumerate(moments):
        until = moments[n + 1][0] if n + 1 < len(moments) else float("inf")
        answer = next((at for at in answers if from_ms <= at < until), None)
        if answer is not None and after != "hand-back":
            latencies.append(Latency(after, from_ms, answer))
    return latencies


def _silences(call: RecordedCall, audio: CallAudio) -> list[Silence]:
    silences = []
    for interruption in call.interruptions:
        if not interruption.cause.is_callers:
            continue
        at_ms = call.ms(interruption.t)
        cut = {part for part, _ in interruption.heard}
        ends = [span.at + span.length for span in audio.spans if span.part in cut and span.at / 8 <= at_ms + 2000]
        if ends:
            silences.append(Silence(at_ms, max(at_ms, max(ends) / 8)))
    return silences


def _underruns(call: RecordedCall, audio: CallAudio) -> list[Underrun]:
    underruns = []
    before: HeardSpan | None = None
    for span in audio.spans:
        if before and span.part == before.part and span.offset == before.offset + before.length:
            gap_ms = (span.at - before.at - before.length) / 8
            if gap_ms >= MIN_UNDERRUN_MS:
                underruns.append(Underrun((before.at + before.length) / 8, gap_ms))
        before = span
    return underruns


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
