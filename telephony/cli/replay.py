"""`telephony replay`."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import typer

from ..journal.store import JOURNALS, find_call
from ..replay.batch import Job, junit_of, run, spread_of, spread_text
from ..replay.page import body_of, document
from ..settings import load_settings
from .errors import USAGE, CliError
from .load import load_agent

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
    """Replay, print the results, and exit with 3 if a replay diverged."""
    if mode not in MODES:
        raise CliError(f"There is no mode {mode!r}.", f"The modes are {', '.join(MODES)}.", code=USAGE)
    if mode == "live" and not os.environ.get("OPENAI_API_KEY"):
        raise CliError("--mode live needs a key.", "Set OPENAI_API_KEY; --mode embedded needs none.")
    if agent is not None:
        load_agent(agent)  # so that a wrong name is reported once, before the replays
    chosen = {**MODES[mode], **{name: value for name, value in options.items() if value is not None}}
    seed = int(chosen.pop("seed", 0))
    jobs = [
        Job(path, agent, nth, repeat, html is not None, {**chosen, "seed": seed + nth - 1})
        for path in _journals(paths)
        for nth in range(1, repeat + 1)
    ]
    results = []
    for result in run(jobs, workers=LIVE_AT_ONCE if mode == "live" else os.cpu_count() or 1):
        results.append(result)
        if not json:
            typer.echo(result.get("text") or f"{result['title']}: {result['error']}")
    _report(results, repeat, json=json, junit=junit, html=html)
    if any(result.get("error") for result in results):
        raise typer.Exit(1)
    if any(result["diverged"] for result in results):
        raise typer.Exit(DIVERGED)


def _report(results: list[dict[str, Any]], repeat: int, *, json: bool, junit: Path | None, html: Path | None) -> None:
    if html is not None:
        html.write_text(_one_page(results), encoding="utf-8")
    if junit is not None:
        junit.write_text(junit_of(results), encoding="utf-8")
    rows = [{k: v for k, v in result.items() if k not in ("page", "text")} for result in results]
    spreads = [spread_of(results[n : n + repeat]) for n in range(0, len(results), repeat)] if repeat > 1 else []
    if json:
        typer.echo(jsonlib.dumps({"results": rows, "spreads": spreads}, indent=1, default=str))
    else:
        for spread in spreads:
            typer.echo(spread_text(spread))


def _one_page(results: list[dict[str, Any]]) -> str:
    """The pages of all calls as one page. It also lists the calls that could not be replayed."""
    bodies = [
        body_of(result["page"])
        if "page" in result
        else f"<h2>{escape(result['title'])}: {escape(result['error'])}</h2>"
        for result in results
    ]
    return document(len(results), sum(bool(result["diverged"]) for result in results), "\n".join(bodies))


def _journals(paths: Sequence[str]) -> list[Path]:
    """The journals of the arguments: a file, all files of a folder, or a CallSid in TELEPHONY_JOURNAL_DIR."""
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir() and not any((path / journal).is_file() for journal in JOURNALS):
            inside = sorted(each for each in path.rglob("*.jsonl*") if each.name.endswith((".jsonl", ".jsonl.gz")))
            if not inside:
                raise CliError(f"There are no journals in {path}.")
            found += inside
        else:
            found.append(find_call(load_settings().telephony_journal_dir or Path("calls"), name))
    return found
