"""`telephony doctor`."""

from __future__ import annotations

import asyncio
import json as jsonlib
import os
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from telephony.doctor.examination import examine
from telephony.doctor.findings import Finding, as_json, is_wrong
from telephony.doctor.trace import trace
from telephony.journal.reader import read_journal
from telephony.journal.store import find_call
from telephony.twilio.numbers import e164

from .errors import FAILED, USAGE, CliError

__all__ = ["run_doctor"]

_SIGNS = {"ok": ("ok     ", "green"), "warning": ("warning", "yellow"), "wrong": ("WRONG  ", "bold red"),
          "skipped": ("skipped", "dim")}  # fmt: skip


def run_doctor(*, traced: str | None, output: Path | None, to: str | None, model_key: bool, json: bool) -> None:
    """Check everything; `to`: and whether this number may be called; `model_key`: and use the key, to try it. Or, with
    `traced`, say what the line of a recorded call was like."""
    if traced is not None:
        _trace(traced, output)
        return
    if to is not None:
        try:
            to = e164(to)
        except ValueError as error:
            raise CliError(f"--to {to!r}: {error}.", code=USAGE) from None
    findings = asyncio.run(examine(os.environ, to=to, model_key=model_key))
    if json:
        typer.echo(jsonlib.dumps(as_json(findings), indent=1))
    else:
        _show(findings, Console())
    if is_wrong(findings):
        raise typer.Exit(FAILED)


def _show(findings: list[Finding], console: Console) -> None:
    for finding in findings:
        sign, style = _SIGNS[finding.state]
        console.print(Text.assemble((sign, style), f"  {finding.about}: {finding.message}"))
        if finding.advice:
            console.print(Text(f"         -> {finding.advice}", style="cyan"))


def _trace(name: str, output: Path | None) -> None:
    folder = Path(os.environ.get("TELEPHONY_JOURNAL_DIR") or "calls")  # whatever the other settings are like
    figures = jsonlib.dumps(trace(read_journal(find_call(folder, name))), indent=1)
    if output is None:
        typer.echo(figures)
        return
    try:
        output.write_text(figures + "\n")
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}.") from error
