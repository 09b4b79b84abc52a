"""The result of a replay as plain data, and as text with both calls side by side. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..journal.format import Record
from ..journal.transcript import Event, Turn, line_of
from .call import HeardCall, ReplayedCall
from .cause import cause_of
from .compare import Divergence

__all__ = ["PROVES", "context_of", "data_of", "explained", "rows_of", "text_of", "timeline_of"]

_NOT_SHOWN = (
    "It does not show what a model would say or do with other instructions, tools, voice or settings: "
    "use `telephony eval`."
)
PROVES = {
    "recorded": "Mode recorded: the recorded caller spoke and the recorded model answered. It shows what today's code "
    f"does with the same input. {_NOT_SHOWN}",
    "simulated": "Mode simulated: the recorded caller spoke over another line and the recorded model answered. It "
    f"shows what today's code does on that line. {_NOT_SHOWN}",
    "embedded": "Mode embedded: the embedded model answered, which is no AI. It shows that the call works with other "
    "answers. It does not show what a real model would say: use `telephony eval`.",
    "live": "Mode live: a real model answered once, and its next answer may be another one. To compare many calls use "
    "`telephony eval`.",
    "scripted": "A simulated caller called. Nothing is compared with the recording.",
}
"""What a replay without a difference from the recording shows, by the mode of the replay."""
_BEFORE = 8
_DULL = frozenset(
    {
        "media",
        "mark",
        "input_audio_buffer.append",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
        "conversation.item.input_audio_transcription.delta",
        "rate_limits.updated",
    }
)
_ARROWS = {"twilio.in": "phone  ->", "twilio.out": "phone  <-", "model.in": "model  ->", "model.out": "model  <-"}
_LANE = 56
_SAME_S = 0.3
_SAME_STEP_S = 0.002


def context_of(records: Iterable[Record], divergence: Divergence) -> tuple[str, ...]:
    """Returns the last relevant records of a recording before a difference from its replay (a divergence), as lines of
    text. If the difference concerns the phone, the last mark that Twilio returned (the report that audio was played) is
    included, because the mark often explains the difference.
    """
    found, mark = deque[Record](maxlen=_BEFORE), None
    for index, record in enumerate(records):
        if record.t > divergence.t + 0.001 or (record.t > divergence.t - 0.001 and index >= divergence.index):
            break
        if record.kind == "twilio.in" and record.event == "mark":
            mark = record
        elif record.kind not in ("stream", "clip") and record.event not in _DULL:
            found.append(record)
    noted = [*found, *([mark] if mark is not None and divergence.lane == "phone" else [])]
    return tuple(f"{each.t:9.3f}  {_line_of(each)}" for each in sorted(noted, key=lambda each: each.t))


def explained(original: HeardCall, replayed: HeardCall, divergences: Sequence[Divergence]) -> list[Divergence]:
    """Returns `divergences`, the differences between the recorded call `original` and its replay `replayed`, with the
    most probable cause as the first element. This element gets a sentence that explains the difference (`cause`) and
    the last journal records before the difference (`context`).

    The earliest difference is the most probable cause, and the later differences are mostly its consequences. There is
    one exception: if another difference within 2 ms of the earliest one concerns an action of a tool, that difference
    comes first, because a tool can cause a message.
    """
    if not divergences:
        return []
    step = [each for each in divergences if each.t <= divergences[0].t + _SAME_STEP_S]
    first = divergences[0] if divergences[0].kind == "schema" else min(step, key=lambda each: each.lane != "tools")
    rest = [each for each in divergences if each is not first]
    first = _moved(first, rest)
    calls = (replayed.recorded, original.recorded)
    texts = {part.item_id: text for call in calls for part in call.parts.values() if (text := part.transcript.strip())}
    cause = first.cause or cause_of(first, texts)
    return [replace(first, cause=cause, context=context_of(original.records, first)), *rest]


def _moved(first: Divergence, rest: Sequence[Divergence]) -> Divergence:
    """Returns the first divergence as late, if it is a missing tool action or answer that comes later in the replay.
    The comparison does not pair actions that are far apart.
    """
    base = first.what.removesuffix(" did not happen")
    if first.kind != "missing" or first.lane not in ("tools", "phone") or base == "clear":
        return first
    later = next((each for each in rest if each.what == f"{base} is not in the recording" and each.t > first.t), None)
    if later is None:
        return first
    what = f"{base} came {(later.t - first.t) * 1000:.0f} ms too late"
    return replace(first, kind="late", what=what, expected=f"at {first.t:.3f} s", actual=f"at {later.t:.3f} s")


def data_of(call: ReplayedCall) -> dict[str, Any]:
    """Returns the result of a replay as a JSON object."""
    return {
        "name": call.name,
        "mode": call.mode,
        "diverged": call.divergence is not None,
        "divergence": None if (it := call.divergence) is None else {"sentence": it.sentence, **asdict(it)},
        "divergences": len(call.comparison.divergences),
        "proves": PROVES.get(call.mode, ""),
        "changes": [str(change) for change in call.changes],
        "notes": [note.what for note in call.notes],
        "ended": call.ended,
        "tools": [asdict(tool) for tool in call.tools],
        "unrecorded_tools": call.unrecorded_tools,
        "interruptions": [asdict(interruption) for interruption in call.interruptions],
        "response_latencies_ms": [round(ms, 1) for ms in call.response_latencies_ms],
        "longest_silence_ms": call.longest_silence_ms,
        "talk_over_ms": call.talk_over_ms,
        "underruns": call.underruns,
        "goodbye_heard": call.goodbye_heard,
        "violations": call.violations,
        "tokens": dict(call.usage.tokens),
        "duration_ms": call.duration_ms,
    }


def text_of(call: ReplayedCall, *, brief: bool = False) -> str:
    """Returns the result of a replay as text: one line, or the first difference from the recording with both calls side
    by side. With `brief`, the changes since the recording are left out.
    """
    divergence = call.divergence
    result = f"no divergence, {call.ended}" if divergence is None else f"DIVERGED. {divergence.sentence}"
    lines = [f"{call.name} ({call.mode}): {result}"]
    if call.changes and not brief:
        judged = "" if call.unjudged == [] else " (this mode cannot judge it: use `telephony eval`)"
        lines += [f"Changed since the recording{judged}:", *(f"  {change}" for change in call.changes)]
    if divergence is not None:
        lines += [*divergence.details, ""]
        if len(call.comparison.divergences) > 1:
            lines += [f"{len(call.comparison.divergences) - 1} more divergences follow.", ""]
        lines += timeline_of(call.original, call, around_ms=divergence.t * 1000)
    lines += [f"note: {note.what}" for note in call.notes if not call.changes]
    lines += [f"note: {name}({arguments}) has no recorded answer" for name, arguments in call.unrecorded_tools]
    lines += [f"Twilio would have refused: {violation}" for violation in call.violations]
    return "\n".join(lines)


def timeline_of(then: HeardCall, now: HeardCall, *, around_ms: float | None = None) -> list[str]:
    """Returns the recorded call `then` and the replayed call `now` side by side, as lines of text. With `around_ms`,
    returns only lines near this time in milliseconds. Rows that differ are marked.
    """
    lines = [f"{'':9}  {'recorded':{_LANE}} | now"]
    for at_s, one, other in rows_of(then, now, around_ms=around_ms):
        lines.append(f"{at_s:9.1f}  {_cut(one):{_LANE}} {'|' if one == other else '≠'} {_cut(other)}")
    return lines


def rows_of(then: HeardCall, now: HeardCall, *, around_ms: float | None = None) -> list[tuple[float, str, str]]:
    """Returns the turns and events of the recorded call `then` and the replayed call `now`, as rows of (seconds,
    recorded, now). With `around_ms`, returns only rows near this time in milliseconds. Two equal lines that are at most
    0.3 s apart become one row.
    """
    rows = [(event.start_ms / 1000, _line(event), "") for event in _near(then.events, around_ms)]
    for event in _near(now.events, around_ms):
        at_s, text = event.start_ms / 1000, _line(event)
        same = [n for n, (t, one, other) in enumerate(rows) if one == text and not other and abs(t - at_s) <= _SAME_S]
        if same:
            rows[same[0]] = (rows[same[0]][0], text, text)
        else:
            rows.append((at_s, "", text))
    return _paired(sorted(rows, key=lambda row: row[0]))


def _paired(rows: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Joins two successive rows of different calls if both rows have the same kind and time."""
    paired: list[tuple[float, str, str]] = []
    for at_s, one, other in rows:
        last = paired[-1] if paired else None
        if last and at_s - last[0] <= _SAME_S and bool(last[1]) != bool(one) and bool(last[2]) != bool(other):
            mine, yours = last[1] or one, last[2] or other
            if mine.split()[0] == yours.split()[0]:
                paired[-1] = (last[0], mine, yours)
                continue
        paired.append((at_s, one, other))
    return paired


def _line(event: Turn | Event) -> str:
    return " ".join(line_of(event).split())


def _near(events: Sequence[Turn | Event], around_ms: float | None) -> list[Turn | Event]:
    if around_ms is None:
        return list(events)
    return [each for each in events if each.start_ms <= around_ms + 4000 and each.end_ms >= around_ms - 15000]


def _cut(text: str) -> str:
    return text if len(text) <= _LANE else f"{text[: _LANE - 1]}…"


def _line_of(record: Record) -> str:
    if record.kind in _ARROWS:
        return f"{_ARROWS[record.kind]} {record.event}{_details(record.message)}"
    fields = ", ".join(f"{name}={value}" for name, value in record.data.items() if isinstance(value, str | int | float))
    return f"{record.kind}({fields if record.kind != 'header' else ''})"


def _details(message: Mapping[str, Any]) -> str:
    names = ("item_id", "audio_end_ms", "audio_start_ms", "transcript", "name", "arguments")
    fields = message["mark"] if isinstance(message.get("mark"), dict) else message
    details = [f"{name}={fields[name]}" for name in names if fields.get(name) not in (None, "")]
    return f" ({', '.join(details)})" if details else ""
