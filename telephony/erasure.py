"""Erases the stored data about a person: records, journals, exports, messages, and recordings at Twilio.

An opt-out is kept as a keyed hash in the do-not-call list. The receipt contains what was erased, and what was not
erased.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from .errors import CallRefused, JournalError, StorageError, TwilioError
from .journal.object_storage import ObjectStorage, StoredObject
from .journal.store import StoredCall, stored_calls
from .outbound.do_not_call import DoNotCall
from .records.call_query import Party
from .records.call_record import CallRecord
from .records.database import DatabaseRecords
from .records.exports import Export, noted_exports, rewrite_exports

__all__ = ["Places", "Receipt", "erase"]

_CHUNK = 1 << 20


class Recordings(Protocol):
    """A client of Twilio's REST API that can delete the recordings of a call."""

    async def delete_recordings(self, call_sid: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Places:
    """The places that may have stored data about a person. A field is None if there is no such place."""

    records: DatabaseRecords | None = None
    journals: Path | None = None
    storage: ObjectStorage | None = None
    data_dir: Path | None = None
    """The data directory, which contains the list of the files to which calls were exported."""
    do_not_call: DoNotCall | None = None
    recordings: Sequence[Recordings] = ()
    """The Twilio accounts whose recordings of the person's calls are deleted: the account of the settings, and the
    accounts in the numbers file (`TELEPHONY_NUMBERS`).
    """


@dataclass(slots=True)
class Receipt:
    """The report of an erasure. The receipt contains the keyed hash of the number, and does not contain the number."""

    subject: str
    erased_at: datetime
    calls: list[str] = field(default_factory=list)
    """The `CallSid` of each erased call. For a call without a `CallSid`, the id of the call."""
    records: int = 0
    journals: int = 0
    objects: int = 0
    """The number of deleted files in object storage."""
    contacts: int = 0
    """The number of erased contacts of campaigns. Each contact was erased with its attempts and results."""
    messages: int = 0
    """The number of erased messages in the outbox (the messages for webhooks)."""
    exports: list[str] = field(default_factory=list)
    recordings: int | None = None
    """The number of erased recordings at Twilio. None if no account is configured, so no request was sent to Twilio."""
    opt_out_kept: bool = False
    """Whether the person is on the do-not-call list, where a keyed hash now replaces the number."""
    live: list[str] = field(default_factory=list)
    """The calls that are still in progress, whose data was not erased. The erasure must be repeated after the end of
    these calls.
    """
    failures: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    """The places that this program cannot erase, such as backups."""

    @property
    def complete(self) -> bool:
        return not self.live and not self.failures

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "erased_at": self.erased_at.isoformat(), "complete": self.complete}


async def erase(person: Party, places: Places, now: datetime) -> Receipt:
    """Erases the data about a person, and returns a report. `places` has the places that may store such data: the
    journals, object storage, exports, Twilio's recordings, and the database. In the do-not-call file, a hash replaces
    the phone number, so the person stays on the list. The database is erased last, so the command can be repeated if
    the command was interrupted.

    Raises:
        RecordsUnavailable, RecordRefused: the database cannot be used.
    """
    receipt = Receipt(person.subjects[0], now)
    rows = [] if places.records is None else places.records.erasure.calls_of(person)
    receipt.live = [row.sid or row.id for row in rows if not row.over]
    rows = [row for row in rows if row.over]
    receipt.calls = [row.sid or row.id for row in rows]
    journals = _journals(places.journals, rows, person.numbers, receipt)
    receipt.calls += [call.sid for call in journals if call.sid not in receipt.calls]
    for folder in {*(call.journal.parent for call in journals), *_folders(rows)}:
        _remove_folder(folder, receipt)
    _erase_objects(places.storage, rows, person.numbers, receipt)
    _erase_exports(places.data_dir, {*receipt.calls, *(row.id for row in rows)}, person.numbers, receipt)
    await _erase_recordings(places.recordings, receipt)
    _hash_opt_out(places.do_not_call, person.numbers[0], receipt)
    if places.records is not None:
        if (count := places.records.erasure.erase_contact(person)) is None:
            receipt.live.append("an attempt of a campaign")
        else:
            receipt.contacts = count
        receipt.opt_out_kept = receipt.opt_out_kept or places.records.erasure.is_opted_out(person)
        receipt.messages = places.records.erasure.erase([row.id for row in rows])
        receipt.records = len(rows)
        if remains := places.records.erasure.scrub():
            receipt.remains.append(remains)
    receipt.remains.append("backups, files that were copied, and logs")
    return receipt


def _journals(
    folder: Path | None, rows: Sequence[CallRecord], numbers: Sequence[str], receipt: Receipt
) -> list[StoredCall]:
    """Returns the journals of these calls, and the journals of calls without a record that contain a number."""
    try:
        stored = [] if folder is None else stored_calls(folder)
    except JournalError:
        return []
    known = {name for row in rows for name in (row.sid, row.id)} | set(receipt.live)
    found = []
    for call in stored:
        try:
            if call.sid in known - set(receipt.live) or (call.sid not in known and _has(call.journal, numbers)):
                found.append(call)
        except OSError as error:
            receipt.failures.append(f"{call.journal}: {error.strerror or error}")
    return found


def _erase_objects(
    storage: ObjectStorage | None, rows: Sequence[CallRecord], numbers: Sequence[str], receipt: Receipt
) -> None:
    """Deletes the files of these calls from object storage, and the files of calls whose journal contains one of the
    numbers. To find the latter, every journal is read.
    """
    if storage is None:
        return
    known = {name for row in rows for name in (row.sid, row.id)} | set(receipt.calls)
    try:
        storage.check()  # a listing of a bucket that cannot be reached may be empty
        for sid, files in groupby(sorted(storage.all(), key=_sid_of), key=_sid_of):
            if sid in receipt.live:
                continue
            if sid in known or _is_about(storage, list(files), numbers):
                receipt.objects += storage.delete(sid)
                receipt.calls += [] if sid in receipt.calls or sid in known else [sid]
    except (StorageError, OSError) as error:
        receipt.failures.append(str(error))
    receipt.remains.append("old versions of objects, if the bucket keeps them")


def _sid_of(stored: StoredObject) -> str:
    return stored.sid


def _is_about(storage: ObjectStorage, stored: Sequence[StoredObject], numbers: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return any(_has(storage.get(each, Path(folder)), numbers) for each in stored if each.is_journal)


def _folders(rows: Sequence[CallRecord]) -> list[Path]:
    """Returns the folders of journals in the records. Returns only folders that have the name of their call."""
    journals = [(Path(row.journal), row.sid or row.id) for row in rows if row.journal]
    return [path.parent for path, sid in journals if path.parent.name == sid and path.parent.is_dir()]


def _has(path: Path, words: Sequence[str]) -> bool:
    """Returns whether a file contains one of these texts. A compressed journal is decompressed."""
    wanted = [word.encode() for word in words]
    longest = max(map(len, wanted), default=0)
    before = b""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                if any(word in before + chunk for word in wanted):
                    return True
                before = chunk[-longest:]
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False  # the rest of a damaged journal cannot be read by anybody
    return False


def _remove_folder(folder: Path, receipt: Receipt) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        receipt.failures.append(f"{folder}: {error.strerror or error}")
    else:
        receipt.journals += 1


def _erase_exports(data_dir: Path | None, ids: set[str], numbers: Sequence[str], receipt: Receipt) -> None:
    """Deletes exports of these calls, and lists that contain one of the calls or numbers."""
    if data_dir is None or not (noted := noted_exports(data_dir)):
        return
    kept: list[Export] = []
    for export in noted:
        try:
            if not export.path.exists():
                continue
            if export.call_id in ids or (ids and _has(export.path, [*ids, *numbers])):
                export.path.unlink()
                receipt.exports.append(str(export.path))
                continue
        except OSError as error:
            receipt.failures.append(f"{export.path}: {error.strerror or error}")
        kept.append(export)
    rewrite_exports(data_dir, kept)


async def _erase_recordings(accounts: Sequence[Recordings], receipt: Receipt) -> None:
    if not accounts:
        receipt.remains.append("recordings at Twilio, if you made any: no account is configured")
        return
    receipt.recordings = 0
    for sid in receipt.calls:
        if not sid.startswith("CA"):
            continue
        for account in accounts:  # the record of a call does not name its account
            try:
                receipt.recordings += await account.delete_recordings(sid)
            except TwilioError as error:
                receipt.failures.append(f"Twilio's recordings of {sid}: {error}")


def _hash_opt_out(do_not_call: DoNotCall | None, number: str, receipt: Receipt) -> None:
    if do_not_call is None:
        return
    try:
        receipt.opt_out_kept = do_not_call.hash(number)
    except (OSError, CallRefused) as error:
        receipt.failures.append(f"{do_not_call.path}: {error}")
