"""Prepares a recorded call for its page: the audio as WAV, and the timeline as JSON.

    python -m telephony.console.prepare JOURNAL FOLDER

This module runs in its own process. Reading a journal uses the CPU for up to a second. In the server process this would
delay the audio of calls. The module writes `call.wav` and `call.json` into the folder.
"""

from __future__ import annotations

import os
import sys
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
from .wave import loudness

__all__ = ["AUDIO", "TIMELINE", "main", "timeline_of"]

AUDIO, TIMELINE = "call.wav", "call.json"
_MAX_STEPS = 4_000
_MIN_STEP_MS = 20


def timeline_of(call: HeardCall) -> dict[str, Any]:
    """Returns the timeline of a recorded call: entries in the form of `LiveCall`, and the loudness of both sides."""
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
    return entries


def _with_joined_supervisor(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the entries with one entry for each turn of a supervisor. If a supervisor pauses during a turn, the
    journal has several parts of the turn.
    """
    joined: list[dict[str, Any]] = []
    for entry in entries:
        if entry.get("speaker") == "supervisor":
            if joined and joined[-1].get("speaker") == "supervisor":
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


def main(journal: Path, folder: Path) -> None:
    """Reads the journal, and writes the audio of the call (`call.wav`) and its timeline (`call.json`) into `folder`.
    Raises `JournalError` if the journal cannot be read, and `OSError` if a file cannot be written.
    """
    call = HeardCall(lambda: read_journal(journal), journal.parent.name)
    write_stereo(folder / AUDIO, call.audio)
    (folder / TIMELINE).write_text(dump(timeline_of(call)), encoding="utf-8")


if __name__ == "__main__":
    os.nice(10)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (JournalError, OSError) as error:
        sys.exit(str(error))
