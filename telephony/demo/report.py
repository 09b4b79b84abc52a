"""The report of a demonstration call: a folder with its journal, audio, transcript, timeline and measurements."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from telephony.errors import DemoFailed
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.journal.recorded import RecordedCall
from telephony.journal.timeline import timeline_png
from telephony.journal.transcript import events_of, to_json, to_text
from telephony.journal.wav import write_stereo

from .caller_measurements import measure_at_caller
from .plan import DemoCall

__all__ = ["Report", "make_report", "show_report"]


_NOTHING = ""
_GOOD_ENDS = ("hung up", "agent hung up")


@dataclass(frozen=True, slots=True)
class Report:
    """The measurements of the demo call as a JSON object, and the folder with its journal and pictures."""

    figures: Mapping[str, Any]
    folder: Path


def make_report(demo_call: DemoCall, records: Iterable[Record], *, seed: int | None = None) -> Report:
    """Computes the report of the demo call, and writes the files of the call next to its journal: audio, transcript,
    timeline and report. Returns the report. `records` are the records of the journal. `seed` is only written to the
    report. Raises `DemoFailed` if the call failed.
    """
    folder = demo_call.journal.parent
    call = collect(records)
    audio = rebuild(call)
    entries, figures = events_of(call, audio), figures_of(call, audio)
    if (failure := _failure(call)) is not None:
        raise DemoFailed(f"{failure}: {demo_call.server_error or 'no reason was given'} (see {demo_call.journal})")
    measured = measure_at_caller(call, audio, demo_call.events, demo_call.heard)
    report = {"call_sid": call.header.get("call_sid"), "seed": seed, **figures.to_json(), "ear": measured.to_json()}
    write_stereo(folder / "call.wav", audio)
    (folder / "transcript.txt").write_text(to_text(entries), encoding="utf-8")
    (folder / "timeline.png").write_bytes(timeline_png(call, audio, entries, figures))
    (folder / "figures.json").write_text(
        json.dumps({**report, "transcript": to_json(entries)}, indent=1), encoding="utf-8"
    )
    return Report(report, folder)


def _failure(call: RecordedCall) -> str | None:
    if call.end is None:
        return "The server stopped during the call"
    if not call.reached_model:
        return "The model could not be reached"
    reason = call.end.get("reason")
    return None if reason in _GOOD_ENDS else f"The call failed{f' ({reason})' if reason else ''}"


def show_report(report: Report, console: Console) -> None:
    """Prints the table of measurements and the path of the folder to `console`."""
    figures, ear = report.figures, report.figures["ear"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    notes = console.width >= 80
    if notes:
        table.add_column(style="dim", no_wrap=True)
    for name, value, note in _rows(figures, ear):
        if value != _NOTHING:
            table.add_row(name, value, *[note] * notes)
    console.print()
    console.print(table)
    console.print()
    folder = os.path.relpath(report.folder)
    files = ", ".join(sorted(path.name for path in report.folder.iterdir()))
    console.print(f"{folder}{os.sep}  {files}", soft_wrap=True, highlight=False, markup=False)


def _rows(figures: Mapping[str, Any], ear: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    latency = figures["response_latency_ms"]
    answered = f"{latency['p50']:.0f} / {latency['worst']:.0f} ms" if latency["p50"] is not None else _NOTHING
    return [
        ("Response latency", answered, "p50 / worst, end of speech to first audio"),
        ("Barge-in to silence", _worst(ear["barge_in_to_silence_ms"]), "speech_started to silence at the caller"),
        (
            "Truncation error",
            _worst(ear["truncation_error_ms"], signed=True),
            "position sent to the model, less position heard",
        ),
        ("Underruns", str(len(ear["underruns"])), "gaps within answers, at the caller"),
        ("Server CPU", _ms(figures["cpu_ms_per_call_s"]), "of one core, per second of call"),
        ("Seed", _text(figures["seed"]), "the same call again: --fast --seed"),
    ]


def _text(value: object) -> str:
    return _NOTHING if value is None else str(value)


def _ms(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.0f} ms"


def _worst(values: Sequence[float], *, signed: bool = False) -> str:
    worst = max(values, key=abs, default=None)
    return _NOTHING if worst is None else f"{worst:{'+' if signed else ''}.1f} ms"
