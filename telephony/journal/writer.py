"""Writes journals. The event loop only queues lines, and a thread writes the lines (see `disk`).

The content of a file depends only on the records, and not on the times at which the thread runs. Lost records are
counted in a `lost` record.
"""

from __future__ import annotations

import math
import platform
import threading
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

_PIECE_LINES = 256
"""The maximum number of lines that are joined and written at once. Small pieces are faster than large ones, because the
process must get the memory of a large piece from the operating system each time.
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

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        pass

    def close(self) -> None:
        pass


class _Unmasked(str):
    """A line that the thread must mask."""

    __slots__ = ()


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
        self._masks_words = not self._redaction.is_plain
        self._masks_all = self._redaction.audio
        self._is_fast = not self._masks_all
        """Whether lines without words may take the fast path, which only compares the length of the queue."""
        self._t, self._start = math.nan, ""
        """The time of the last message, and the start of its line. Often two messages have the same time."""
        self._lines: list[str] = []
        """The queued lines, without line breaks. The event loop appends lines, and the thread removes them from the
        front.
        """
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
        rest = f",{dump(fields)[1:]}" if fields else "}"
        self._put(f'{{"t":{t:.6f},"kind":"{kind}"{rest}', True)

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        if t != self._t:
            self._t, self._start = t, f'{{"t":{t:.6f},"kind":"'
        line = f'{self._start}{kind}","message":{json_text}}}'
        disk = self._disk
        if has_words or not self._is_fast or disk.taken > disk.fast_until:
            self._put(line, has_words)
        else:  # more than 100 times a second
            disk.taken += len(line)
            self._lines.append(line)

    def close(self) -> None:
        self.closing = True
        self._is_fast = False
        self._disk.wake()

    def finish(self, within_s: float | None = None) -> bool:
        """Closes the journal, and waits until all records are on the disk. The method blocks, so it must not be called
        on an event loop. Returns False if the records are not on the disk in time.
        """
        self.close()
        return self.closed.wait(within_s)

    def _put(self, line: str, has_words: bool) -> None:
        if self._masks_words and (has_words or self._masks_all):
            line = _Unmasked(line)
        if self.closing:
            return
        if self._off or not self._disk.takes(len(line)):
            self._dropped += 1
            self._unreported += 1
            self._disk.dropped += 1
            self._is_fast = False
            return
        if self._unreported:
            self._append(_lost(_begin(line), self._unreported))
            self._unreported = 0
            self._is_fast = not self._masks_all
        self._append(line)

    def _append(self, line: str) -> None:
        self._disk.taken += len(line)
        self._lines.append(line)

    # --- the journals' thread ----------------------------------------------------------------------------------------

    def drain(self, files: Files) -> None:
        if self._fd is None and not self._off:
            self._open(files)
        left = len(self._lines)
        while left:
            # Each of these two steps is atomic, so the event loop can append lines at any time.
            lines = self._lines[: min(left, _PIECE_LINES)]
            del self._lines[: len(lines)]
            n_chars = sum(map(len, lines))
            if self._off:
                self._miss(len(lines))
            else:
                self._save(files, self._masked(lines) if self._masks_words else lines)
            self._disk.wrote(n_chars)
            left -= len(lines)

    def _masked(self, lines: list[str]) -> list[str]:
        mask = self._redaction.line
        return [mask(line) if type(line) is _Unmasked else line for line in lines]

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
        data = _encoded(report + lines)
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


def _encoded(lines: list[str]) -> bytes:
    """Joins lines. Line breaks within a line become spaces. They are between the tokens of a foreign message, because
    JSON escapes the line breaks of its strings.
    """
    text = "".join(lines)
    if "\n" in text or "\r" in text:
        lines = [line.translate(_LINE_BREAKS) for line in lines]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _begin(line: str) -> str:
    """Returns the begin of a line, up to its time."""
    return line[: line.index(",")]


def _lost(begin: str, n_records: int) -> str:
    return f'{begin},"kind":"lost","records":{n_records}}}'


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    try:
        found["telephony-agent"] = version("telephony-agent")
    except PackageNotFoundError:  # not installed
        pass
    return found
