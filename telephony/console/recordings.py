"""Prepares recorded calls for pages in a separate process, and keeps the files for some minutes."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import JournalError
from ..journal.daemon import in_daemon
from ..journal.object_storage import ObjectStorage, StoredObject
from ..journal.stored_journals import journal_of
from .prepare import AUDIO, TIMELINE

__all__ = ["PreparedFiles", "Recordings", "Source", "existing"]

_MAX_KEPT = 20
_KEPT_S = 600.0
_AT_ONCE = 2
_PREPARE_S = 120.0
_Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """The place of a call's journal: a file on this machine, or an object in object storage."""

    local: Path | None = None
    stored: StoredObject | None = None

    @property
    def key(self) -> _Key:
        """The name and the version of the journal, to recognise a changed journal. Raises `OSError` if the file was
        deleted.
        """
        if self.stored is not None:
            return self.stored.key, int(self.stored.written.timestamp() * 1e9), self.stored.n_bytes
        assert self.local is not None
        stat = self.local.stat()
        return str(self.local), stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """The folder with the files that were made from one recorded call for the pages of the console."""

    folder: Path
    at: float
    is_local: bool
    """Whether the journal of the call is on this machine."""

    @property
    def audio(self) -> Path:
        return self.folder / AUDIO

    @property
    def timeline(self) -> Path:
        return self.folder / TIMELINE


def existing(journal: Path) -> Path | None:
    """Returns the file of a journal: `journal`, or its compressed form. Returns None if the journal does not exist."""
    return next((each for each in (journal, Path(f"{journal}.gz")) if each.is_file()), None)


class Recordings:
    """Prepares the audio and the timeline of recorded calls for the pages of the console. The object is an async
    context manager. At the end of the context all prepared files are deleted.

    At most two calls are prepared at the same time, and at most 20 calls are kept. The files of a call are deleted
    after ten minutes, or when a page requests a call whose journal was deleted.
    """

    def __init__(self, storage: ObjectStorage | None = None) -> None:
        self._storage = storage
        self._kept: OrderedDict[_Key, PreparedFiles] = OrderedDict()
        self._preparing: dict[_Key, asyncio.Task[PreparedFiles]] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._root: Path | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._preparing.values():
            task.cancel()
        if self._preparing:
            await asyncio.wait(self._preparing.values())
        if self._timer is not None:
            self._timer.cancel()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    async def find(self, sid: str, places: Iterable[Path]) -> Source | None:
        """Returns the place of the journal of the call with the CallSid `sid`: one of `places`, or object storage.
        Returns None if there is no journal.

        Raises:
            StorageError: object storage cannot be used.
        """
        for place in places:
            if (local := existing(place)) is not None:
                return Source(local=local)
        if self._storage is not None:
            look = partial(journal_of, self._storage, sid, exact=True)
            if (stored := await in_daemon(look, "find a journal")) is not None:
                return Source(stored=stored)
        self._drop(lambda key: f"/{sid}/" in key[0])
        return None

    async def get(self, source: Source) -> PreparedFiles:
        """Returns the prepared files of the call with this journal.

        Raises:
            JournalError: the journal was deleted or cannot be read.
            StorageError: object storage cannot be used.
        """
        try:
            key = source.key
        except OSError as error:
            raise JournalError("There is no recording of this call.") from error
        if (kept := self._kept.get(key)) is not None:
            return kept
        task = self._preparing.get(key)
        if task is None:
            work = self._prepare(key, source)
            task = self._preparing[key] = asyncio.create_task(work, name="prepare a recorded call")
            task.add_done_callback(lambda _: self._preparing.pop(key, None))
        return await asyncio.shield(task)

    @asynccontextmanager
    async def file(self, source: Source) -> AsyncIterator[Path]:
        """Yields the journal as a file. A copy from object storage is deleted at the end of the block. Raises
        `StorageError` if object storage cannot be used.
        """
        if source.local is not None:
            yield source.local
            return
        assert self._storage is not None and source.stored is not None
        with tempfile.TemporaryDirectory(prefix="telephony-console-") as folder:
            yield await in_daemon(partial(self._storage.get, source.stored, Path(folder)), "copy a journal")

    async def _prepare(self, key: _Key, source: Source) -> PreparedFiles:
        async with self._at_once, self.file(source) as journal:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="telephony-console-"))
            folder = Path(tempfile.mkdtemp(dir=self._root))
            command = (sys.executable, "-m", "telephony.console.prepare", str(journal), str(folder))
            process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
            try:
                async with asyncio.timeout(_PREPARE_S):
                    _, problem = await process.communicate()
            except (TimeoutError, asyncio.CancelledError) as error:
                process.kill()
                await process.wait()
                if isinstance(error, TimeoutError):
                    raise JournalError("This recording takes too long to read.") from None
                raise
            if process.returncode:
                raise JournalError(problem.decode(errors="replace").strip()[-300:] or "The recording cannot be read.")
        prepared = self._kept[key] = PreparedFiles(folder, asyncio.get_running_loop().time(), source.local is not None)
        if len(self._kept) > _MAX_KEPT:
            oldest = next(iter(self._kept))
            self._drop(lambda each: each == oldest)
        self._schedule()
        return prepared

    def _schedule(self) -> None:
        if self._timer is None and self._kept:
            self._timer = asyncio.get_running_loop().call_later(_KEPT_S / 2, self._expire)

    def _expire(self) -> None:
        self._timer = None
        old = asyncio.get_running_loop().time() - _KEPT_S
        self._drop(lambda key: self._kept[key].at < old or (self._kept[key].is_local and not Path(key[0]).exists()))
        self._schedule()

    def _drop(self, is_old: object) -> None:
        assert callable(is_old)
        for key in [key for key in self._kept if is_old(key)]:
            shutil.rmtree(self._kept.pop(key).folder, ignore_errors=True)
