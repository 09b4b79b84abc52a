"""The turns, tool calls and events of a live call, as displayed by the console. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_ENTRIES", "Entries", "Entry", "heard_text"]

MAX_ENTRIES = 600
"""The maximum number of entries that the console keeps of one live call. An entry is a turn, a tool call or an event.
Above this number the oldest entries are dropped. Even a call of one hour has fewer entries.
"""


@dataclass(slots=True)
class Entry:
    """One turn, tool call or event of a live call. `fields` has JSON values."""

    id: int
    type: str
    start_ms: int
    end_ms: int | None
    fields: dict[str, Any]
    version: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            **self.fields,
        }


@dataclass(slots=True)
class Entries:
    """The turns, tool calls and events of one call (its entries), the oldest first. Each change increases `version`."""

    version: int = 0
    _entries: OrderedDict[int, Entry] = field(default_factory=OrderedDict)
    _next_id: int = 0

    def touch(self) -> None:
        """Increases `version` without a new entry, to show that the state of the call has changed although no entry was
        added or changed.
        """
        self.version += 1

    def add(self, type_: str, start_ms: int, **fields: Any) -> Entry:
        self.touch()
        self._next_id += 1
        entry = Entry(self._next_id, type_, start_ms, None, fields, self.version)
        self._entries[entry.id] = entry
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return entry

    def change(self, entry: Entry, *, end_ms: int | None = None, **fields: Any) -> None:
        self.touch()
        entry.fields.update(fields)
        entry.end_ms = entry.end_ms if end_ms is None else end_ms
        entry.version = self.version

    @property
    def last(self) -> Entry | None:
        return next(reversed(self._entries.values()), None)

    def since(self, version: int) -> list[dict[str, Any]]:
        """Returns the entries (turns, tool calls and events of the call) that were added or changed after `version` had
        this value, as JSON objects. The oldest entry is first.
        """
        return [entry.to_json() for entry in self._entries.values() if entry.version > version]

    @property
    def last_words(self) -> tuple[str, str]:
        """The side that spoke last (`caller` or `agent`), and its last words. Both are empty if nothing was said."""
        for entry in reversed(self._entries.values()):
            if entry.type == "turn" and (words := _said(entry)):
                return entry.fields["speaker"], words
        return "", ""


def heard_text(said: str, share: float) -> str:
    """Returns the first words of the text `said`, up to the fraction `share` (0 to 1) of its length. The result is an
    estimate of the heard words. The estimate assumes a constant speed of speech. The last word is not cut.
    """
    if share >= 1.0:
        return said
    letters = round(len(said) * share)
    space = said.find(" ", letters)
    return "" if letters == 0 else said if space < 0 else said[:space]


def _said(entry: Entry) -> str:
    said: str = entry.fields["said"]
    return heard_text(said, entry.fields["heard_share"]) if entry.fields["speaker"] == "agent" else said
