"""Prepares recorded calls for pages in a separate process, and keeps the files for some minutes."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import JournalError
from .prepare import AUDIO, TIMELINE

__all__ = ["Prepared", "Recordings", "existing"]

_MAX_KEPT = 20
_KEPT_S = 600.0
_AT_ONCE = 2
_PREPARE_S = 120.0
_Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The files of one call."""

    folder: Path
    at: float

    @property
    def audio(self) -> Path:
        return self.folder / AUDIO

    @property
    def timeline(self) -> Path:
        return self.folder / TIMELINE


def existing(journal: Path) -> Path | None:
    """Returns the file of a journal: `journal` itself, or its compressed form. None means that the journal does not
    exist.
    """
    return next((each for each in (journal, Path(f"{journal}.gz")) if each.is_file()), None)


class Recordings:
    """Prepares recorded calls. An async context manager: on exit all prepared files are deleted.

    At most two calls are prepared at a time, and 20 are kept. The files of a call are deleted after ten minutes, and as
    soon as a page asks for a call whose journal was deleted.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Prepared] = OrderedDict()
        self._preparing: dict[_Key, asyncio.Task[Prepared]] = {}
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

    async def get(self, journal: Path) -> Prepared:
        """Returns the prepared files of the call with this journal.

        Raises:
            JournalError: there is no such journal, or it cannot be read.
        """
        path = existing(journal)
        if path is None:
            self._drop(lambda key: key[0].startswith(str(journal)))
            raise JournalError("There is no recording of this call.")
        stat = path.stat()
        key = str(path), stat.st_mtime_ns, stat.st_size
        if (kept := self._kept.get(key)) is not None:
            return kept
        task = self._preparing.get(key)
        if task is None:
            task = self._preparing[key] = asyncio.create_task(self._prepare(key), name="prepare a recorded call")
            task.add_done_callback(lambda _: self._preparing.pop(key, None))
        return await asyncio.shield(task)

    async def _prepare(self, key: _Key) -> Prepared:
        async with self._at_once:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="telephony-console-"))
            folder = Path(tempfile.mkdtemp(dir=self._root))
            command = (sys.executable, "-m", "telephony.console.prepare", key[0], str(folder))
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
        prepared = self._kept[key] = Prepared(folder, asyncio.get_running_loop().time())
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
        self._drop(lambda key: self._kept[key].at < old or not Path(key[0]).exists())
        self._schedule()

    def _drop(self, is_old: object) -> None:
        assert callable(is_old)
        for key in [key for key in self._kept if is_old(key)]:
            shutil.rmtree(self._kept.pop(key).folder, ignore_errors=True)
