"""Implements `telephony replay`, which repeats a recorded call with the present code and shows the first difference."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from ..env_file import environment
from ..import_strings import load_agent, load_object
from ..journal.store import JOURNALS
from ..journal.stored_journals import StoredJournals
from ..replay.batch import Job, junit_of, run, spread_of, spread_text, summary_text
from ..replay.page import index_of
from ..settings import read_settings
from .call_list import stored_journals
from .calls_tests import journals_in
from .errors import USAGE, CliError

__all__ = ["run_replay"]

DIVERGED = 3
MODES: dict[str, dict[str, str]] = {
    "recorded": {"caller": "recorded", "model": "recorded"},
    "simulated": {"caller": "simulated", "model": "recorded"},
    "embedded": {"caller": "simulated", "model": "embedded"},
    "live": {"caller": "simulated", "model": "live"},
}
LIVE_AT_ONCE = 4


def run_replay(
    paths: Sequence[str],
    *,
    mode: str,
    agent: str | None,
    repeat: int,
    json: bool,
    junit: Path | None,
    html: Path | None,
    options: dict[str, Any],
) -> None:
    """Replays the journals at `paths` and prints the results, for the command `telephony replay`. With `json`, prints
    JSON. With `junit` and `html`, also writes these files. Exits with code 3 if a replay differs from its recording.

    `mode` is `recorded`, `simulated`, `embedded` or `live`. `agent` is an import string. With None, the recorded agent
    is used. Each call is replayed `repeat` times. `options` are further arguments of the replay. An option that is None
    has the default of the mode.
    """
    if mode not in MODES:
        raise CliError(f"There is no mode {mode!r}.", f"The modes are {', '.join(MODES)}.", code=USAGE)
    if mode == "live" and not environment().get("OPENAI_API_KEY"):
        raise CliError("--mode live needs a key.", "Set OPENAI_API_KEY; --mode embedded needs none.")
    if agent is not None:
        load_agent(agent)  # so that a wrong name is reported once, before the replays
    if options.get("configure") is not None:
        load_object(options["configure"], what="function")
    chosen = {**MODES[mode], **{name: value for name, value in options.items() if value is not None}}
    chosen["model_settings"] = read_settings().model_settings
    with stored_journals(read_settings(), None) as stored:
        _replay(_journals(paths, stored), agent, repeat, mode, chosen, json=json, junit=junit, html=html)


def _replay(
    journals: Sequence[Path],
    agent: str | None,
    repeat: int,
    mode: str,
    options: dict[str, Any],
    *,
    json: bool,
    junit: Path | None,
    html: Path | None,
) -> None:
    seed = int(options.pop("seed", 0))
    many = len(journals) * repeat > 1
    jobs = [
        Job(path, agent, nth, repeat, brief=many, options={**options, "seed": seed + nth - 1})
        for path in journals
        for nth in range(1, repeat + 1)
    ]
    if html is not None:
        jobs = _with_pages(jobs, html)
    results = []
    for result in run(jobs, workers=LIVE_AT_ONCE if mode == "live" else os.cpu_count() or 1):
        results.append(result)
        if not json:
            progress = f"[{len(results):{len(str(len(jobs)))}}/{len(jobs)}] " if many else ""
            typer.echo(progress + (result.get("text") or f"{result['title']}: not replayed: {result['error']}"))
    _report(results, repeat, json=json, junit=junit, html=html if many else None)
    if any(result.get("error") for result in results):
        raise typer.Exit(1)
    if any(result["diverged"] for result in results):
        raise typer.Exit(DIVERGED)


def _with_pages(jobs: Sequence[Job], html: Path) -> list[Job]:
    """Returns the jobs with the files of their pages. A single job gets the file `html`. Several jobs get files in a
    folder next to `html`.
    """
    folder = html.with_name(f"{html.stem}_files")
    if len(jobs) == 1:
        return [replace(jobs[0], page=html, sounds=folder)]
    width = len(str(len(jobs)))
    return [
        replace(job, page=folder / f"{n:0{width}}-{_file_name(job.path)}.html", sounds=folder)
        for n, job in enumerate(jobs, 1)
    ]


def _file_name(path: Path) -> str:
    name = path.parent.name if path.stem.startswith("journal") else path.name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def _report(results: list[dict[str, Any]], repeat: int, *, json: bool, junit: Path | None, html: Path | None) -> None:
    summary = summary_text(results)
    if html is not None:
        rows = [{**r, "page": f"{html.stem}_files/{Path(r['page']).name}"} if "page" in r else r for r in results]
        html.write_text(index_of(rows, summary), encoding="utf-8")
    if junit is not None:
        junit.write_text(junit_of(results), encoding="utf-8")
    rows = [{k: v for k, v in result.items() if k not in ("page", "text")} for result in results]
    spreads = [spread_of(results[n : n + repeat]) for n in range(0, len(results), repeat)] if repeat > 1 else []
    if json:
        typer.echo(jsonlib.dumps({"results": rows, "spreads": spreads}, indent=1, default=str))
        return
    for spread in spreads:
        typer.echo(spread_text(spread))
    typer.echo(f"\n{summary}")


def _journals(paths: Sequence[str], stored: StoredJournals) -> list[Path]:
    """Returns the journals of the arguments. An argument is a file, a folder, or the CallSid of a stored call."""
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir() and not any((path / journal).is_file() for journal in JOURNALS):
            found += journals_in(path)
        else:
            found.append(stored.find(name))
    return found
