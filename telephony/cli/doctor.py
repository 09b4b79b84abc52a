"""Implements `telephony doctor`, which checks settings, account and server and says what to change."""

from __future__ import annotations

import asyncio
import json as jsonlib
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from telephony.doctor.check_result import CheckResult, CheckState, as_json, is_wrong
from telephony.doctor.checks import run_checks
from telephony.doctor.trace import trace
from telephony.journal.object_storage import ObjectStorage
from telephony.journal.reader import read_journal
from telephony.journal.stored_journals import StoredJournals
from telephony.twilio.numbers import e164

from ..env_file import environment
from .errors import FAILED, USAGE, CliError

__all__ = ["run_doctor"]

_SIGNS = {
    CheckState.OK: ("ok     ", "green"),
    CheckState.WARNING: ("warning", "yellow"),
    CheckState.WRONG: ("WRONG  ", "bold red"),
    CheckState.SKIPPED: ("skipped", "dim"),
}


def run_doctor(*, traced: str | None, output: Path | None, to: str | None, model_key: bool, json: bool) -> None:
    """Runs all checks and prints their results, with `json` as JSON. Exits with an error code if a check has found a
    fault. With `to`, also checks whether the account may call this number. With `model_key`, also checks the key of the
    model.

    With `traced` (a CallSid, the beginning of a CallSid, or a path of a journal), runs no checks. Prints figures of the
    media streams of this recorded call as JSON, or writes them to the file `output`.
    """
    if traced is not None:
        _trace(traced, output)
        return
    if to is not None:
        try:
            to = e164(to)
        except ValueError as error:
            raise CliError(f"--to {to!r}: {error}.", code=USAGE) from None
    results = asyncio.run(run_checks(environment(), to=to, model_key=model_key))
    if json:
        typer.echo(jsonlib.dumps(as_json(results), indent=1))
    else:
        _show(results, Console())
    if is_wrong(results):
        raise typer.Exit(FAILED)


def _show(results: list[CheckResult], console: Console) -> None:
    for result in results:
        sign, style = _SIGNS[result.state]
        console.print(Text.assemble((sign, style), f"  {result.about}: {result.message}"))
        if result.advice:
            console.print(Text(f"         -> {result.advice}", style="cyan"))


def _trace(name: str, output: Path | None) -> None:
    given = environment()  # the other settings may be invalid
    folder, store = Path(given.get("TELEPHONY_JOURNAL_DIR") or "calls"), given.get("TELEPHONY_JOURNAL_STORE")
    with StoredJournals(folder, ObjectStorage(store) if store else None) as journals:
        figures = jsonlib.dumps(trace(read_journal(journals.find(name))), indent=1)
    if output is None:
        typer.echo(figures)
        return
    try:
        output.write_text(figures + "\n")
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}.") from error
