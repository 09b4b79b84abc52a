"""The do-not-call list, and the claims of numbers that are being called, in the memory of this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from .opt_outs import OptOut

__all__ = ["MemoryNumberClaims", "MemoryOptOuts"]


class MemoryOptOuts:
    """Stores the do-not-call list in the memory of this process, without a database. Implements `OptOuts`."""

    def __init__(self) -> None:
        self._entries: dict[str, OptOut] = {}

    def add(self, entries: Sequence[OptOut]) -> int:
        before = len(self._entries)
        for each in entries:
            self._entries.setdefault(each.subject, each)
        return len(self._entries) - before

    def remove(self, subject: str) -> bool:
        return self._entries.pop(subject, None) is not None

    def among(self, subjects: Collection[str]) -> set[str]:
        return {each for each in subjects if each in self._entries}

    def version(self) -> str:
        return f"{len(self._entries)} {max((each.added_at for each in self._entries.values()), default=None)}"

    def subjects(self) -> set[str]:
        return set(self._entries)

    def listed(self, *, limit: int = 100, before: datetime | None = None) -> list[OptOut]:
        found = [each for each in self._entries.values() if before is None or each.added_at < before]
        return sorted(found, key=lambda each: each.added_at, reverse=True)[:limit]


class MemoryNumberClaims:
    """Stores in the memory of this process which numbers are being called. Implements `NumberClaims`."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, datetime]] = {}

    def hold(self, subject: str, holder: str, *, process: str, ttl_s: float, now: datetime) -> bool:
        known = self._held.get(subject)
        if known is None or known[1] <= now:
            known = self._held[subject] = holder, now + timedelta(seconds=ttl_s)
        return known[0] == holder

    def let_go(self, subject: str, holder: str) -> None:
        if (known := self._held.get(subject)) is not None and known[0] == holder:
            del self._held[subject]
