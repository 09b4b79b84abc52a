"""`telephony calls`: lists, shows, imports and deletes journals."""

from __future__ import annotations

import json as jsonlib
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import typer

from realtime_core.sources import SYSTEM

from ..errors import AudioFileError, JournalError
from ..journal.collector import collect
from ..journal.figures import figures_of
from ..journal.imported import import_call
from ..journal.journals import redaction_of
from ..journal.reader import read_journal
from ..journal.store import find_call, purge, stored_calls
from ..journal.transcript import to_json
from ..records.client import open_records
from ..replay.call import HeardCall
from ..replay.recording_files import add, test_of
from ..settings import load_settings
from .errors import USAGE, CliError

__all__ = ["add_test", "import_calls", "list_calls", "purge_calls", "show_call"]


_IMPORTED = "Give a stereo recording (WAV, MP3, FLAC, Ogg), or a log with one message of a media stream on each line."
_MAX_PROBLEMS = 10


def folder_of(given: Path | None) -> Path:
    """The folder of journals: the given one, or else that of the settings."""
    return given or load_settings().telephony_journal_dir or Path("calls")


def list_calls(folder: Path | None, *, json: bool) -> None:
    calls = stored_calls(folder_of(folder))
    if json:
        rows = [{"sid": c.sid, "written": c.written.isoformat(), "bytes": c.n_bytes} for c in calls]
        typer.echo(jsonlib.dumps(rows, indent=1))
        return
    for call in calls:
        typer.echo(f"{call.sid}  {call.written:%Y-%m-%d %H:%M} UTC  {call.n_bytes / 1e6:7.1f} MB")


def show_call(name: str, folder: Path | None, *, json: bool, wav: Path | None) -> None:
    path = find_call(folder_of(folder), name)
    call = HeardCall(lambda: read_journal(path), name)
    if wav is not None:
        call.write_wav(wav)
    if json:
        figures = figures_of(call.recorded, call.audio).to_json()
        typer.echo(jsonlib.dumps({**figures, "ended": call.ended, "transcript": to_json(call.events)}, indent=1))
    else:
        typer.echo(call.transcript.rstrip() or "Nothing was said.")
        typer.echo(f"({call.duration_ms / 1000:.1f} s, {call.ended or 'the journal is cut off'})")


def purge_calls(folder: Path | None, days: float | None, *, dry_run: bool) -> None:
    settings = load_settings()
    kept_days = settings.telephony_journal_days if days is None else days
    verb = "would be deleted" if dry_run else "deleted"
    if (records := open_records(settings)) is not None:
        with closing(records):
            old = records.purge(SYSTEM.now() - timedelta(days=kept_days), dry_run=dry_run)
        typer.echo(f"{len(old)} call records older than {kept_days:g} days {verb}.")
        if folder is None and settings.telephony_journal_dir is None:
            return
    gone = purge(folder_of(folder), days=kept_days, now=SYSTEM.now(), dry_run=dry_run)
    for call in gone:
        typer.echo(f"{call.sid}  {call.written:%Y-%m-%d}")
    typer.echo(f"{len(gone)} calls older than {kept_days:g} days {verb}.")


def add_test(name_of_call: str, name: str, agent: str | None, tests: Path, folder: Path | None) -> None:
    """Copy the masked journal of a call to the tests, and write a test with the current values."""
    if not name.isidentifier():
        raise CliError(f"{name!r} cannot be the name of a test.", "Use letters, digits and underscores.")
    journal = find_call(folder_of(folder), name_of_call)
    test = tests / f"test_{name}.py"
    if test.exists():
        raise CliError(f"{test} exists already.", "Choose another --name.")
    recording = add(journal, name, tests, redaction_of(load_settings()))
    test.write_text(test_of(HeardCall(lambda: read_journal(recording), name), name, agent), encoding="utf-8")
    typer.echo(
        f"{recording} ({recording.stat().st_size / 1e6:.1f} MB) and {test}: edit the expectations, and run pytest."
    )


def import_calls(source: Path, folder: Path | None) -> None:
    """Make journals from a recording or a log of another program."""
    if not source.is_file():
        raise CliError(f"{source} {'is a folder' if source.is_dir() else 'does not exist'}.", _IMPORTED, code=USAGE)
    try:
        made = import_call(source, folder_of(folder))
    except (AudioFileError, JournalError) as error:
        raise CliError(str(error), _IMPORTED) from error
    except OSError as error:
        raise CliError(f"{error.filename or source}: {error.strerror}.", "Set another folder with --folder.") from error
    for problem in made.problems[:_MAX_PROBLEMS]:
        typer.echo(f"{source}, {problem}: skipped.", err=True)
    if (more := len(made.problems) - _MAX_PROBLEMS) > 0:
        typer.echo(f"{source}: {more} more problems of this kind.", err=True)
    for journal in made.journals:
        call = collect(read_journal(journal))
        typer.echo(f"{journal}: {call.duration_ms / 1000:.1f} s, {call.frames} frames of the caller.")
