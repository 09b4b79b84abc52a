"""A journal in memory, for replays and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .encoding import parse_object
from .format import Record

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Keeps records in memory. `records` are the records that a file would contain. Messages are parsed when the
    records are read.
    """

    def __init__(self, *, masks_digits: bool = True) -> None:
        self.masks_digits = masks_digits
        self._lines: list[tuple[float, str, dict[str, Any] | str]] = []

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        self._lines.append((t, kind, fields))

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        self._lines.append((t, kind, json_text))

    def close(self) -> None:
        pass

    def __len__(self) -> int:
        return len(self._lines)

    def records(self) -> Iterator[Record]:
        return (record for _, record in self.numbered())

    def numbered(self, wanted: Callable[[str], bool] = lambda kind: True) -> Iterator[tuple[int, Record]]:
        """Yields (index, record) for each record that is wanted: `wanted` gets the kind of a record, and returns True
        if the record is wanted. The index counts all records of the journal, from 0.
        """
        for index, (t, kind, body) in enumerate(self._lines):
            if wanted(kind):
                yield (
                    index,
                    Record(round(t, 6), kind, {"message": parse_object(body)} if isinstance(body, str) else body),
                )
