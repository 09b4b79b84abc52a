"""Prepares recorded calls for pages in a separate process, and keeps the files for some minutes."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import JournalError
from ..journal.daemon import in_daemon
from ..journal.object_storage import ObjectStorage, StoredObject
from ..journal.stored_journals import journal_of
from ..task_owner import ignore_exception
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
        """The name and the version of the journal, to recognise a changed journal. A journal keeps its time when it is
        compressed, so the key stays the same. Raises `OSError` if the file was deleted.
        """
        if self.stored is not None:
            return self.stored.key, int(self.stored.written.timestamp() * 1e9), self.stored.n_bytes
        assert self.local is not None
        return str(self.local).removesuffix(".gz"), self.local.stat().st_mtime_ns, 0


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """The files that a page of the console needs for one recorded call: its audio (WAV) and its timeline (JSON). They
    were made from the journal of the call, and are in the folder `folder`.
    """

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


@dataclass(slots=True)
class _Preparation:
    """A recorded call that is being prepared."""

    task: asyncio.Task[PreparedFiles] = field(init=False)
    timeline: Path | None = None
    """The file with the timeline. It exists before the audio."""
    has_timeline: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the timeline exists, or when the task has ended."""


def existing(journal: Path) -> Path | None:
    """Returns the file of a journal: `journal`, or its compressed form. Returns None if the journal does not exist."""
    return next((each for each in (journal, Path(f"{journal}.gz")) if each.is_file()), None)


def _key(source: Source) -> _Key:
    """Returns `source.key`. Raises `JournalError` if the journal was deleted."""
    try:
        return source.key
    except OSError as error:
        raise JournalError("There is no recording of this call.") from error


class Recordings:
    """Prepares the audio and the timeline of recorded calls for the pages of the console. The object is an async
    context manager. At the end of the context all prepared files are deleted.

    At most two calls are prepared at the same time, and at most 20 calls are kept. The files of a call are deleted
    after ten minutes, or when a page requests a call whose journal was deleted.
    """

    def __init__(self, storage: ObjectStorage | None = None) -> None:
        self._storage = storage
        self._kept: OrderedDict[_Key, PreparedFiles] = OrderedDict()
        self._preparing: dict[_Key, _Preparation] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._root: Path | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [each.task for each in self._preparing.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
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
        key = _key(source)
        if (kept := self._kept.get(key)) is not None:
            return kept
        return await asyncio.shield(self._preparation(key, source).task)

    async def timeline(self, source: Source) -> Path:
        """Returns the file with the timeline of the call. The timeline exists before the audio.

        Raises:
            JournalError: the journal was deleted or cannot be read.
            StorageError: object storage cannot be used.
        """
        key = _key(source)
        if (kept := self._kept.get(key)) is not None:
            return kept.timeline
        preparation = self._preparation(key, source)
        await preparation.has_timeline.wait()
        if preparation.timeline is not None:
            return preparation.timeline
        return (await asyncio.shield(preparation.task)).timeline

    def _preparation(self, key: _Key, source: Source) -> _Preparation:
        """Returns the preparation of the call that is going on, or begins one."""
        if (known := self._preparing.get(key)) is not None:
            return known
        preparation = self._preparing[key] = _Preparation()
        work = self._prepare(key, source, preparation)
        preparation.task = asyncio.create_task(work, name="prepare a recorded call")

        def done(_: asyncio.Task[PreparedFiles]) -> None:
            preparation.has_timeline.set()
            self._preparing.pop(key, None)

        preparation.task.add_done_callback(done)
        preparation.task.add_done_callback(ignore_exception)  # all requests that waited for the task may be gone
        return preparation

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

    async def _prepare(self, key: _Key, source: Source, preparation: _Preparation) -> PreparedFiles:
        async with self._at_once, self.file(source) as journal:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="telephony-console-"))
            folder = Path(tempfile.mkdtemp(dir=self._root))
            command = (sys.executable, "-m", "telephony.console.prepare", str(journal), str(folder))
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
            assert process.stdout is not None
            try:
                async with asyncio.timeout(_PREPARE_S):
                    if await process.stdout.readline():
                        preparation.timeline = folder / TIMELINE
                        preparation.has_timeline.set()
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
        self._drop(
            lambda key: self._kept[key].at < old or (self._kept[key].is_local and existing(Path(key[0])) is None)
        )
        self._schedule()

    def _drop(self, is_old: object) -> None:
        assert callable(is_old)
        for key in [key for key in self._kept if is_old(key)]:
            shutil.rmtree(self._kept.pop(key).folder, ignore_errors=True)
