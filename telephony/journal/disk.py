"""The thread that writes journals. Only this thread uses the files of journals, so a slow disk does not delay a
call.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from .file_lock import lock

__all__ = ["DISK", "Disk", "Files", "settle"]

log = logging.getLogger(__name__)

_EXIT_S = 5.0
_PROBE = bytes(2**16)
_MAX_TURNS = 8
_JOURNALS_IN_TURN = 16
"""Fewer than 16 journals are written at the same time, because each start of the thread has a cost. More journals are
written in up to 8 turns, so that the thread does not delay the event loop for long.
"""


class Files:
    """The operations of the file system that write journals. Each method may block as long as the disk does not
    respond, and raises `OSError`.
    """

    def create(self, path: Path) -> tuple[Path, int]:
        """Creates a new file (mode 0600) and its folders. Returns the path, and a file descriptor in append mode.

        If `path` exists, a number is added to the name, so a journal is never overwritten. The file is locked until it
        is closed, so other processes can see that the file is being written (see `uploads`).
        """
        _make(path.parent)
        for n in itertools.count(1):
            candidate = path if n == 1 else path.with_name(f"{path.stem}-{n}{path.suffix}")
            try:
                fd = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            except FileExistsError:
                continue
            lock(fd, wait=True)
            return candidate, fd
        raise AssertionError("unreachable")

    def write(self, fd: int, data: memoryview) -> int:
        """Writes a part of `data` to the file descriptor `fd`. Returns the number of written bytes."""
        return os.write(fd, data)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        os.close(fd)

    def probe(self, folder: Path) -> None:
        """Tests whether the folder can be written: creates a file, writes 64 KiB and removes the file. Creates the
        folder if needed.
        """
        _make(folder)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            view = memoryview(_PROBE)
            while view:
                view = view[file.write(view) :]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # a file has this name
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


class _Queued(Protocol):
    """The methods of a journal that the thread calls."""

    closing: bool
    closed: threading.Event

    def drain(self, files: Files) -> None:
        """Writes the queued lines. Raises no `OSError`."""

    def settle(self, files: Files) -> None:
        """Closes the file. Raises no `OSError`."""


class Disk:
    """Writes the journals (the recordings of calls as JSON lines) of one event loop to the disk, in a thread of its
    own. Each journal is written every `flush_s` seconds. Many journals are written in turns.

    The thread runs from the first to the last journal, or from `start` to `stop`. At most `max_queued_chars` characters
    of all journals are queued. Further records are dropped and counted in `lost`. `clock` returns real time in seconds,
    even if the event loop has virtual time.

    When journals can no longer be written, `on_change` is called in the thread with the reason. When they can be
    written again, it is called with "".
    """

    def __init__(
        self,
        files: Files | None = None,
        *,
        flush_s: float = 0.25,
        max_queued_chars: int = 64 * 2**20,
        stalled_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        self.stalled_s = stalled_s
        self.dropped = 0
        """Records dropped because the queue was full. Only the event loop's thread writes it."""
        self.unwritten = 0
        """Records that the disk did not take. Only the journals' thread writes it."""
        self.taken = 0
        """Queued characters. Only the event loop's thread writes it."""
        self.written = 0
        """Characters that left the queue. Only the journals' thread writes it."""
        self._files = files or Files()
        self._flush_s = flush_s
        self._max_queued = max_queued_chars
        self._room = max_queued_chars // 8
        self.fast_until = self._room
        """While `taken` is not more than this, `takes` need not be called. Only the journals' thread writes it."""
        self._clock = clock
        self._on_change = on_change or _log_change
        self._fault = ""
        self._busy_since: float | None = None
        self._folder: Path | None = None
        self._checked = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._journals: list[_Queued] = []
        self._thread: threading.Thread | None = None
        self._stays = False
        self._turn = 0
        _disks.add(self)

    # --- any thread --------------------------------------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """The reason why journals cannot be written. The text is empty if journals can be written."""
        since = self._busy_since
        if since is not None and self._clock() - since >= self.stalled_s:
            return f"the disk has not answered for {self.stalled_s:g} s"
        return self._fault

    @property
    def lost(self) -> int:
        """The number of records that were dropped."""
        return self.dropped + self.unwritten

    def start(self) -> None:
        """Starts the thread that writes journals to the disk. The thread then runs until `stop` is called."""
        self._stays = True
        with self._lock:
            self._ensure_thread()

    def stop(self) -> None:
        """Lets the thread that writes journals end after it has written the last journal. Does not wait for the end."""
        self._stays = False
        self._wake.set()

    def add(self, journal: _Queued) -> None:
        with self._lock:
            self._journals.append(journal)
            self._ensure_thread()
        self._wake.set()  # the thread may be about to wait

    def takes(self, n_chars: int) -> bool:
        """Returns whether `n_chars` more characters can be queued for the thread that writes journals to the disk. If
        more than a quarter of the queue is used, also makes the thread write immediately.
        """
        queued = self.taken - self.written
        if queued > self._max_queued // 4:
            self._wake.set()
        return queued + n_chars <= self._max_queued

    def wake(self) -> None:
        self._wake.set()

    def check(self, folder: Path) -> None:
        """Starts a test whether files can be written in this folder, in the thread of the disk. Returns immediately.
        `checked` waits for the result.
        """
        self._checked.clear()
        self._folder = folder
        self._wake.set()

    def checked(self, within_s: float) -> bool:
        """Waits at most `within_s` seconds for the end of the test that `check` has started. Returns False if the test
        has not ended in time. After the test, `fault` has the reason why files cannot be written, or is empty. The
        method blocks.
        """
        return self._checked.wait(within_s)

    def settle(self, within_s: float | None = None) -> bool:
        """Waits until every closed journal is on the disk, at most `within_s` seconds. With None, there is no time
        limit. The method blocks. Returns False if some journals are not on the disk in time.
        """
        deadline = None if within_s is None else time.monotonic() + within_s
        with self._lock:
            closing = [journal for journal in self._journals if journal.closing]
        self._wake.set()
        return all(
            journal.closed.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            for journal in closing
        )

    def _ensure_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="journals", daemon=True)
            thread.start()
            self._thread = thread

    # --- the journals' thread ----------------------------------------------------------------------------------------

    def wrote(self, n_chars: int) -> None:
        """Counts characters that left the queue."""
        self.written += n_chars
        self.fast_until = self.written + self._room

    def failed(self, fault: str) -> None:
        """Stores `fault`, the reason why a journal could not be written. The fault stays until a `check` succeeds,
        because a successful write to an open file does not show that a new file can be created.
        """
        if not self._fault:
            self._on_change(fault)
        self._fault = fault

    def _run(self) -> None:
        while True:
            is_woken = self._wake.wait(self._flush_s / self._turns() if self._journals else None)
            self._wake.clear()
            if (folder := self._folder) is not None:
                self._folder = None
                self._busy_since = self._clock()
                self._check(folder)
            for journal in self._due(is_woken):
                self._busy_since = self._clock()
                closing = journal.closing  # read before draining: nothing is queued after it
                journal.drain(self._files)
                if closing:
                    journal.settle(self._files)
                    with self._lock:
                        self._journals.remove(journal)
            self._busy_since = None
            with self._lock:
                if not self._journals and not self._stays:
                    self._thread = None
                    return

    def _turns(self) -> int:
        return min(_MAX_TURNS, 1 + len(self._journals) // _JOURNALS_IN_TURN)

    def _due(self, is_woken: bool) -> tuple[_Queued, ...]:
        """Returns the journals to write now: the next part of them, or all after a `wake`."""
        turns = self._turns()
        self._turn = (self._turn + 1) % turns
        return tuple(self._journals)[slice(None) if is_woken else slice(self._turn, None, turns)]

    def _check(self, folder: Path) -> None:
        try:
            self._files.probe(folder)
        except OSError as error:
            self.failed(f"{folder}: {error.strerror or error}")
        else:
            if self._fault:
                self._fault = ""
                self._on_change("")
        self._checked.set()


def settle(within_s: float | None = None) -> bool:
    """Waits until every closed journal of this process is on the disk. The function blocks. Returns False if some
    journals are not on the disk in time.

    A program must call this function before it reads its own journals. At the exit of the process, the function runs
    for at most five seconds.
    """
    settled = [disk.settle(within_s) for disk in tuple(_disks)]
    return all(settled)


def _log_change(fault: str) -> None:
    if fault:
        log.error("Journals cannot be written: %s. Calls continue without journals.", fault)
    else:
        log.warning("Journals can be written again.")


_disks: WeakSet[Disk] = WeakSet()
atexit.register(settle, _EXIT_S)

DISK = Disk()
"""The writer of all journals that are opened without a `disk` argument."""
