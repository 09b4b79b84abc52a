"""Writing journals: cheap on the event loop, the disk in a thread of its own, one for all calls of the process.

The thread shares nothing with the event loop but a deque for each journal, so a slow disk costs records (counted in a
`lost` record) and never time. What a file says depends on what was written alone, not on when the thread ran.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import platform
import threading
from collections import deque
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from .compression import compress_later
from .format import Journal
from .redaction import Redaction

__all__ = ["JournalWriter", "NullJournal", "open_journal"]

log = logging.getLogger(__name__)

_LINE_BREAKS = str.maketrans("\r\n", "  ")


def open_journal(path: Path | None, *, redaction: Redaction | None = None, compress: bool = False) -> Journal:
    """A writer to `path`, or one that writes nowhere where there is none."""
    return NullJournal() if path is None else JournalWriter(path, redaction=redaction, compress=compress)


class NullJournal:
    """The journal that is off."""

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        pass

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        pass

    def close(self) -> None:
        pass


class JournalWriter:
    """Appends records to a new file that only its owner may read (mode 0600).

    Where `path` exists, a number is put to its name: a journal is never written over. At most `max_queued_chars` wait
    for the disk. The thread writes whole lines every `flush_s` seconds of real time, so that a killed process leaves a
    readable file up to there. A disk that fails ends the journal, not the call: it is logged, and kept in `error`.

    `redaction` says what is masked: in the thread, before anything reaches the disk (digits: before that). `compress`:
    a process of the lowest priority does it afterwards.
    """

    def __init__(
        self,
        path: Path,
        *,
        redaction: Redaction | None = None,
        compress: bool = False,
        flush_s: float = 0.25,
        max_queued_chars: int = 32 * 2**20,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._fd = _create(path)
        self.lost = 0
        self.error: OSError | None = None
        self._redaction = redaction or Redaction()
        self.masks_digits = self._redaction.digits
        self._compress = compress
        self._flush_s = flush_s
        self._max_queued = max_queued_chars
        self._lines: deque[str] = deque()
        self._taken = 0  # characters: written by the loop's thread only
        self._written = 0  # characters: written by the journal's thread only
        self._unreported = 0
        self._closing = False
        self._closed = threading.Event()
        self._disk = _disk_for(self)

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        if kind == "header":
            fields = {**fields, "versions": _versions(), "redaction": self._redaction.stated()}
        body = _dumps(fields)
        self._put(t, f'{{"t":{t:.6f},"kind":"{kind}"{"," if fields else ""}{body[1:]}\n')

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        if "\n" in json_text or "\r" in json_text:  # between the tokens: in a string it is escaped
            json_text = json_text.translate(_LINE_BREAKS)
        self._put(t, f'{{"t":{t:.6f},"kind":"{kind}","message":{json_text}}}\n')

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._disk.wake.set()
        self._closed.wait()

    def _put(self, t: float, line: str) -> None:
        queued = self._taken - self._written
        if self._closing or queued + len(line) > self._max_queued:
            self.lost += 1
            self._unreported += 1
            return
        if self._unreported:
            report = f'{{"t":{t:.6f},"kind":"lost","records":{self._unreported}}}\n'
            self._unreported = 0
            self._append(report)
        self._append(line)
        if queued > self._max_queued // 4:
            self._disk.wake.set()

    def _append(self, line: str) -> None:
        self._taken += len(line)
        self._lines.append(line)

    def _finish(self) -> None:
        self._drain()
        os.close(self._fd)
        if self._compress and self.error is None:
            compress_later(self.path)
        self._closed.set()

    def _drain(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        text = "".join(lines if self._redaction.is_plain else map(self._redaction.line, lines))
        if self.error is None:
            try:
                _write_all(self._fd, text.encode("utf-8", "replace"))
            except OSError as error:
                self.error = error
                log.error("The journal %s ends here: %s.", self.path, error.strerror)
        self._written += sum(map(len, lines))


class _Disk(threading.Thread):
    """Drains all open journals in turns; ends with the last of them."""

    def __init__(self) -> None:
        super().__init__(name="journals", daemon=True)
        self.wake = threading.Event()
        self.journals: list[JournalWriter] = []

    def run(self) -> None:
        while True:
            self.wake.wait(min((journal._flush_s for journal in tuple(self.journals)), default=0.0))
            self.wake.clear()
            for journal in tuple(self.journals):
                closing = journal._closing  # before draining: nothing is put behind it
                journal._drain()
                if closing:
                    journal._finish()
                    with _lock:
                        self.journals.remove(journal)
            with _lock:
                if not self.journals:
                    return


_lock = threading.Lock()
_disks: list[_Disk] = []


def _disk_for(journal: JournalWriter) -> _Disk:
    """The thread that writes it: the one that runs, or a new one."""
    with _lock:
        running = next((disk for disk in _disks if disk.journals and disk.is_alive()), None)
        if running is not None:
            running.journals.append(journal)
            running.wake.set()  # which may be about to wait for longer than this journal wants
            return running
        disk = _Disk()
        disk.journals.append(journal)
        _disks[:] = [disk]
    disk.start()
    return disk


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    try:
        found["telephony-agent"] = version("telephony-agent")
    except PackageNotFoundError:  # run from a source tree
        pass
    return found


def _create(path: Path) -> tuple[Path, int]:
    for n in itertools.count(1):
        candidate = path if n == 1 else path.with_name(f"{path.stem}-{n}{path.suffix}")
        try:
            return candidate, os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _dumps(fields: dict[str, Any]) -> str:
    try:
        return orjson.dumps(fields, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, a number past 64 bits: rare, and the standard library has a form for them
        return json.dumps(fields, default=repr, separators=(",", ":"))
