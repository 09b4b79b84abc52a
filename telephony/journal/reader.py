"""Reads journals, including incomplete and damaged journals."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from telephony.errors import JournalError

from .encoding import dump, parse_object
from .format import SCHEMA, Record

__all__ = ["parse_line", "parse_lines", "raw_lines", "read_journal"]

log = logging.getLogger(__name__)

_MAX_T = 1e9
"""The maximum time of a record in seconds (30 years). Larger times are invalid."""
_MAX_DEPTH = 300
"""The maximum nesting of a line. `encoding.dump` writes no line that is nested so deeply."""


def read_journal(path: Path) -> Iterator[Record]:
    """Yields the records of a file, in order, including records of unknown kinds. Also reads the compressed file,
    `path.gz`.

    An incomplete last line, the rest of a damaged compressed file, and lines that are not records are ignored, with one
    warning in the log.

    Raises `JournalError` if the file cannot be opened, has lines but no record, or has a newer schema.
    """
    with _reading(path) as lines:
        yield from parse_lines(lines, str(path))


@contextmanager
def _reading(path: Path) -> Iterator[Iterable[bytes]]:
    try:
        with _open(path) as file:
            yield _readable_lines(file, path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror or error}") from error


def _readable_lines(lines: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, up to the first byte that cannot be decompressed."""
    n_lines = 0
    try:
        for line in lines:
            n_lines += 1
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if not n_lines:
            raise JournalError(f"{path}: {error}") from error
        log.warning("%s is damaged after line %d; the rest is skipped: %s", path, n_lines, error)


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    packed = path if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    if path == packed or (packed.exists() and not path.exists()):
        return gzip.open(packed, "rb")
    return path.open("rb")


def parse_lines(lines: Iterable[bytes], name: str = "journal") -> Iterator[Record]:
    """Yields the journal records in lines from any source, such as lines of a file. Lines that are not records are
    ignored, as by `read_journal`. `name` names the source in messages.
    """
    checked = _Checked(name)
    for line in lines:
        if (record := checked.record(line)) is not None:
            yield record
    checked.done()


_BEGINNING = b'{"t":'
"""The first bytes of each line that `JournalWriter` writes. A line without an end that begins otherwise is no part of a
journal.
"""


class _Checked:
    """Parses the lines of one journal, and reports lines that are not records."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines = 0
        self._records = 0
        self._odd: list[str] = []

    def record(self, line: bytes) -> Record | None:
        """Returns the record in a line, or None if the line is empty, incomplete or not a record."""
        self._lines += 1
        if not line.strip():
            return None
        if not line.endswith(b"\n"):
            if not line.startswith(_BEGINNING[: len(line)]):
                self._odd.append(f"line {self._lines}: not a JSON object")
            return None
        try:
            record = parse_line(line)
        except ValueError as error:
            self._odd.append(f"line {self._lines}: {error}")
            return None
        self._records += 1
        schema = record.data.get("schema")
        if record.kind == "header" and isinstance(schema, int) and schema > SCHEMA:
            raise JournalError(f"{self._name} has schema {schema}; this version reads up to {SCHEMA}.")
        return record

    def seen(self) -> None:
        """Counts a line that was parsed elsewhere."""
        self._lines += 1
        self._records += 1

    def done(self) -> None:
        """Logs the problems of the journal. Raises `JournalError` if no line was a record."""
        if self._odd and not self._records:
            raise JournalError(
                f"{self._name} is no journal: {self._odd[0]}. `telephony calls import` makes journals of the logs and "
                "recordings of other programs."
            )
        if self._odd:
            log.warning("%s: %d lines are no journal records and are skipped. The first is %s",
                        self._name, len(self._odd), self._odd[0])  # fmt: skip


def parse_line(line: bytes) -> Record:
    """Returns the record in one line. Raises `ValueError` if the line is not a record."""
    data = parse_object(line, _MAX_DEPTH)
    if data is None:
        raise ValueError("not a JSON object")
    t, kind = data.pop("t", None), data.pop("kind", None)
    if not isinstance(t, int | float) or not isinstance(kind, str) or not abs(t) < _MAX_T:
        raise ValueError("not a record of a journal")
    return Record(float(t), kind, data)


_INCOMING = re.compile(rb'\{"t":([0-9]{1,9}\.[0-9]+),"kind":"(twilio\.in|model\.in)","message":(\{.*\})\}\n')
"""Matches a line of `JournalWriter.write_raw`. The message in such a line need not be parsed."""


def raw_lines(path: Path) -> Iterator[tuple[float, str, str | None, Mapping[str, Any] | None]]:
    """Yields (t, kind, text, data) for each record of the journal, for replays. `t` is in seconds. Raises
    `JournalError` if the file cannot be opened, has lines but no record, or has a newer schema.

    Incoming messages, which are most of the bytes, have `text` as received. All other records have `data`, the parsed
    fields. `text` begins and ends with a brace but may be invalid JSON, because older versions did not check the text.
    """
    checked = _Checked(str(path))
    with _reading(path) as lines:
        for line in lines:
            if (found := _INCOMING.fullmatch(line)) is not None:
                t, kind, message = found.groups()
                checked.seen()
                yield float(t), kind.decode(), message.decode(errors="replace"), None
            elif (record := checked.record(line)) is None:
                continue
            elif record.kind in ("twilio.in", "model.in"):
                yield record.t, record.kind, dump(record.message) if record.message else None, None
            else:
                yield record.t, record.kind, None, record.data
    checked.done()
