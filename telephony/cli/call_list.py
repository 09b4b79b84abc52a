"""Implements `telephony calls list` and `export`: the calls in the database, and the calls that have only a journal."""

from __future__ import annotations

import csv
import io
import json as jsonlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from realtime_core.errors import UserError
from realtime_core.sources import SYSTEM

from ..errors import JournalError
from ..journal.object_storage import ObjectStorage
from ..journal.store import StoredCall, stored_calls
from ..journal.stored_journals import StoredJournals
from ..records import Records
from ..records.call_query import CallQuery, page_of, query_of
from ..records.call_record import CallRecord
from ..records.exports import note_export
from ..records.opening import missing_file, open_records
from ..records.subjects import subject_key
from ..settings import Settings, load_settings
from ..text_encoding import visible
from .errors import USAGE, CliError

__all__ = ["csv_of", "export_list", "folder_of", "list_calls", "opened_records", "stored_journals", "write_private"]

_PAGE = 500
_MAX_RESULT_CHARS = 60
_TIMES = ("from", "to", "since")


def folder_of(settings: Settings, given: Path | None) -> Path:
    """Returns the folder of journals: `given` if it is not None, or the folder of the settings."""
    return given or settings.telephony_journal_dir or Path("calls")


def stored_journals(settings: Settings, given: Path | None) -> StoredJournals:
    """Returns the journals in the folder `given`. If it is None, returns the journals of the settings, which may be in
    object storage.
    """
    storage = None if given is not None else ObjectStorage.of(settings)
    return StoredJournals(folder_of(settings, given), storage)


@contextmanager
def opened_records(settings: Settings) -> Iterator[Records | None]:
    """Opens the store of call records that the settings name, and yields it. Closes it at the end of the block. Yields
    None if the settings name no store, or if its database file does not exist. The file is not created. If the settings
    name the file, a message says that it does not exist.
    """
    url = settings.records_url
    if url is None or ((file := missing_file(url)) is not None and _may_be_missing(settings, file)):
        yield None
        return
    records = open_records(settings)
    try:
        yield records
    finally:
        if records is not None:
            records.close()


def _may_be_missing(settings: Settings, file: Path) -> bool:
    """Returns True for a database file that does not exist. Raises `CliError` if its folder does not exist either."""
    names = [name for name in ("database_url", "telephony_data_dir") if name in settings.model_fields_set]
    hint = f"Start the server, which creates it, or correct {names[0].upper()}." if names else ""
    if "database_url" in names and not file.parent.is_dir():
        raise CliError(f"{file} cannot be used: there is no folder {file.parent}.", "Correct DATABASE_URL.")
    if names:
        typer.echo(f"telephony: {file} does not exist, so no call records are read.\n  hint: {hint}", err=True)
    return True


def list_calls(folder: Path | None, filters: Mapping[str, str], *, json: bool) -> None:
    """Prints the newest calls that match `filters`, the options of the command by name. With `json`, prints JSON. The
    oldest of these calls is printed first. `folder` is the folder of the journals. With None, the folder of the
    settings is used.
    """
    settings = load_settings()
    query = _query(settings, filters)
    journals = _journals(settings, folder)
    with opened_records(settings) as records:
        page = page_of([] if records is None else records.calls(query), query)
        found: list[CallRecord | StoredCall] = [*page.calls, *_without_record(records, journals, query, filters)]
    shown = sorted(found, key=_when)[-query.limit :]
    if json:
        typer.echo(jsonlib.dumps([_object(each, journals) for each in shown], indent=1, ensure_ascii=False))
        return
    for each in shown:
        typer.echo(visible(_line(each)))
    if not shown:
        typer.echo("There are no such calls." if set(filters) - {"limit"} else "There are no calls.")
    elif page.cursor:
        typer.echo(f"These are the newest {query.limit} calls. --limit shows more.", err=True)


def export_list(output: Path, filters: Mapping[str, str]) -> None:
    """Writes all calls that match `filters` (the options of the command by name) to the file `output`, the newest
    first. The suffix `.json` or `.csv` selects the format. Raises `CliError` for another suffix.
    """
    settings = load_settings()
    query = replace(_query(settings, filters), limit=_PAGE)
    rows: list[dict[str, Any]] = []
    with opened_records(settings) as records:
        while records is not None:
            page = page_of(records.calls(query), query)
            rows += [row.to_json() for row in page.calls]
            if not page.cursor or (last := page.calls[-1]).started_at is None:
                break
            query = replace(query, after=(last.started_at, last.id))
    if output.suffix == ".json":
        text = jsonlib.dumps(rows, indent=1, ensure_ascii=False)
    elif output.suffix == ".csv":
        text = csv_of(rows, list(CallRecord("").to_json()))
    else:
        raise CliError(f"{output}: the calls can be written as .json or .csv.", code=USAGE)
    write_private(settings, output, text)
    typer.echo(f"{output}: {len(rows)} calls.")


def write_private(settings: Settings, output: Path, text: str, call_id: str = "") -> None:
    """Writes `text` to the file `output`, which only its owner can read (mode 0600). Stores the path of the file and
    `call_id`, the id of the call (empty if the file has several calls), so that `erase` can find the export. Raises
    `CliError` if the file cannot be written.
    """
    try:
        with os.fdopen(os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        note_export(settings.data_dir, output, call_id)
    except OSError as error:
        raise CliError(f"{error.filename or output}: {error.strerror}.", "Set another file with --output.") from error


def csv_of(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Returns the text of a CSV file with a header. `rows` has the rows by name of the column. A list or object becomes
    JSON text in its cell.
    """
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return jsonlib.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and any(map(str.isalpha, value)):
        return f"'{value}"  # a spreadsheet would run the text as a formula
    return value


def _query(settings: Settings, filters: Mapping[str, str]) -> CallQuery:
    # Only a search for a number needs the key, and the key may not exist yet.
    subject_of = subject_key(settings).of if {"from", "to", "number"} & set(filters) else lambda number: ""
    try:
        return query_of(filters, now=SYSTEM.now(), subject_of=subject_of)
    except UserError as error:
        raise CliError(f"--{error}", code=USAGE) from None


def _journals(settings: Settings, folder: Path | None) -> dict[str, StoredCall]:
    """Returns the journals by the sid of their call. A folder that the user named must exist."""
    try:
        return {call.sid: call for call in stored_calls(folder_of(settings, folder))}
    except JournalError:
        if folder is not None:
            raise
        return {}


def _without_record(
    records: Records | None, journals: Mapping[str, StoredCall], query: CallQuery, filters: Mapping[str, str]
) -> list[StoredCall]:
    """Returns the newest journals whose calls are not in the records, such as imported calls. Only the times of these
    calls are known.
    """
    if any(name not in (*_TIMES, "limit") for name in filters) or query.caller or query.called:
        return []
    inside = (
        call
        for call in sorted(journals.values(), key=lambda call: call.written, reverse=True)
        if (query.start is None or call.written >= query.start) and (query.end is None or call.written < query.end)
    )
    found: list[StoredCall] = []
    for call in inside:
        if len(found) >= query.limit:
            break
        if records is None or records.call(call.sid) is None:
            found.append(call)
    return found


def _when(call: CallRecord | StoredCall) -> tuple[datetime, str]:
    if isinstance(call, StoredCall):
        return call.written, call.sid
    return call.started_at or SYSTEM.now(), call.id


def _object(call: CallRecord | StoredCall, journals: Mapping[str, StoredCall]) -> dict[str, Any]:
    if isinstance(call, StoredCall):
        return {"id": call.sid, "sid": call.sid, **_file(call)}
    journal = journals.get(call.sid or call.id)
    return call.to_json() | ({} if journal is None else _file(journal))


def _file(call: StoredCall) -> dict[str, Any]:
    return {"journal": str(call.journal), "written": call.written.isoformat(), "bytes": call.n_bytes}


def _line(call: CallRecord | StoredCall) -> str:
    if isinstance(call, StoredCall):
        return f"{call.written:%Y-%m-%d %H:%M} UTC  {call.sid}  a journal of {call.n_bytes / 1e6:.1f} MB, no record"
    numbers = f"{call.caller or 'unknown'} -> {call.called or 'unknown'}"
    seconds = call.duration_s
    length = "-" if seconds is None else f"{seconds // 60}:{seconds % 60:02}"
    direction = "outbound" if call.is_outbound else "inbound"
    ending = call.ending_words or call.status
    columns = [f"{_when(call)[0]:%Y-%m-%d %H:%M} UTC", f"{direction:8}", f"{numbers:28}", f"{call.agent or '-':12}",
               f"{length:>6}", f"{ending:24}", call.sid or call.id, call.variant,
               _result(call)]  # fmt: skip
    return "  ".join(filter(None, columns))


def _result(call: CallRecord) -> str:
    result = "" if call.result is None else jsonlib.dumps(call.result, ensure_ascii=False)
    text = " ".join(filter(None, [call.outcome, result])) or call.error
    return text if len(text) <= _MAX_RESULT_CHARS else f"{text[: _MAX_RESULT_CHARS - 1]}…"
