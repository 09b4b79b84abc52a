"""Prepares a recorded call for its page: the audio as WAV, and the timeline as JSON.

    python -m telephony.console.prepare JOURNAL FOLDER

This module runs in its own process. Reading a journal uses the CPU for up to a second. In the server process this would
delay the audio of calls. The module writes `call.json` into the folder, then prints a line, and then writes `call.wav`.
A person waits for the conversation in `call.json`, so the process has a priority that is only a little below normal
until then. On a busy machine a process of low priority would get almost no CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import JournalError
from ..journal.audio import CallAudio, pcm_of
from ..journal.encoding import dump
from ..journal.reader import read_journal
from ..journal.recorded import RecordedCall
from ..journal.transcript import Event, to_json
from ..journal.wav import write_stereo
from ..replay.call import HeardCall
from .event_words import event_words
from .wave import loudness

__all__ = ["AUDIO", "TIMELINE", "main", "timeline_of"]

AUDIO, TIMELINE = "call.wav", "call.json"
_NICE_FIRST, _NICE_THEN = 3, 7
"""The priority: the increments of the niceness before and after the timeline is written."""
_MAX_STEPS = 4_000
_MIN_STEP_MS = 20


def timeline_of(call: HeardCall) -> dict[str, Any]:
    """Returns what the console shows about a recorded call, as a JSON object: the turns, tool calls and events (in the
    same form as for a live call), the loudness of both sides, the times of marks and clears, and the measurements.
    """
    recorded, audio = call.recorded, call.audio
    step_ms = max(_MIN_STEP_MS, -(-round(call.duration_ms) // _MAX_STEPS // 10) * 10)
    return {
        "duration_ms": round(call.duration_ms),
        "ended": call.ended,
        "entries": _entries(call),
        "wave": {"step_ms": step_ms, **_loudness(audio, step_ms)},
        "marks": [round(recorded.ms(it.back_t)) for it in recorded.marks if it.back_t is not None and not it.flushed],
        "clears": [round(recorded.ms(t)) for t in recorded.clears],
        "figures": call.figures.to_json(),
    }


def _entries(call: HeardCall) -> list[dict[str, Any]]:
    events = [it for it in call.events if not (isinstance(it, Event) and it.kind == "tool")]
    entries = [*to_json(events), *_tools(call.recorded)]
    entries.sort(key=lambda entry: entry["start_ms"])
    entries = _with_joined_supervisor(entries)
    latencies = list(call.figures.latencies)
    for n, entry in enumerate(entries):
        entry["id"] = n
        if entry["type"] == "turn" and entry["speaker"] == "agent":
            answers = [it for it in latencies if abs(it.to_ms - entry["start_ms"]) < 2]
            entry["latency_ms"] = round(answers[0].ms) if answers else None
            share = entry["heard_ms"] / entry["received_ms"] if entry["received_ms"] else 1.0
            entry["heard_share"] = 1.0 if not entry["interrupted"] else min(1.0, round(share, 3))
    _note_unheard_end(entries)
    _add_words(entries)
    return entries


def _note_unheard_end(entries: list[dict[str, Any]]) -> None:
    """Adds `unheard` to the last turn of the agent if the call ended before the caller heard all of it."""
    for entry in reversed(entries):
        if entry["type"] == "turn" and entry["speaker"] == "agent":
            if not entry["interrupted"] and len(entry["heard"].strip()) < len(entry["said"].strip()):
                entry["unheard"] = "call ended"
            return


def _add_words(entries: list[dict[str, Any]]) -> None:
    """Adds `words` to the events that have a sentence for a supervisor. `words` is empty if an event says nothing to a
    supervisor.
    """
    spoken_until = 0
    for entry in entries:
        if entry["type"] == "turn":
            spoken_until = max(spoken_until, entry["end_ms"])
        elif entry["type"] != "tool":
            silence_ms = max(0, entry["start_ms"] - spoken_until)
            words = event_words(entry["type"], entry["text"], silence_ms=silence_ms)
            if words is not None:
                entry["words"] = words


def _with_joined_supervisor(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the entries with one entry for each turn of a supervisor. If a supervisor pauses during a turn, the
    journal has several parts of the turn. The words are in the part in which they begin.
    """
    joined: list[dict[str, Any]] = []
    for entry in entries:
        if entry.get("speaker") == "supervisor":
            if joined and joined[-1].get("speaker") == "supervisor":
                if entry["said"] and not joined[-1]["said"]:
                    joined[-1]["start_ms"] = entry["start_ms"]
                said = f"{joined[-1]['said']} {entry['said']}".strip()
                joined[-1].update(end_ms=entry["end_ms"], said=said, heard=said)
                continue
            entry = dict(entry)
        joined.append(entry)
    return joined


def _tools(call: RecordedCall) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool",
            "start_ms": round(call.ms(it.t)),
            "end_ms": None if it.end_t is None else round(call.ms(it.end_t)),
            "call_id": it.call_id,
            "name": it.name,
            "arguments": it.arguments,
            "output": it.output,
            "error": it.error,
        }
        for it in call.tools
    ]


def _loudness(audio: CallAudio, step_ms: int) -> dict[str, list[int]]:
    return {"caller": _peaks(pcm_of(audio.caller), step_ms), "agent": _peaks(pcm_of(audio.agent), step_ms)}


def _peaks(pcm: NDArray[np.int16], step_ms: int) -> list[int]:
    size = step_ms * 8
    padded = np.pad(np.abs(pcm.astype(np.int32)), (0, -len(pcm) % size)).reshape(-1, size)
    return [loudness(int(peak)) for peak in padded.max(axis=1, initial=0)]


def main(journal: Path, folder: Path, on_timeline: Callable[[], None] = lambda: None) -> None:
    """Reads the journal, and writes the timeline of the call (`call.json`) and then its audio (`call.wav`) into
    `folder`. `on_timeline` is called when the timeline is written. Raises `JournalError` if the journal cannot be read,
    and `OSError` if a file cannot be written.
    """
    if not journal.exists():  # the journal was compressed a moment ago
        journal = Path(f"{journal}.gz")
    call = HeardCall(lambda: read_journal(journal), journal.parent.name)
    (folder / TIMELINE).write_text(dump(timeline_of(call)), encoding="utf-8")
    on_timeline()
    write_stereo(folder / AUDIO, call.audio)


def _report_timeline() -> None:
    sys.stdout.write(f"{TIMELINE}\n")
    sys.stdout.flush()
    os.nice(_NICE_THEN)


if __name__ == "__main__":
    os.nice(_NICE_FIRST)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), _report_timeline)
    except (JournalError, OSError) as error:
        sys.exit(str(error))
