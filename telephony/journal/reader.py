"""Reading a journal, also one whose process was killed."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from telephony.errors import JournalError

from .format import SCHEMA, Record

__all__ = ["parse_line", "parse_lines", "raw_lines", "read_journal"]


def read_journal(path: Path) -> Iterator[Record]:
    """The records of the file, in order; it may have been compressed meanwhile. Kinds that are not known are records,
    too; a last line that was cut is left out.

    Raises `JournalError` where the file cannot be opened or is no journal, and for a newer schema."""
    with _reading(path) as file:
        yield from parse_lines(file, str(path))


@contextmanager
def _reading(path: Path) -> Iterator[Iterable[bytes]]:
    try:
        with _open(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise JournalError(f"{path}: {error}") from error
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    packed = path if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    if path == packed or (packed.exists() and not path.exists()):
        return gzip.open(packed, "rb")
    return path.open("rb")


def parse_lines(lines: Iterable[bytes], name: str = "journal") -> Iterator[Record]:
    """`read_journal` for lines from anywhere."""
    for number, line in enumerate(lines, 1):
        if (record := _checked(line, name, number)) is not None:
            yield record


def _checked(line: bytes, name: str, number: int) -> Record | None:
    """A line's record; None for an empty line, and for one that a crash cut."""
    if not line.endswith(b"\n") or not line.strip():
        return None
    try:
        record = parse_line(line)
    except ValueError as error:
        raise JournalError(f"{name}, line {number}: {error}") from None
    if record.kind == "header" and record.data.get("schema", 0) > SCHEMA:
        raise JournalError(f"{name} has schema {record.data['schema']}; this version reads up to {SCHEMA}.")
    return record


def parse_line(line: bytes) -> Record:
    """One line. Raises `ValueError`."""
    data: Any
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        data = json.loads(line)  # takes lone surrogates
    t, kind = (data.pop("t", None), data.pop("kind", None)) if isinstance(data, dict) else (None, None)
    if not isinstance(t, int | float) or not isinstance(kind, str):
        raise ValueError("not a record of a journal")
    return Record(float(t), kind, data)


_INCOMING = re.compile(rb'\{"t":([0-9.]+),"kind":"(twilio\.in|model\.in)","message":(\{.*\})\}\n')
"""A line exactly as `JournalWriter.write_raw` writes it, taken apart without parsing it."""


def raw_lines(path: Path) -> Iterator[tuple[float, str, str | None, Mapping[str, Any] | None]]:
    """(t, kind, text, data) of each record, for who replays: of messages that came in, which are most of the bytes, the
    JSON text of the message, as it came; of all others the parsed fields. Raises as `read_journal` does."""
    with _reading(path) as file:
        for number, line in enumerate(file, 1):
            if (found := _INCOMING.fullmatch(line)) is not None:
                t, kind, message = found.groups()
                yield float(t), kind.decode(), message.decode(), None
            elif (record := _checked(line, str(path), number)) is None:
                continue
            elif record.kind in ("twilio.in", "model.in"):
                yield record.t, record.kind, orjson.dumps(record.message).decode() if record.message else None, None
            else:
                yield record.t, record.kind, None, record.data
