"""Reads a journal while it is written."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

from telephony.journal.format import Record
from telephony.journal.reader import parse_line

__all__ = ["JournalTail"]


class JournalTail:
    """Follows the file at `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None
        self._rest = b""

    def read(self) -> list[Record]:
        """The records that were written since the last time; lines that are no records are left out."""
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [record for line in lines if (record := _parsed(line)) is not None]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _parsed(line: bytes) -> Record | None:
    try:
        return parse_line(line)
    except ValueError:
        return None
