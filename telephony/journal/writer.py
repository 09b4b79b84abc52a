"""Writes journals. The event loop only queues lines, and a thread writes the lines (see `disk`).

The content of a file depends only on the records, and not on the times at which the thread runs. Lost records are
counted in a `lost` record.
"""

from __future__ import annotations

import platform
import threading
from collections import deque
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .compression import compress_later
from .disk import DISK, Disk, Files
from .encoding import dump
from .format import Journal
from .redaction import Redaction

__all__ = ["JournalWriter", "NullJournal", "open_journal"]

_PIECE_CHARS = 2**18
"""The number of characters that are joined and written at once. Pieces of a quarter of a MiB need a fifth of the time
of one large piece, because the process must get the memory of a large piece from the operating system each time.
"""
_LINE_BREAKS = str.maketrans("\r\n", "  ")


def open_journal(
    path: Path | None, *, redaction: Redaction | None = None, compress: bool = False, disk: Disk = DISK
) -> Journal:
    """Returns a writer to `path`. If `path` is None, returns a journal that is switched off. `redaction` says what is
    masked in the file. With `compress`, the file is compressed after the call.
    """
    return NullJournal() if path is None else JournalWriter(path, redaction=redaction, compress=compress, disk=disk)


class NullJournal:
    """A journal that is switched off. It writes nothing. Its `is_on` is False, so other code can skip the creation of
    records.
    """

    is_on = False

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        pass

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        pass

    def close(self) -> None:
        pass


class JournalWriter:
    """Appends records to a new file that only its owner may read (mode 0600).

    The thread of `disk` creates the file and its folder, writes whole lines, and closes the file. After a crash the
    file is readable up to the last flush. If `path` exists, a number is added to the name, and `path` is then the new
    name. `write` and `close` return immediately and raise no exception. `finish` waits.

    If the file cannot be created, the journal is switched off, and `error` contains the reason. If the disk fails
    later, the file is truncated after its last whole line, and later lines are written after a `lost` record. `lost` is
    the number of records that are not in the file.

    `redaction` is applied in the thread, before lines reach the disk. With `compress`, a process of the lowest priority
    compresses the file after the call.
    """

    def __init__(
        self, path: Path, *, redaction: Redaction | None = None, compress: bool = False, disk: Disk = DISK
    ) -> None:
        self.path = path
        self.error: OSError | None = None
        self.closing = False
        self.closed = threading.Event()
        self._redaction = redaction or Redaction()
        self.masks_digits = self._redaction.digits
        self._compress = compress
        self._disk = disk
        self._records: deque[tuple[float, str, str]] = deque()
        """The queued records: the time, the kind, and the rest of the line. The thread joins them to lines."""
        self._dropped = 0  # records that the event loop dropped because the queue was full
        self._unreported = 0
        self._fd: int | None = None  # the thread uses this and the following fields
        self._off = False
        self._length = 0
        self._unwritten = 0
        self._missing = 0
        self._last_t = '{"t":0.000000'
        disk.add(self)

    @property
    def lost(self) -> int:
        return self._dropped + self._unwritten

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        if kind == "header":
            fields = {**fields, "versions": _versions(), "redaction": self._redaction.description()}
        body = dump(fields)
        self._put(t, kind, f",{body[1:]}" if fields else "}")

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        self._put(t, kind, f',"message":{json_text}}}')

    def close(self) -> None:
        self.closing = True
        self._disk.wake()

    def finish(self, within_s: float | None = None) -> bool:
        """Closes the journal, and waits until all records are on the disk. The method blocks, so it must not be called
        on an event loop. Returns False if the records are not on the disk in time.
        """
        self.close()
        return self.closed.wait(within_s)

    def _put(self, t: float, kind: str, rest: str) -> None:
        disk, n_chars = self._disk, len(rest)
        queued = disk.taken - disk.written + n_chars
        # The usual case calls no function, because a journal gets more than 100 records a second.
        if queued < disk.room_chars and not (self.closing or self._off or self._unreported):
            disk.taken += n_chars
            self._records.append((t, kind, rest))
        else:
            self._put_late(t, kind, rest)

    def _put_late(self, t: float, kind: str, rest: str) -> None:
        if self.closing:
            return
        if self._off or not self._disk.takes(len(rest)):
            self._dropped += 1
            self._unreported += 1
            self._disk.dropped += 1
            return
        if self._unreported:
            self._append(t, "lost", f',"records":{self._unreported}}}')
            self._unreported = 0
        self._append(t, kind, rest)

    def _append(self, t: float, kind: str, rest: str) -> None:
        self._disk.taken += len(rest)
        self._records.append((t, kind, rest))

    # --- the journals' thread ----------------------------------------------------------------------------------------

    def drain(self, files: Files) -> None:
        if self._fd is None and not self._off:
            self._open(files)
        left = len(self._records)
        while left:
            queued, n_chars = [], 0
            while left and n_chars < _PIECE_CHARS:
                t, kind, rest = self._records.popleft()
                queued.append(_line(t, kind, rest))
                n_chars += len(rest)
                left -= 1
            if self._off:
                self._miss(len(queued))
            else:
                plain = self._redaction.is_plain
                self._save(files, queued if plain else [self._redaction.line(line) for line in queued])
            self._disk.written += n_chars

    def settle(self, files: Files) -> None:
        self._missing += self._unreported
        if self._missing and not self._off:
            self._save(files, [])  # the disk may work again
        if self._fd is not None:
            try:
                files.close(self._fd)
            except OSError as error:
                self._fail(error)
            self._fd = None
            if self._compress and self.error is None:
                compress_later(self.path)
        self._off = True
        self.closed.set()

    def _open(self, files: Files) -> None:
        try:
            self.path, self._fd = files.create(self.path)
        except OSError as error:
            self._off = True
            self._fail(error)

    def _save(self, files: Files, lines: list[str]) -> None:
        """Appends these lines. If lines before them are missing, first appends a record with the number of missing
        lines.
        """
        assert self._fd is not None
        self._last_t = _begin(lines[-1]) if lines else self._last_t
        report = [_lost(_begin(lines[0]) if lines else self._last_t, self._missing)] if self._missing else []
        data = "".join([*report, *lines]).encode("utf-8", "replace")
        done = 0
        try:
            while done < len(data):
                done += files.write(self._fd, memoryview(data)[done:])
        except OSError as error:
            self._fail(error)
            whole = data.rfind(b"\n", 0, done) + 1
            kept = data.count(b"\n", 0, whole)
            if report and kept:
                self._missing, kept = 0, kept - 1
            self._miss(len(lines) - kept)
            self._cut(files, self._length + whole)
        else:
            self._length += len(data)
            self._missing = 0
            self.error = None

    def _cut(self, files: Files, length: int) -> None:
        """Removes an incomplete line. If this fails, the journal ends here, and readers ignore the incomplete line."""
        assert self._fd is not None
        try:
            files.truncate(self._fd, length)
            self._length = length
        except OSError:
            self._off = True

    def _miss(self, n_lines: int) -> None:
        self._missing += n_lines
        self._unwritten += n_lines
        self._disk.unwritten += n_lines

    def _fail(self, error: OSError) -> None:
        self.error = error
        self._disk.failed(f"{self.path}: {error.strerror or error}")


def _line(t: float, kind: str, rest: str) -> str:
    if "\n" in rest or "\r" in rest:  # between tokens; within strings line breaks are escaped
        rest = rest.translate(_LINE_BREAKS)
    return f'{{"t":{t:.6f},"kind":"{kind}"{rest}\n'


def _begin(line: str) -> str:
    """Returns the begin of a line, up to its time."""
    return line[: line.index(",")]


def _lost(begin: str, n_records: int) -> str:
    return f'{begin},"kind":"lost","records":{n_records}}}\n'


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    try:
        found["telephony-agent"] = version("telephony-agent")
    except PackageNotFoundError:  # not installed
        pass
    return found
