"""Compares the behaviour of an agent in a recording and in a replay, and finds the first difference. Pure.

Each lane (the phone, the model, the tools, the call itself) is compared in its own order. Between lanes only times are
compared, so independent lanes may interleave in any order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal

from .behaviour import Action, Behaviour, SpokenPart, by_lane

__all__ = ["Comparison", "Divergence", "Tolerances", "compare"]

LANES = ("phone", "model", "tools", "call", "twilio", "config")
_SAME_ACTION_S = 2.0

Kind = Literal["missing", "extra", "changed", "late", "early", "audio", "schema"]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The differences between a recording and its replay that are tolerated, and the things that are compared.

    - `late_ms`, `early_ms`: how many milliseconds later or earlier than in the recording an action may happen.
    - `audio_ms`: how much later or earlier an answer may start, in milliseconds. Audio is sent in steps of 80 ms.
    - `lead_ms`: the tolerance in milliseconds for the rest of an answer. The amount of audio that is sent in advance
      grows in steps of 200 ms. A busy machine delays these steps, and callers do not hear the difference.
    - `heard_ms`: how many milliseconds the heard position of an interrupted answer, as reported to the model, may
      differ.
    - `timing`: whether times and positions are compared. False for a replay over another line.
    - `samples`: whether the checksums of the agent's audio are compared.
    - `voice`: whether the checksums of the caller's audio are compared, if `samples` is True.
    - `config`: whether a different configuration makes a replay fail.
    - `lanes`: the kinds of actions that are compared, such as messages to the phone (`phone`) and tool calls (`tools`).
    """

    late_ms: float = 40.0
    early_ms: float = 250.0
    audio_ms: float = 150.0
    lead_ms: float = 300.0
    heard_ms: float = 25.0
    timing: bool = True
    samples: bool = True
    voice: bool = True
    config: bool = False
    lanes: tuple[str, ...] = LANES

    @classmethod
    def strict(cls) -> Tolerances:
        return cls(late_ms=2.0, early_ms=2.0, audio_ms=2.0, lead_ms=2.0, heard_ms=1.0, config=True)

    @classmethod
    def other_line(cls) -> Tolerances:
        """Returns the tolerances for a replay with the recorded model over another phone line. Actions are compared
        without times, and audio is not compared.
        """
        return cls(timing=False, samples=False)

    @classmethod
    def other_model(cls) -> Tolerances:
        """Returns the tolerances for a replay with another model, which uses other words. Only tool calls with their
        arguments are compared.
        """
        return cls(timing=False, samples=False, lanes=("tools",))


@dataclass(frozen=True, slots=True, repr=False)
class Divergence:
    """One difference between a recording and its replay, at the time `t` (in seconds since the start of the call).
    `index` is the number of the journal record. `what` describes the difference in the terms of the protocols. `cause`
    describes in plain words what the difference means for the caller, if this is known.
    """

    kind: Kind
    lane: str
    t: float
    what: str
    expected: str = ""
    actual: str = ""
    index: int = 0
    context: tuple[str, ...] = ()
    """The messages and actions shortly before the difference."""
    cause: str = ""

    @property
    def sentence(self) -> str:
        """The difference in plain words (`cause`). If the cause is not known, the difference in the terms of the
        protocols (`what`).
        """
        return self.cause or f"{self.what}."

    @property
    def details(self) -> list[str]:
        """Lines about the difference: its place, the difference itself, the expected value, and the events before
        it.
        """
        at = f"At {self.t:.3f} s, {self.lane}"
        lines = [f"{at}: {self.what}" if self.cause != self.what else f"{at}:"]
        if self.expected:
            lines.append(f"  recorded: {self.expected}")
        if self.actual:
            lines.append(f"  now:      {self.actual}")
        if self.context:
            lines += ["  before that:", *(f"    {line}" for line in self.context)]
        return lines

    def __str__(self) -> str:
        return "\n".join([self.cause, *self.details] if self.cause else self.details)

    def __repr__(self) -> str:
        """Returns one line for pytest, which shows the line in `assert call.divergence is None`. The whole report
        follows below.
        """
        return f"<at {self.t:.1f} s: {self.sentence}>"


@dataclass(slots=True)
class Comparison:
    """The differences between the behaviour of an agent in a recording and in a replay, in order of time. `divergences`
    are differences that make the replay fail. `notes` are differences of the configuration, which do not make the
    replay fail. With `Tolerances(config=True)`, these are divergences too.
    """

    divergences: list[Divergence] = field(default_factory=list)
    notes: list[Divergence] = field(default_factory=list)

    @property
    def first(self) -> Divergence | None:
        return self.divergences[0] if self.divergences else None


def compare(expected: Behaviour, actual: Behaviour, tolerances: Tolerances | None = None) -> Comparison:
    """Compares the behaviour of an agent in a recording (`expected`) with its behaviour in a replay (`actual`). Returns
    the differences that are greater than `tolerances`, as a `Comparison`.
    """
    tolerances = tolerances or Tolerances()
    comparison = Comparison()
    then, now = by_lane(expected.actions), by_lane(actual.actions)
    for lane in tolerances.lanes:
        found = list(_lane(then.get(lane, []), now.get(lane, []), tolerances))
        counts = lane != "config" or tolerances.config
        (comparison.divergences if counts else comparison.notes).extend(found)
    if "phone" in tolerances.lanes:
        comparison.divergences += _speech(expected, actual, tolerances)
    if tolerances.samples and tolerances.voice:
        comparison.divergences += _caller(expected, actual)
    for each in (comparison.divergences, comparison.notes):
        each.sort(key=lambda divergence: (round(divergence.t, 3), divergence.index))
    return comparison


# --- actions ---------------------------------------------------------------------------------------------------------


def _lane(then: Sequence[Action], now: Sequence[Action], tolerances: Tolerances) -> Iterator[Divergence]:
    for expected, actual, at in (_by_time if tolerances.timing else _by_order)(then, now):
        if expected is not None and actual is not None:
            yield from _pair(expected, actual, tolerances)
        elif expected is not None:
            what = f"{expected.what} did not happen"
            yield Divergence("missing", expected.lane, expected.t, what, expected=str(expected), index=expected.index)
        elif actual is not None:
            what = f"{actual.what} is not in the recording"
            yield Divergence("extra", actual.lane, actual.t, what, actual=str(actual), index=_place(then, at))


_Aligned = Iterator[tuple[Action | None, Action | None, int]]


def _by_order(then: Sequence[Action], now: Sequence[Action]) -> _Aligned:
    """Yields pairs of corresponding actions with the position in `then`. The times are ignored."""
    matcher = SequenceMatcher(None, [action.what for action in then], [action.what for action in now], autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(then[a:a_end], now[b:b_end], range(a, a_end), strict=True)
        else:
            yield from ((action, None, a) for action in then[a:a_end])
            yield from ((None, action, a) for action in now[b:b_end])


def _by_time(then: Sequence[Action], now: Sequence[Action]) -> _Aligned:
    """Yields pairs of corresponding actions with the position in `then`, for calls with the same timing. Actions that
    are far apart in time do not correspond.
    """
    a = b = 0
    while a < len(then) and b < len(now):
        if _near(then[a], now[b]):
            yield then[a], now[b], a
            a, b = a + 1, b + 1
        elif then[a].t <= now[b].t:
            later = next((n for n in range(b + 1, len(now)) if _near(then[a], now[n])), None)
            if later is None:
                yield then[a], None, a
                a += 1
            else:
                yield from ((None, action, a) for action in now[b:later])
                b = later
        else:
            later = next((n for n in range(a + 1, len(then)) if _near(then[n], now[b])), None)
            if later is None:
                yield None, now[b], a
                b += 1
            else:
                yield from ((action, None, a) for action in then[a:later])
                a = later
    yield from ((action, None, a) for action in then[a:])
    yield from ((None, action, a) for action in now[b:])


def _near(one: Action, other: Action) -> bool:
    return one.what == other.what and abs(one.t - other.t) <= _SAME_ACTION_S


def _place(then: Sequence[Action], at: int) -> int:
    return then[min(at, len(then) - 1)].index if then else 0


def _pair(expected: Action, actual: Action, tolerances: Tolerances) -> Iterator[Divergence]:
    lane, index = expected.lane, expected.index
    changed = [
        name
        for name in {**expected.data, **actual.data}
        if not _same(name, expected.data.get(name), actual.data.get(name), tolerances)
    ]
    t = min(expected.t, actual.t) if tolerances.timing else actual.t
    if changed:
        what = f"{expected.what}: {', '.join(changed)} changed"
        yield Divergence("changed", lane, t, what, str(expected), str(actual), index)
        return
    if not tolerances.timing:
        return
    late_ms = (actual.t - expected.t) * 1000
    allowed = _limits(expected.what, tolerances)
    if late_ms > allowed[0] or late_ms < -allowed[1]:
        kind: Kind = "late" if late_ms > 0 else "early"
        what = f"{expected.what} came {abs(late_ms):.0f} ms too {kind}"
        yield Divergence(kind, lane, t, what, f"at {expected.t:.3f} s", f"at {actual.t:.3f} s", index)


def _limits(what: str, tolerances: Tolerances) -> tuple[float, float]:
    """Returns the maximum lateness and earliness of an action, in milliseconds."""
    if what == "the call ends" or what.endswith(" is over"):  # these may wait for marks
        return tolerances.early_ms, tolerances.early_ms
    return (tolerances.audio_ms,) * 2 if what.startswith("speak ") else (tolerances.late_ms, tolerances.early_ms)


def _same(name: str, expected: Any, actual: Any, tolerances: Tolerances) -> bool:
    if name == "audio_end_ms" and isinstance(expected, int) and isinstance(actual, int):
        return not tolerances.timing or abs(expected - actual) <= tolerances.heard_ms
    if name == "response" and not tolerances.config:
        return True  # instructions of a response count as configuration
    return bool(expected == actual)


# --- speech ----------------------------------------------------------------------------------------------------------


def _speech(expected: Behaviour, actual: Behaviour, tolerances: Tolerances) -> Iterator[Divergence]:
    for key, then in expected.spoken.items():
        now = actual.spoken.get(key)
        if now is None:
            continue  # the missing `speak` is reported
        first = next(_differences(then, now, expected.cut | actual.cut, tolerances), None)
        if first is not None:
            yield first


def _differences(then: SpokenPart, now: SpokenPart, cut: set[str], tolerances: Tolerances) -> Iterator[Divergence]:
    item = then.item_id
    sent = {(offset, length): crc32 for offset, length, crc32, _ in now.pieces}
    timeline = _Timeline(now)
    farthest = 0
    for offset, length, crc32, t in then.pieces:
        other = sent.get((offset, length))
        if tolerances.samples and crc32 is not None and other is not None and other != crc32:
            what = f"{item}: the samples from {offset / 8:.0f} ms on differ"
            yield Divergence("audio", "phone", t, what, f"CRC-32 {crc32:08x}", f"CRC-32 {other:08x}", then.index)
        again, farthest = offset < farthest, max(farthest, offset + length)
        at = None if again else timeline.at(offset)
        if at is None or not tolerances.timing:
            continue
        late_ms = (at - t) * 1000
        if abs(late_ms) > (tolerances.lead_ms if offset else tolerances.audio_ms):
            kind: Kind = "late" if late_ms > 0 else "early"
            what = f"{item}: its audio from {offset / 8:.0f} ms on was sent {abs(late_ms):.0f} ms too {kind}"
            yield Divergence(kind, "phone", min(t, at), what, f"at {t:.3f} s", f"at {at:.3f} s", then.index)
    limit = 0 if item not in cut else round(tolerances.lead_ms * 8) if tolerances.timing else 2**40
    if abs(then.end - now.end) > limit:
        what = f"{item}: {now.end / 8:.0f} ms of it were sent, and {then.end / 8:.0f} ms then"
        longer, end = (now, then.end + limit) if now.end > then.end else (then, now.end + limit)
        t = next(t for offset, length, _, t in longer.pieces if offset + length > end)
        yield Divergence("audio", "phone", t, what, f"{then.end} samples", f"{now.end} samples", then.index)


class _Timeline:
    """The time at which each sample of a part was first sent. After a hold or on another stream, samples are sent
    again.
    """

    def __init__(self, spoken: SpokenPart) -> None:
        self._ends: list[int] = []
        self._times: list[float] = []
        for offset, length, _, t in spoken.pieces:
            if not self._ends or offset + length > self._ends[-1]:
                self._ends.append(offset + length)
                self._times.append(t)

    def at(self, offset: int) -> float | None:
        nth = bisect_right(self._ends, offset)
        return self._times[nth] if nth < len(self._times) else None


def _caller(expected: Behaviour, actual: Behaviour) -> Iterator[Divergence]:
    """Yields the first difference in the caller's audio to the model. The last frames of a call may be missing."""
    for then, now in zip(expected.caller, actual.caller, strict=False):
        if then[0] != now[0] or (None not in (then[1], now[1]) and then[1] != now[1]):
            what = "the caller's audio to the model differs"
            before, after = (_audio(n_bytes, crc32) for n_bytes, crc32, *_ in (then, now))
            yield Divergence("audio", "model", min(then[2], now[2]), what, before, after, then[3])
            return
    short = len(expected.caller) - len(actual.caller)
    if abs(short) > _LAST_FRAMES:
        longer, at = (expected, len(actual.caller)) if short > 0 else (actual, len(expected.caller))
        _, _, t, index = longer.caller[at]
        what = (
            f"{abs(short)} messages of the caller's audio {'are missing' if short > 0 else 'are not in the recording'}"
        )
        yield Divergence("audio", "model", t, what, index=index)


def _audio(n_bytes: int, crc32: int | None) -> str:
    return f"{n_bytes} bytes" if crc32 is None else f"{n_bytes} bytes, CRC-32 {crc32:08x}"


_LAST_FRAMES = 5
