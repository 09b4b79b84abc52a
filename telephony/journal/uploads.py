"""Copies the journals of ended calls to object storage.

The folder of journals is the queue: a call whose files are not in object storage is found again after a restart.
Copying runs in threads that the exit of the process does not wait for. The compression runs in a process of the lowest
priority. Therefore no call is delayed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from ..errors import StorageError
from ..logs import Repeats
from .daemon import in_daemon
from .file_lock import lock
from .object_storage import ObjectStorage
from .store import is_journal

__all__ = ["JournalUploads", "Upload", "compress_now", "send", "unsent"]

log = logging.getLogger(__name__)

SENT = ".sent"
"""The name of the file in a call's folder that lists the files which were copied to object storage, with their
sizes.
"""
_TICK_S = 1.0
_SCAN_S = 600.0
_FIRST_S = 5.0
_LONGEST_S = 600.0
_MAX_ATTEMPTS = 150
"""The maximum number of attempts, about a day. After this the call waits for the next start of a process."""
_AT_ONCE = 4
_MAX_WAITING = 10_000
"""The maximum number of waiting calls. Further calls wait in the folder for the next scan."""


class Upload(StrEnum):
    """The possible results of an attempt to copy the files of an ended call to object storage."""

    SENT = "sent"
    FAILED = "failed"
    GIVEN_UP = "given_up"


@dataclass(slots=True)
class _Waiting:
    since: float
    due: float
    attempts: int = 0


class JournalUploads:
    """Copies the files of ended calls from `folder` to `storage`.

    A failed attempt is repeated after 5 s, and then after increasing pauses of at most 10 minutes, up to `max_attempts`
    times. With `keeps_local`, the files stay in the folder. Otherwise the files are deleted when they are in object
    storage. `ended` returns the sids whose journals were closed since the last call of `ended`. `on_attempt` is called
    with the result of each attempt. `on_waiting` is called once a second with the number of waiting calls and the age
    of the oldest waiting call in seconds.
    """

    def __init__(
        self,
        folder: Path,
        storage: ObjectStorage,
        *,
        keeps_local: bool,
        max_attempts: int = _MAX_ATTEMPTS,
        ended: Callable[[], Iterable[str]],
        on_attempt: Callable[[Upload], None] = lambda result: None,
        on_waiting: Callable[[int, float], None] = lambda calls, oldest_s: None,
        compress: Callable[[Path], object] | None = None,
    ) -> None:
        self._folder = folder
        self._storage = storage
        self._keeps_local = keeps_local
        self._max_attempts = max_attempts
        self._ended = ended
        self._on_attempt = on_attempt
        self._on_waiting = on_waiting
        self._compress = compress or compress_now
        self._waiting: dict[str, _Waiting] = {}
        self._given_up: set[str] = set()
        self._running: set[str] = set()
        self._repeats = Repeats(log)

    async def run(self) -> None:
        """Copies the files of ended calls to object storage, until the task is cancelled. Copies a call soon after its
        end. At the start and every ten minutes, also searches the folder for calls that were not copied yet.
        """
        clock = asyncio.get_running_loop().time
        next_scan = clock()
        async with asyncio.TaskGroup() as group:
            while True:
                now = clock()
                for sid in self._ended():
                    self._given_up.discard(sid)
                    self._add(sid, now)
                if now >= next_scan:
                    next_scan = now + _SCAN_S
                    await self._scan(now)
                due = [sid for sid, each in self._waiting.items() if each.due <= now and sid not in self._running]
                for sid in due[: _AT_ONCE - len(self._running)]:
                    self._running.add(sid)
                    group.create_task(self._attempt(sid), name="copy a journal")
                self._on_waiting(
                    len(self._waiting), max((now - each.since for each in self._waiting.values()), default=0.0)
                )
                await asyncio.sleep(_TICK_S)

    def _add(self, sid: str, now: float) -> None:
        if sid not in self._given_up and len(self._waiting) < _MAX_WAITING:
            self._waiting.setdefault(sid, _Waiting(now, now))

    async def _scan(self, now: float) -> None:
        try:
            found = await in_daemon(partial(unsent, self._folder), "find journals")
        except OSError as error:
            self._repeats.warning("scan", f"The folder of journals cannot be read: {error}")
            return
        for sid in found:
            self._add(sid, now)

    async def _attempt(self, sid: str) -> None:
        waiting = self._waiting[sid]
        work = partial(send, self._folder / sid, self._storage, keeps_local=self._keeps_local, compress=self._compress)
        try:
            done = await in_daemon(work, "copy a journal")
        except (StorageError, OSError) as error:
            self._failed(sid, waiting, error)
        else:
            del self._waiting[sid]
            if done:  # else a process writes or copies the journal, and the next scan checks it again
                self._on_attempt(Upload.SENT)
        finally:
            self._running.discard(sid)

    def _failed(self, sid: str, waiting: _Waiting, error: Exception) -> None:
        waiting.attempts += 1
        if waiting.attempts >= self._max_attempts:
            del self._waiting[sid]
            self._given_up.add(sid)
            self._on_attempt(Upload.GIVEN_UP)
            log.error("The journal of call %s is not in object storage: %s It stays on this machine, and the next "
                      "start of a process tries again.", sid, error)  # fmt: skip
            return
        self._on_attempt(Upload.FAILED)
        self._repeats.error("failed", f"The journal of call {sid} could not be copied and is tried again: {error}")
        pause_s = min(_LONGEST_S, _FIRST_S * 2 ** min(waiting.attempts - 1, 10))
        waiting.due = asyncio.get_running_loop().time() + pause_s


def unsent(folder: Path) -> list[str]:
    """Returns the CallSids of the calls in this folder that have files which are not in object storage. The function
    blocks.
    """
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if each.is_dir() and _is_unsent(each))


def _is_unsent(folder: Path) -> bool:
    files = _files(folder)
    return bool(files) and _sizes(files) != _sent(folder)


def send(
    folder: Path, storage: ObjectStorage, *, keeps_local: bool, compress: Callable[[Path], object] | None = None
) -> bool:
    """Compresses the journals of one call, and copies the files of its `folder` to object storage. With `keeps_local`,
    the files in the folder are kept. `compress` compresses one file. The function blocks.

    Returns False if a process is writing or copying the files at this moment. If the call is erased in the meantime,
    the files are deleted from the storage again. Raises `StorageError` and `OSError`.
    """
    with _claimed(folder) as is_ours:
        if not is_ours:
            return False
        for file in _files(folder):
            if file.suffix == ".jsonl":
                (compress or compress_now)(file)
        files = _files(folder)
        sizes, sent = _sizes(files), _sent(folder)
        for file in files:
            if sent.get(file.name) != sizes[file.name]:
                storage.put(folder.name, file)
        if not all(file.exists() for file in files):
            storage.delete(folder.name)
        elif files and keeps_local:
            partial_file = folder / f"{SENT}.part"
            partial_file.write_text(json.dumps(sizes))
            partial_file.replace(folder / SENT)
        elif files:
            _remove(folder, files)
    return True


def _remove(folder: Path, files: Iterable[Path]) -> None:
    """Deletes these files, and deletes the folder if the folder is then empty."""
    for file in files:
        file.unlink(missing_ok=True)
    if not any(not each.name.startswith(".") for each in folder.iterdir()):
        shutil.rmtree(folder)


def compress_now(path: Path) -> None:
    """Compresses a journal in a process of the lowest priority, and waits for this process. Raises `OSError`."""
    command = [sys.executable, "-m", "telephony.journal.compression", os.fspath(path.absolute())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(f"{path} could not be compressed: {done.stderr.decode(errors='replace').strip()[-200:]}")


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Yields whether no other process copies the files of this folder, and no process writes a journal in the
    folder.
    """
    with ExitStack() as stack:

        def is_own(path: Path) -> bool:
            try:
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return True
            stack.callback(os.close, fd)
            # A writer locks its file while the file is still empty.
            return lock(fd) and (path == folder or os.fstat(fd).st_size > 0)

        is_ours = is_own(folder) and all(map(is_own, _files(folder)))
        if not is_ours:
            stack.close()
        yield is_ours


def _files(folder: Path) -> list[Path]:
    """Returns the files of a call, or an empty list if there is no journal."""
    try:
        files = sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    except FileNotFoundError:
        return []
    return files if any(map(is_journal, files)) else []


def _sizes(files: Iterable[Path]) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in files}


def _sent(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / SENT).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
