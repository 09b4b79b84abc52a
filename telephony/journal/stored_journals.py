"""Finds the journals of ended calls in the folder and in object storage."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime_core.sources import SYSTEM, Sources

from ..errors import JournalError, StorageError
from .daemon import in_daemon
from .object_storage import ObjectStorage, StoredObject
from .store import find_call, purge

__all__ = ["StoredJournals", "journal_of", "purge_daily"]

log = logging.getLogger(__name__)

_DAY_S = 86_400.0


class StoredJournals:
    """The journals in a folder and, if configured, in object storage. The object is a context manager. At the end of
    the context, the copies that `find` made are deleted. The methods block.
    """

    def __init__(self, folder: Path, storage: ObjectStorage | None = None) -> None:
        self.folder = folder
        self.storage = storage
        self._copies: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)
            self._copies = None

    def find(self, name: str) -> Path:
        """Returns the path of the journal of a call. `name` is a path, a CallSid, or the beginning of a CallSid if only
        one call has it. A journal in object storage is copied to a temporary folder. Raises `JournalError`, and
        `StorageError` if the storage fails.
        """
        try:
            return find_call(self.folder, name)
        except JournalError:
            if self.storage is None or "/" in name:
                raise
            if (stored := journal_of(self.storage, name)) is None:
                raise
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="telephony-journals-"))
        return self.storage.get(stored, self._copies)

    def purge(self, *, days: float, now: datetime, dry_run: bool = False) -> list[tuple[str, datetime]]:
        """Deletes the journals that are older than `days` days, in the folder and in object storage. Returns for each
        deleted call its CallSid and the time from which the age of its journal counts. This is the time of the last
        change of a file in the folder, and the time at which a file was copied to object storage. With `dry_run`,
        deletes nothing. Raises `JournalError` and `StorageError`.
        """
        old: dict[str, datetime] = {}
        if self.storage is None or self.folder.is_dir():
            gone = purge(self.folder, days=days, now=now, dry_run=dry_run)
            old = {call.sid: call.written for call in gone}
        if self.storage is not None:
            self.storage.check()  # a listing of a bucket that cannot be reached may be empty
            newest: dict[str, datetime] = {}
            for each in self.storage.all():
                newest[each.sid] = max(each.written, newest.get(each.sid, each.written))
            for sid, written in newest.items():
                if written < now - timedelta(days=days):
                    old.setdefault(sid, written)
                    if not dry_run:
                        self.storage.delete(sid)
        return sorted(old.items(), key=lambda call: (call[1], call[0]))


def journal_of(storage: ObjectStorage, sid: str, *, exact: bool = False) -> StoredObject | None:
    """Returns the journal of a call in object storage, or None. `sid` is the CallSid. If `exact` is False, `sid` may
    also be the first characters of a CallSid, if only one stored call begins with them. Raises `StorageError`.
    """
    journals = [each for each in storage.find(sid) if each.is_journal and (each.sid == sid or not exact)]
    return min(journals, key=lambda each: (len(each.name.partition(".")[0]), each.name), default=None)


async def purge_daily(journals: StoredJournals, days: float, sources: Sources = SYSTEM) -> None:
    """Deletes journals of calls that are older than `days` days, now and once a day. Runs until the task is
    cancelled.
    """
    while True:
        try:
            gone = await in_daemon(partial(journals.purge, days=days, now=sources.now()), "old journals")
        except (JournalError, OSError, StorageError) as error:
            log.warning("Old journals could not be removed: %s", error)
        else:
            if gone:
                log.info("Removed the journals of %d calls that were older than %g days.", len(gone), days)
        await asyncio.sleep(_DAY_S)
