"""Draws a recorded call: the audio of both sides, texts and events on one time axis. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .audio import CallAudio, pcm_of, voice_of
from .drawing import Bars, Line, Polygon, Rect, Shape, Text, png, svg, text_width, wrap
from .figures import Figures, Latency
from .recorded import RecordedCall
from .transcript import Event, Turn

__all__ = ["LEFT", "RIGHT", "WIDTH", "timeline_png", "timeline_svg"]

WIDTH, HEIGHT = 1600, 540
LEFT, RIGHT = 104, 1576
CALLER_Y, EVENTS_Y, AGENT_Y, NOTES_Y, AXIS_Y = 148, 234, 320, 450, 486
_ROOM = 30.0
"""The minimum distance of texts in pixels. A text that begins closer to the text before it is left out."""
LANE = 44
"""Half of the height in pixels of a lane, the band of the drawing for the audio of one side."""
INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
CALLER, AGENT, UNHEARD, CUT, TOOL, KEY, ANSWER, MARK, NOTE = (
    "#2563eb", "#0f8a6d", "#ccd5de", "#d64545", "#8250df", "#b7791f", "#52606d", "#9fb3c8", "#0b7285",
)  # fmt: skip


def timeline_png(call: RecordedCall, audio: CallAudio, entries: Sequence[Turn | Event], figures: Figures) -> bytes:
    """Returns the drawing of a recorded call as a PNG file. `audio` is the audio of both sides, `entries` are its turns
    and events, and `figures` are its measurements.
    """
    return png(_shapes(call, audio, entries, figures), WIDTH, HEIGHT)


def timeline_svg(call: RecordedCall, audio: CallAudio, entries: Sequence[Turn | Event], figures: Figures) -> str:
    """Returns the drawing of a recorded call as an SVG document. `audio` is the audio of both sides, `entries` are its
    turns and events, and `figures` are its measurements.
    """
    return svg(_shapes(call, audio, entries, figures), WIDTH, HEIGHT)


@dataclass(frozen=True, slots=True)
class _Axis:
    duration_ms: float

    def x(self, ms: float) -> float:
        share = min(1.0, max(0.0, ms / self.duration_ms)) if self.duration_ms else 0.0
        return LEFT + share * (RIGHT - LEFT)


def _shapes(call: RecordedCall, audio: CallAudio, entries: Sequence[Turn | Event], figures: Figures) -> list[Shape]:
    axis = _Axis(call.duration_ms)
    turns = [entry for entry in entries if isinstance(entry, Turn)]
    events = [entry for entry in entries if isinstance(entry, Event)]
    return [
        *_frame(call, axis),
        *_interruptions(axis, events, figures),
        *_wave(audio.caller, CALLER_Y, CALLER, axis),
        *_wave(_unheard(call, turns), AGENT_Y, UNHEARD, axis),
        *_wave(audio.agent, AGENT_Y, AGENT, axis),
        *_marks(call, axis),
        *_texts(axis, [turn for turn in turns if turn.speaker == "caller"], CALLER_Y - LANE - 10, CALLER, upwards=True),
        *_texts(axis, [turn for turn in turns if turn.speaker != "caller"], AGENT_Y + LANE + 22, AGENT, upwards=False),
        *_answers(axis, figures.latencies),
        *_tools_and_keys(axis, events),
        *_notes(axis, events),
        *_legend(),
    ]


def _frame(call: RecordedCall, axis: _Axis) -> Iterator[Shape]:
    agent = str(call.header.get("agent") or "Agent")
    title = f"{agent}   ·   {call.header.get('call_sid', '')}   ·   {axis.duration_ms / 1000:.1f} s"
    yield Text(24, 22, title, INK, 16)
    step = next((s for s in (1, 2, 5, 10, 30, 60, 300, 600) if axis.duration_ms / 1000 / s <= 16), 3600)
    for second in range(0, int(axis.duration_ms / 1000) + 1, step):
        x = axis.x(second * 1000)
        yield Line(x, CALLER_Y - LANE, x, AXIS_Y, GRID)
        yield Text(x, AXIS_Y + 12, f"{second // 60}:{second % 60:02d}", FAINT, 12, "middle")
    yield Line(LEFT, AXIS_Y, RIGHT, AXIS_Y, FAINT)
    for y, name, detail, color in (
        (CALLER_Y, "Caller", "", CALLER),
        (AGENT_Y, "Agent", "as heard", AGENT),
    ):
        yield Text(24, y - (8 if detail else 0), name, color, 16)
        yield Text(24, y + 10, detail, FAINT, 12)
        yield Line(LEFT, y, RIGHT, y, GRID)


def _unheard(call: RecordedCall, turns: Sequence[Turn]) -> bytes:
    """Returns the unheard rest of each interrupted turn, at the time at which it would have been played, up to the next
    turn.
    """
    lane = bytearray(b"\xff" * len(call.caller))
    spoken = [turn for turn in turns if turn.speaker != "caller"]
    for turn, following in itertools.zip_longest(spoken, spoken[1:]):
        part = call.parts.get((turn.item_id, turn.content_index))
        if part is not None and turn.interrupted and turn.heard_ms > 0:
            start = round(turn.end_ms * 8)
            room = (round(following.start_ms * 8) if following else len(lane)) - start
            rest = voice_of(part, call.output_format)[round(turn.heard_ms * 8) :][: max(0, room)]
            lane[start : start + len(rest)] = rest
    return bytes(lane[: len(call.caller)])


def _wave(ulaw: bytes, y: float, color: str, axis: _Axis) -> Iterator[Shape]:
    """Yields the envelope of the audio: the loudest sample of each pixel column, in both directions. Silent columns are
    not drawn.
    """
    pcm = np.abs(pcm_of(ulaw).astype(np.int32))
    edges = np.linspace(0, len(pcm), RIGHT - LEFT + 1).astype(int)
    peaks = np.array([pcm[a:b].max(initial=0) for a, b in itertools.pairwise(edges)])
    loudest = max(float(np.percentile(peaks[peaks > 0], 99.5)) if peaks.any() else 1.0, 3000.0)
    heights = np.rint(np.minimum(1.0, peaks / loudest) * LANE).astype(int)
    yield Bars([(LEFT + int(x), int(y - heights[x]), 2 * int(heights[x])) for x in np.flatnonzero(heights)], color)


def _marks(call: RecordedCall, axis: _Axis) -> Iterator[Shape]:
    """Yields a tick for each returned mark. The mark's audio was played or flushed."""
    y = AGENT_Y + LANE + 6
    for flushed in (False, True):
        columns = {
            round(axis.x(call.ms(mark.back_t)))
            for mark in call.marks
            if mark.back_t is not None and mark.flushed == flushed
        }
        yield Bars([(x, y, 6) for x in sorted(columns)], CUT if flushed else MARK)


def _texts(axis: _Axis, turns: Sequence[Turn], y: float, color: str, *, upwards: bool) -> Iterator[Shape]:
    """Yields the text of each turn, in the space before the next turn of the same speaker."""
    size, line_height = 13.0, 17
    turns = _apart([turn for turn in turns if turn.heard or turn.speaker == "caller"], axis)
    for n, turn in enumerate(turns):
        x = axis.x(turn.start_ms)
        end = axis.x(turns[n + 1].start_ms) - 14 if n + 1 < len(turns) else RIGHT
        if end - x < 40:
            x, end = min(x, RIGHT - 40), max(end, x + 40)
        lines = wrap(turn.heard or turn.said or "(speech)", size, end - x, 3)
        if turn.interrupted and turn.heard != turn.said:
            lines = wrap(turn.heard + "…", size, end - x, 3)
        top = y - line_height * (len(lines) - 1) if upwards else y
        for row, line in enumerate(lines):
            yield Text(x, top + row * line_height, line, color if turn.heard else FAINT, size)


_Entry = TypeVar("_Entry", Turn, Event)


def _apart(entries: Sequence[_Entry], axis: _Axis) -> list[_Entry]:
    """Returns the entries whose texts have enough space. In a long call not every text has enough space."""
    found: list[_Entry] = []
    for each in entries:
        if not found or axis.x(each.start_ms) - axis.x(found[-1].start_ms) >= _ROOM:
            found.append(each)
    return found


def _interruptions(axis: _Axis, events: Sequence[Event], figures: Figures) -> Iterator[Shape]:
    silences = {round(silence.from_ms): silence for silence in figures.silences}
    events = [event for event in events if event.kind == "interruption"]
    labelled = _apart(events, axis)
    for event in events:
        x = axis.x(event.start_ms)
        yield Line(x, CALLER_Y - LANE, x, AGENT_Y + LANE, CUT, 1.5)
        if event not in labelled:
            continue
        silence = silences.get(round(event.start_ms))
        label = "interrupted" if silence is None else f"interrupted, silent within {math.ceil(silence.ms) or 1} ms"
        if event.cause is not None and not event.cause.is_callers:
            label = event.cause.words
        yield from _label(x + 6, EVENTS_Y, label, CUT)


def _answers(axis: _Axis, latencies: Sequence[Latency]) -> Iterator[Shape]:
    """Yields a line for each answer, from the end of the caller's speech to the first sample of the answer."""
    last = -_ROOM
    for latency in latencies:
        if axis.x(latency.to_ms) - last < _ROOM:
            continue
        last = axis.x(latency.to_ms)
        x1, x2, y = axis.x(latency.from_ms), axis.x(latency.to_ms), EVENTS_Y + 24
        yield Line(x1, y - 5, x1, y + 5, ANSWER, 1.2)
        yield Line(x1, y, x2, y, ANSWER, 1.2)
        yield Polygon([(x2, y), (x2 - 6, y - 4), (x2 - 6, y + 4)], ANSWER)
        yield from _label(x2 + 5, y, f"{latency.ms:.0f} ms", ANSWER)


def _tools_and_keys(axis: _Axis, events: Sequence[Event]) -> Iterator[Shape]:
    tools = [event for event in events if event.kind == "tool"]
    for tool, following in itertools.zip_longest(tools, tools[1:]):
        x, end = axis.x(tool.start_ms), axis.x(tool.end_ms)
        yield Rect(x - 1.5, EVENTS_Y - 34, max(3.0, end - x), 20, TOOL, 1.5)
        room = (axis.x(following.start_ms) if following else RIGHT) - x - 20
        for text in () if room < _ROOM else wrap(tool.text, 12.5, min(420.0, max(40.0, room)), 1):
            yield from _label(max(x + 3, end) + 5, EVENTS_Y - 24, text, TOOL)
    for key in events:
        if key.kind == "key":
            text = key.text if len(key.text) == 1 else "key"
            width = text_width(text, 13) + 12
            yield Rect(axis.x(key.start_ms) - width / 2, EVENTS_Y - 10, width, 20, KEY, 4)
            yield Text(axis.x(key.start_ms), EVENTS_Y, text, "white", 13, "middle")


def _notes(axis: _Axis, events: Sequence[Event]) -> Iterator[Shape]:
    """Yields the time-outs, requests of users' code, REST requests, webhooks and handoffs, with their texts if there is
    space.
    """
    notes = [event for event in events if event.kind in ("timer", "control", "rest", "callback", "stream", "handoff")]
    for note, following in itertools.zip_longest(notes, notes[1:]):
        x = axis.x(note.start_ms)
        room = (axis.x(following.start_ms) if following else RIGHT) - x - 14
        yield Polygon([(x, NOTES_Y - 5), (x + 5, NOTES_Y), (x, NOTES_Y + 5), (x - 5, NOTES_Y)], NOTE)
        if room >= 30:
            for text in wrap(note.text, 12.5, min(room, 320.0), 1):
                yield Text(x + 8, NOTES_Y, text, NOTE, 12.5)


def _label(x: float, y: float, text: str, color: str) -> Iterator[Shape]:
    """Yields a text inside the picture, on a white background."""
    width = text_width(text, 12.5)
    x = min(x, WIDTH - 8 - width)
    yield Rect(x - 2, y - 8, width + 4, 16, "#ffffff", 2)
    yield Text(x, y, text, color, 12.5)


def _legend() -> Iterator[Shape]:
    x, y = 24.0, HEIGHT - 16.0
    for color, text in (
        (CALLER, "caller's voice"),
        (AGENT, "agent's voice, as heard"),
        (UNHEARD, "ready, but not heard"),
        (ANSWER, "end of speech to answer"),
        (TOOL, "tool call"),
        (KEY, "key pressed"),
        (CUT, "interruption, clear, flushed marks"),
        (MARK, "mark came back: played"),
        (NOTE, "timer, control, Twilio, handoff"),
    ):
        yield Rect(x, y - 5, 10, 10, color, 2)
        yield Text(x + 16, y, text, INK, 12.5)
        x += 16 + text_width(text, 12.5) + 26
