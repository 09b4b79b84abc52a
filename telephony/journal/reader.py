"""Reading a journal, also one whose process was killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from telephony.errors import JournalError

from .format import SCHEMA, Record

__all__ = ["parse_line", "parse_lines", "read_journal"]


def read_journal(path: Path) -> Iterator[Record]:
    """The records of the file, in order. Kinds that are not known are records, too; a last line that was cut is left
    out. Raises `JournalError` where the file cannot be opened or is not a journal, and for a newer schema."""
    try:
        with path.open("rb") as file:
            yield from parse_lines(file, str(path))
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error


def parse_lines(lines: Iterable[bytes], name: str = "journal") -> Iterator[Record]:
    """`read_journal` for lines from anywhere."""
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return  # only a crash leaves this
        if not line.strip():
            continue
        try:
            record = parse_line(line)
        except ValueError as error:
            raise JournalError(f"{name}, line {number}: {error}") from None
        if record.kind == "header" and record.data.get("schema", 0) > SCHEMA:
            raise JournalError(f"{name} has schema {record.data['schema']}; this version reads up to {SCHEMA}.")
        yield record


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
