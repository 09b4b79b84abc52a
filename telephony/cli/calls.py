"""Implements `telephony calls`: shows, plays, exports, imports and deletes calls."""

from __future__ import annotations

import json as jsonlib
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import typer

from realtime_core.sources import SYSTEM

from ..audio.containers import RawAudio
from ..errors import AudioFileError, JournalError
from ..journal.collector import collect
from ..journal.figures import figures_of
from ..journal.imported import import_call
from ..journal.reader import read_journal
from ..journal.transcript import to_json
from ..records.call_record import CallRecord
from ..records.exports import note_export
from ..records.storable import is_key
from ..replay.call import HeardCall
from ..settings import Settings, load_settings
from ..text_encoding import visible
from .call_list import csv_of, folder_of, opened_records, stored_journals, write_private
from .errors import USAGE, CliError

__all__ = ["export_call", "import_calls", "play_call", "purge_calls", "show_call"]

_PLAYERS = (
    ("afplay",),
    ("paplay",),
    ("aplay", "-q"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("play", "-q"),
)
_TRANSCRIPT = ["start_ms", "end_ms", "type", "speaker", "said", "heard", "text", "cause"]
_IMPORTED = (
    "Give a recording (WAV, MP3, FLAC, Ogg, raw mu-law or A-law): stereo, or one file for each side with --agent-side; "
    "or a log with one message of a media stream on each line."
)
_MAX_PROBLEMS = 10


def show_call(name: str, folder: Path | None, *, json: bool, wav: Path | None) -> None:
    """Prints the record of a call, its transcript with the cause of each interruption, and its length. With `json`,
    prints the record, the transcript and the figures as JSON. With `wav`, also writes both sides to this stereo WAV
    file. `name` is a CallSid, the beginning of a CallSid, or a path of a journal. `folder` is the folder of the
    journals. With None, the folder of the settings is used.
    """
    settings = load_settings()
    with _found(settings, name, folder) as (row, call):
        if wav is not None:
            _heard(call, name).write_wav(wav)
        if json:
            figures = {} if call is None else figures_of(call.recorded, call.audio).to_json()
            said = {} if call is None else {"ended": call.ended, "transcript": to_json(call.events)}
            record = {} if row is None else {"record": row.to_json()}
            typer.echo(jsonlib.dumps({**figures, **said, **record}, indent=1, ensure_ascii=row is None))
            return
        if row is not None:
            typer.echo("\n".join(map(visible, _described(row))) + "\n")
        if call is not None:
            typer.echo("\n".join(map(visible, call.transcript.rstrip().split("\n"))) or "Nothing was said.")
            typer.echo(f"({call.duration_ms / 1000:.1f} s, {call.ended or 'the journal is cut off'})")
        else:
            typer.echo("There is no journal of this call.")


def play_call(name: str, folder: Path | None) -> None:
    """Plays both sides of a call with an audio player of this machine. `name` is a CallSid, the beginning of a CallSid,
    or a path of a journal. `folder` is the folder of the journals. With None, the folder of the settings is used.
    Raises `CliError` if there is no player, or if the player fails.
    """
    player = next((each for each in _PLAYERS if shutil.which(each[0])), None)
    with _found(load_settings(), name, folder) as (_, call), tempfile.TemporaryDirectory() as temporary:
        heard = _heard(call, name)
        if player is None:
            names = ", ".join(each[0] for each in _PLAYERS)
            raise CliError(
                f"There is no audio player on this machine: {names}.",
                f"Write a file: telephony calls export {name} --output call.wav",
            )
        file = Path(temporary) / "call.wav"
        heard.write_wav(file)
        if subprocess.run([*player, str(file)]).returncode:  # noqa: S603
            raise CliError(f"{player[0]} cannot play the call.", f"telephony calls export {name} --output call.wav")


def export_call(name: str, output: Path, folder: Path | None) -> None:
    """Writes a call to the file `output`: both sides (.wav), record, figures and transcript (.json), or the transcript
    (.csv). `name` is an id, a CallSid, the beginning of a CallSid, or a path of a journal. `folder` is the folder of
    the journals. With None, the folder of the settings is used. Raises `CliError` for another suffix.
    """
    settings = load_settings()
    with _found(settings, name, folder) as (row, call):
        _export(settings, row, call, name, output)
    typer.echo(str(output))


def _export(settings: Settings, row: CallRecord | None, call: HeardCall | None, name: str, output: Path) -> None:
    call_id = row.id if row is not None else name
    if output.suffix == ".wav":
        _heard(call, name).write_wav(output)
        output.chmod(0o600)
        note_export(settings.data_dir, output, call_id)
    elif output.suffix == ".json":
        record = None if row is None else row.to_json()
        said = {} if call is None else {"figures": call.figures.to_json(), "transcript": to_json(call.events)}
        write_private(
            settings, output, jsonlib.dumps({"record": record, **said}, indent=1, ensure_ascii=False), call_id
        )
    elif output.suffix == ".csv":
        write_private(settings, output, csv_of(to_json(_heard(call, name).events), _TRANSCRIPT), call_id)
    else:
        raise CliError(f"{output}: a call can be written as .wav, .json or .csv.", code=USAGE)


@contextmanager
def _found(settings: Settings, name: str, folder: Path | None) -> Iterator[tuple[CallRecord | None, HeardCall | None]]:
    """Finds the call `name` (a call id or a path). Yields its record and its journal, each None if it is missing. The
    journal can be read during this block.

    Raises:
        JournalError: both are missing.
        StorageError: object storage cannot be used.
    """
    row = None
    if is_key(name):
        with opened_records(settings) as records:
            row = None if records is None else records.call(name)
    path: Path | None
    with stored_journals(settings, folder) as journals:
        try:
            path = journals.find((row.sid or row.id) if row is not None else name)
        except JournalError:
            if row is None:
                raise
            path = next((each for each in _places(row.journal) if each.is_file()), None)
        yield row, None if path is None else HeardCall(lambda: read_journal(path), name)


def _places(journal: str) -> list[Path]:
    """Returns the possible paths of a journal, which may have been compressed."""
    return [Path(journal), Path(f"{journal}.gz")] if journal else []


def _heard(call: HeardCall | None, name: str) -> HeardCall:
    if call is None:
        raise JournalError(f"{name}: there is no journal of this call, so its audio and its transcript are not known.")
    return call


def _described(row: CallRecord) -> Iterator[str]:
    """Yields the lines of a call record. Unknown values are left out."""
    yield f"{row.sid or row.id}  {row.direction}  {row.caller or 'unknown'} -> {row.called or 'unknown'}"
    times = {"started": row.started_at, "answered": row.answered_at, "ended": row.ended_at}
    yield ", ".join(f"{what} {at:%Y-%m-%d %H:%M:%S} UTC" for what, at in times.items() if at is not None)
    if row.over:
        yield f"ending: {row.ending_words} ({row.ending_code})"
    else:
        yield f"status: {row.status}"
    if row.agents or row.agent:
        yield f"agents: {', '.join(row.agents or [row.agent])}"
    if row.outcome or row.result is not None:
        result = "" if row.result is None else jsonlib.dumps(row.result, ensure_ascii=False)
        yield f"result: {' '.join(filter(None, [row.outcome, result]))}"
    if row.summary:
        yield f"summary: {row.summary}"
    if row.turns is not None:
        latencies = [turn["latency_ms"] for turn in row.turns if turn.get("latency_ms") is not None]
        median = f", latency {statistics.median(latencies):.0f} ms (median)" if latencies else ""
        yield f"turns: {len(row.turns)}{median}, {row.interruptions or 0} interruptions by the caller"
    if row.variant:
        yield f"version: {row.variant}"
    if row.consent:
        heard = f"heard at {row.consent['heard_at']}" if row.consent.get("heard") else "not heard"
        yield f"consent ({row.consent['policy']}): notice {heard}, answer {row.consent.get('answer') or 'none'}"
    for name, counts in (row.tools or {}).items():
        yield f"tool {name}: {counts['calls']} calls, {counts['failures']} failures"
    for each in row.transfers or []:
        yield f"transfer to {each['target']}: {'done' if each['succeeded'] else each['result'] or 'not done'}"
    if row.usage:
        yield f"tokens: {row.usage['input']['tokens']} in, {row.usage['output']['tokens']} out"
    costs = {"model": (row.model_cost, "USD"), "Twilio": (row.cost, row.currency)}
    known = [f"{what} {cost:g} {unit}" for what, (cost, unit) in costs.items() if cost is not None]
    yield f"cost: {', '.join(known) or 'not known'}"


def purge_calls(folder: Path | None, days: float | None, *, dry_run: bool) -> None:
    from ..campaigns.purging import purge_campaigns
    from ..records.database import DatabaseRecords

    settings = load_settings()
    kept_days = settings.telephony_journal_days if days is None else days
    verb = "would be deleted" if dry_run else "deleted"
    with opened_records(settings) as records:
        before = SYSTEM.now() - timedelta(days=kept_days)
        if records is not None:
            old = records.purge(before, dry_run=dry_run)
            typer.echo(f"{len(old)} call records older than {kept_days:g} days {verb}.")
        if isinstance(records, DatabaseRecords):
            for campaign in purge_campaigns(records.transaction, before, dry_run=dry_run):
                typer.echo(f"Campaign {campaign} ended more than {kept_days:g} days ago: its contacts {verb}.")
    journals = stored_journals(settings, folder)
    if records is not None and folder is None and journals.storage is None and not journals.folder.is_dir():
        return
    gone = journals.purge(days=kept_days, now=SYSTEM.now(), dry_run=dry_run)
    for sid, written in gone:
        typer.echo(f"{sid}  {written:%Y-%m-%d}")
    typer.echo(f"{len(gone)} calls older than {kept_days:g} days {verb}.")


def import_calls(
    sources: Sequence[Path], folder: Path | None, *, agent_side: Path | None, caller_only: bool, raw: RawAudio | None
) -> None:
    """Creates journals in `folder` from `sources`: recordings, or logs of media stream messages of other programs.
    `agent_side` is the recording of the agent if each side has a mono file. `caller_only` means that the recording is
    mono and has only the caller. `raw` is the encoding of a recording without a header. A file that cannot be used does
    not stop the other files.
    """
    if agent_side is not None and (len(sources) > 1 or caller_only):
        raise CliError("--agent-side belongs to one recording of the caller's side.", _IMPORTED, code=USAGE)
    failed: CliError | None = None
    for source in sources:
        try:
            _import(source, folder_of(load_settings(), folder), agent_side, caller_only, raw)
        except CliError as error:
            if len(sources) == 1:
                raise
            typer.echo(f"{error} Skipped.", err=True)
            failed = error
    if failed is not None:
        raise CliError("Some files were not imported.", _IMPORTED)


def _import(source: Path, folder: Path, agent_side: Path | None, caller_only: bool, raw: RawAudio | None) -> None:
    for path in filter(None, (source, agent_side)):
        if not path.is_file():
            raise CliError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}.", _IMPORTED, code=USAGE)
    try:
        made = import_call(source, folder, agent_side=agent_side, caller_only=caller_only, raw=raw)
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
    typer.echo("This journal has no recorded model. `telephony eval` calls an agent with this caller.", err=True)
