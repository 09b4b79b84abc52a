"""Checks the calls of `telephony certify`, from the messages that both ends of a call have sent and received.
`proposals` compares the measured values with the simulator. Pure.

All times are in seconds on the clock of this process, which serves both ends of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711

__all__ = [
    "Check",
    "Trace",
    "check_clear",
    "check_frames",
    "check_marks",
    "heard_times",
    "percentile",
    "proposals",
    "slots",
    "test_sound",
]

RATE = 8000
SLOT = 400
"""The number of samples (50 ms) of one pitch of the test sound. The pitch of a piece of the test sound shows the
position of the piece.
"""
_LOWEST_HZ, _STEP_HZ, _PITCHES = 500.0, 60.0, 25
MAX_START_DELAY_S = 0.25
MAX_LATE_S = 0.15
MAX_EARLY_S = 0.04
MAX_AFTER_CLEAR_S = 0.4
_LOUD = 500


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check of a call: whether the check passed, a text, and the measured figures by name. If the
    result is a known deviation of Twilio from its documentation, `suspects` is the name of the deviation.
    """

    name: str
    passed: bool
    detail: str
    suspects: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Trace:
    """The messages that one end of a call has sent and received: the frames, the audio, the marks, the keys and the
    clears, with their times.
    """

    media_format: Any = None
    frames: list[tuple[float, int, bytes]] = field(default_factory=list)
    """The received frames: (time of arrival in seconds, timestamp of the frame in ms, mu-law audio)."""
    sent: list[tuple[float, int]] = field(default_factory=list)
    """The sent audio: (time of sending in seconds, number of samples)."""
    marks: dict[str, tuple[float, int]] = field(default_factory=dict)
    """The sent marks by name: (time of sending in seconds, number of samples that were sent before the mark)."""
    returned: dict[str, float] = field(default_factory=dict)
    keys: list[tuple[float, str]] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    started_at: float = 0.0
    stopped_at: float | None = None
    streams: int = 0


def test_sound(seconds: float, *, first: int = 0) -> bytes:
    """Returns a test sound of `seconds` seconds (mu-law, 8 kHz). Each 50 ms has the next of 25 pitches, and `first` is
    the number of the first pitch. The pitch shows which part of the sound was heard.
    """
    n = round(seconds * RATE) // SLOT * SLOT
    times = np.arange(n)
    slot = (times // SLOT + first) % _PITCHES
    wave = 8000 * np.sin(2 * np.pi * (_LOWEST_HZ + _STEP_HZ * slot) * times / RATE)
    return g711.encode(np.rint(wave).astype("<i2").tobytes())


def slots(trace: Trace) -> list[tuple[float, int]]:
    """Returns the pitches of the test sound that were heard in a trace: for each 50 ms of sound, the time of arrival in
    seconds and the number of the pitch. Silence is left out.
    """
    found, block, times = list[tuple[float, int]](), bytearray(), list[float]()
    for at, _, ulaw in trace.frames:
        block += ulaw
        times.append(at)
        while len(block) >= SLOT:
            samples = np.frombuffer(g711.decode(bytes(block[:SLOT])), "<i2").astype(float)
            del block[:SLOT]
            if (pitch := _pitch(samples)) is not None:
                found.append((times[-1], pitch))
    return found


def _pitch(samples: NDArray[np.float64]) -> int | None:
    if float(np.abs(samples).mean()) < _LOUD:
        return None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4000))
    hz = float(spectrum.argmax()) * RATE / 4000
    pitch = round((hz - _LOWEST_HZ) / _STEP_HZ)
    return pitch if 0 <= pitch < _PITCHES else None


def heard_times(trace: Trace) -> tuple[float, float] | None:
    """Returns the times in seconds at which this end of the call first and last heard the sound of the other end, or
    None if this end never heard the sound.
    """
    loud = [at for at, _, ulaw in trace.frames if _is_loud(ulaw)]
    return (loud[0], loud[-1]) if loud else None


def _is_loud(ulaw: bytes) -> bool:
    return float(np.abs(np.frombuffer(g711.decode(ulaw), "<i2").astype(float)).mean()) > _LOUD


def percentile(values: Sequence[float], p: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(p / 100 * (len(ranked) - 1)))] if ranked else 0.0


def check_frames(trace: Trace) -> list[Check]:
    """Checks the frames that one end has received: the format of the stream, the steps of its timestamps, and the
    jitter of its frames. Returns the results.
    """
    form = trace.media_format or {}
    got = (form.get("encoding"), int(form.get("sampleRate") or 0), int(form.get("channels") or 0))
    checks = [Check("codec", got == ("audio/x-mulaw", 8000, 1), f"{got[0]}, {got[1]} Hz, {got[2]} channel")]
    steps = [after[1] - before[1] for before, after in pairwise(trace.frames)]
    lengths = sorted({len(ulaw) // 8 for _, _, ulaw in trace.frames})
    odd = [step for step in steps if not 0 < step <= 60]
    checks.append(
        Check(
            "timestamps", bool(steps) and not odd,
            f"{len(trace.frames)} frames of {lengths} ms; {len(odd)} steps are not one frame"
            + (f", the largest {max(map(abs, odd))} ms" if odd else ""),
            "timestamps that jump" if odd else "",
            {"odd_steps": float(len(odd))},
        )
    )  # fmt: skip
    late = [at - stamp / 1000 for at, stamp, _ in trace.frames]
    jitter = percentile(late, 95) - min(late, default=0.0)
    fine = jitter < 0.2 or bool(odd)
    figures = {"jitter_p95_ms": round(jitter * 1000, 1)}
    checks.append(Check("jitter", fine, f"95 % of the frames come within {jitter * 1000:.0f} ms", "", figures))
    return checks


def check_marks(near: Trace, far: Trace) -> list[Check]:
    """Checks the marks in a call whose two ends both belong to this program. `near` is the end that sends a test sound
    and marks. `far` is the end that hears the sound. Each mark must be returned at the time at which the far end has
    heard the audio before the mark. Returns the results of the checks.
    """
    heard = heard_times(far)
    if heard is None:
        return [Check("marks", False, "the other end heard nothing, so the marks cannot be judged")]
    probe = near.returned.get("probe")
    audio = sorted((samples, name) for name, (_, samples) in near.marks.items() if name != "probe")
    trip_s = 0.0 if probe is None else probe - near.marks["probe"][0]
    errors, delays = list[float](), list[float]()
    for samples, name in audio:
        if (back := near.returned.get(name)) is not None:
            errors.append(back - (heard[0] + samples / RATE))
            delays.append(back - near.marks[name][0] - samples / RATE)
    lost = len(audio) - len(errors)
    if not errors:
        return [Check("marks", False, "no mark came back")]
    first_sent = min(at for at, _ in near.sent)
    start_s = heard[0] - first_sent
    early, late = min(errors), percentile(errors, 50)
    figures = {
        "start_delay_ms": round(start_s * 1000, 1), "mark_error_p50_ms": round(late * 1000, 1),
        "mark_error_min_ms": round(early * 1000, 1), "probe_round_trip_ms": round(trip_s * 1000, 1),
    }  # fmt: skip
    before = early < -MAX_EARLY_S - trip_s
    return [
        Check("marks come back", not lost, f"{len(errors)} of {len(audio)} marks came back"),
        Check(
            "marks after playing", not before, f"the earliest mark was {early * 1000:.0f} ms off its audio",
            "marks before playing" if before else "", figures,
        ),
        Check(
            "marks in time", late <= MAX_LATE_S and trip_s <= 0.3 + MAX_LATE_S,
            f"marks came {late * 1000:.0f} ms after their audio (median), a probe within {trip_s * 1000:.0f} ms",
            "marks late" if late > MAX_LATE_S or trip_s > 0.3 + MAX_LATE_S else "", figures,
        ),
        Check(
            "start delay", start_s <= MAX_START_DELAY_S + trip_s,
            f"the first sample was heard {start_s * 1000:.0f} ms after it was sent",
            "start delay" if start_s > MAX_START_DELAY_S + trip_s else "", figures,
        ),
    ]  # fmt: skip


def check_clear(near: Trace, far: Trace, sent_s: float) -> list[Check]:
    """Checks that Twilio stops playback after a `clear`. `near` is the trace of the side that sent `sent_s` seconds of
    audio and then `clear`. `far` is the trace of the other side of the call, which heard the audio. Also checks how
    much of the audio was heard, and that it was heard in order. Returns the results of the checks.
    """
    heard = heard_times(far)
    if heard is None or not near.clears:
        return [Check("clear", False, "nothing was heard, or no clear was sent")]
    after_s = heard[1] - near.clears[0]
    length_s = heard[1] - heard[0] + 0.02
    ignored = after_s > MAX_AFTER_CLEAR_S
    proved = max((near.marks[name][1] for name, at in near.returned.items() if at <= near.clears[0]), default=0)
    figures = {"after_clear_ms": round(after_s * 1000, 1), "heard_ms": round(length_s * 1000, 1)}
    pitches = [pitch for _, pitch in slots(far)]
    in_order = all((b - a) % _PITCHES in (0, 1, 2) for a, b in pairwise(pitches))
    return [
        Check(
            "clear", not ignored, f"the line was silent {after_s * 1000:.0f} ms after the clear",
            "clear ignored" if ignored else "", figures,
        ),
        Check(
            "truncation", ignored or proved / RATE - 0.1 <= length_s < sent_s,
            f"{length_s * 1000:.0f} ms of {sent_s * 1000:.0f} were heard; marks had proved {proved / 8:.0f} ms",
            "", figures,
        ),
        Check("samples", in_order, f"{len(pitches)} pieces of 50 ms were heard in order"),
    ]  # fmt: skip


def proposals(checks: Sequence[Check]) -> list[str]:
    """Returns the differences between the measurements in `checks` and the simulated phone line, as sentences. Each
    sentence has the measured value and, if there is one, the setting of `telephony.simulator.Line` that simulates it.
    The list is empty if nothing differs much.
    """
    figures: dict[str, float] = {}
    for check in checks:
        figures.update(check.figures)
    rules: list[tuple[str, Callable[[float], bool], str]] = [
        ("start_delay_ms", lambda v: v > 200, "Line(start_delay_s={s:.2f}): playback starts later than simulated"),
        ("jitter_p95_ms", lambda v: v > 30, "Line(jitter_s={s:.3f}): frames come less evenly than simulated"),
        ("mark_error_p50_ms", lambda v: v > 60, "marks come {s:.2f} s after their audio; simulated: at once"),
        ("mark_error_min_ms", lambda v: v < -60, "marks come up to {s:.2f} s before their audio; simulated: never"),
        ("probe_round_trip_ms", lambda v: v > 300, "Line(round_trip_s={s:.2f}): the line is longer than simulated"),
        ("odd_steps", lambda v: v > 0, "timestamps have jumps; simulated: never"),
        ("after_clear_ms", lambda v: v > 300, "a clear takes {s:.2f} s to be heard"),
    ]
    return [
        text.format(s=abs(figures[name]) / 1000)
        for name, holds, text in rules
        if name in figures and holds(figures[name])
    ]
