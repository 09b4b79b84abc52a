"""The folder of journals, with one folder for each call: `<folder>/<call sid>/journal.jsonl`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..audio.containers import GZIP, container_of
from ..errors import JournalError

__all__ = ["JOURNALS", "StoredCall", "find_call", "is_journal", "purge", "stored_calls"]

JOURNALS = ("journal.jsonl", "journal.jsonl.gz")


def is_journal(path: Path) -> bool:
    """Returns whether a file in a call's folder is a journal, by its name. A folder can contain several journals,
    because the name of a further journal contains a number.
    """
    return path.name.startswith("journal") and path.name.endswith((".jsonl", ".jsonl.gz"))


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call with a journal. `written` is the time of the last change of the journal."""

    sid: str
    journal: Path
    written: datetime
    n_bytes: int


def stored_calls(folder: Path) -> list[StoredCall]:
    """Returns the calls in a folder, oldest first. Raises `JournalError` if the folder does not exist."""
    if not folder.is_dir():
        raise JournalError(f"{folder} is no folder of journals.")
    return sorted(_calls(folder), key=lambda call: (call.written, call.sid))


def _calls(folder: Path) -> Iterator[StoredCall]:
    for each in folder.iterdir():
        for name in JOURNALS:
            journal = each / name
            if journal.is_file():
                stat = journal.stat()
                yield StoredCall(each.name, journal, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)
                break


def find_call(folder: Path, name: str) -> Path:
    """Returns the path of the journal of a call. `name` is a path, a CallSid, or the beginning of a CallSid if only one
    call has it. Raises `JournalError` if there is no such journal.
    """
    path = Path(name)
    if path.is_file():
        with path.open("rb") as file:
            container = container_of(file.read(4096))
        if container is not None and container != GZIP:
            raise JournalError(
                f"{name} is {container.kind}, and no journal. `telephony calls import` takes recordings."
            )
        return path
    if path.is_dir():
        for journal in JOURNALS:
            if (path / journal).is_file():
                return path / journal
    found = [call.journal for call in stored_calls(folder) if call.sid.startswith(name)] if folder.is_dir() else []
    if len(found) != 1:
        raise JournalError(f"{name}: {len(found) or 'no'} calls of that name in {folder}.")
    return found[0]


def purge(folder: Path, *, days: float, now: datetime, dry_run: bool = False) -> list[StoredCall]:
    """Deletes the folders of calls that are older than `days` days. Returns these calls. With `dry_run`, deletes
    nothing.

    A folder without a journal is kept.
    """
    old = [call for call in stored_calls(folder) if call.written < now - timedelta(days=days)]
    if not dry_run:
        for call in old:
            shutil.rmtree(call.journal.parent, ignore_errors=True)  # another process may also delete the file
    return old
