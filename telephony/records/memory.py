"""Stores call records, claims and leases in the memory of this process, for applications without a database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import nlargest

from . import ClaimResult
from .budget import BudgetUsage, SharedLimits, day_of, usage_of
from .call_query import CallQuery
from .call_record import CallRecord, CallUpdate, updated
from .memory_access import MemoryAccess
from .memory_opt_outs import MemoryNumberClaims, MemoryOptOuts
from .memory_outbox import MemoryOutbox
from .outbox import message_of
from .releases import MemoryReleases

__all__ = ["MemoryRecords"]

_MAX_CALLS = 10_000
_PURGE_EVERY = timedelta(minutes=1)


class MemoryRecords:
    """Stores the records of calls in the memory of this process, without a database. Implements `Records`. The methods
    never block. Only the `max_calls` calls that were updated last are kept.
    """

    def __init__(self, max_calls: int = _MAX_CALLS) -> None:
        self._max_calls = max_calls
        self._claims: dict[tuple[str, str], tuple[datetime, str]] = {}
        self._calls: OrderedDict[str, CallRecord] = OrderedDict()
        self._ids: dict[str, str] = {}
        self._purged_at: datetime | None = None
        self.outbox = MemoryOutbox()
        self.access = MemoryAccess()
        self.opt_outs = MemoryOptOuts()
        self.number_claims = MemoryNumberClaims()
        self.releases = MemoryReleases()

    def claim(
        self, kind: str, key: str, *, ttl_s: float, now: datetime, value: str = "", call: CallUpdate | None = None
    ) -> ClaimResult:
        self._forget_claims(now)
        known = self._claims.get((kind, key))
        if known is not None and known[0] > now:
            return ClaimResult(False, known[1])
        self._claims[kind, key] = now + timedelta(seconds=ttl_s), value
        if call is not None:
            self.note([call])
        return ClaimResult(True, value)

    def admit(self, call: CallUpdate, limits: SharedLimits, *, now: datetime) -> bool:
        key, known = call.changes["number_key"], self.call(call.key)
        if known is not None and known.number_key == key:
            return True
        rows = [row for row in self._calls.values() if row.number_key == key]
        today = [row for row in rows if row.started_at is not None and row.started_at >= day_of(now)]
        if not limits.allow(sum(row.is_with_agent for row in rows), usage_of(today, now)):
            return False
        self.note([call])
        return True

    def release(self, kind: str, key: str, *, call_id: str | None = None) -> None:
        self._claims.pop((kind, key), None)
        if call_id is not None:
            self._remove(call_id)
            self.outbox.forget(call_id)

    def note(self, news: Sequence[CallUpdate]) -> None:
        for each in news:
            row = updated(self.call(each.key), each)
            if row is None:
                continue
            self._calls[row.id] = row
            self._calls.move_to_end(row.id)
            if row.sid is not None:
                self._ids[row.sid] = row.id
            if len(self._calls) > self._max_calls:
                self._remove(next(iter(self._calls)))
            if each.announce_s is not None and row.over:
                self.outbox.put(message_of(row, each.at, hold_s=each.announce_s, shows_numbers=each.shows_numbers))

    def call(self, key: str) -> CallRecord | None:
        return self._calls.get(key) or self._calls.get(self._ids.get(key, ""))

    def calls(self, query: CallQuery) -> list[CallRecord]:
        found = (row for row in self._calls.values() if query.matches(row))
        return nlargest(query.limit + 1, found, key=lambda row: (row.started_at, row.id))

    def boundary(self, query: CallQuery) -> tuple[datetime, str] | None:
        return None  # these records are few

    def spent(self, since: datetime, now: datetime, subjects: Sequence[str] = ()) -> BudgetUsage:
        began = (row for row in self._calls.values() if row.started_at is not None and row.started_at >= since)
        return usage_of((row for row in began if not subjects or row.subject in subjects), now)

    def last_update(self) -> datetime | None:
        return max((row.updated_at for row in self._calls.values() if row.updated_at is not None), default=None)

    def renew(self, process: str, *, ttl_s: float, now: datetime) -> bool:
        return True

    def is_alive(self, process: str, *, now: datetime) -> bool:
        return True  # these records end with their process

    def interrupt(self, now: datetime, *, announce: bool = False, shows_numbers: bool = False) -> int:
        return 0

    def leave(self, process: str) -> None:
        pass

    def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        old = [row.id for row in self._calls.values() if row.updated_at is not None and row.updated_at < before]
        if not dry_run:
            for call_id in old:
                self._remove(call_id)
                self.outbox.forget(call_id)
        return old

    def check(self) -> str:
        return "memory"

    def close(self) -> None:
        pass

    def _remove(self, call_id: str) -> None:
        row = self._calls.pop(call_id, None)
        if row is not None and row.sid is not None:
            self._ids.pop(row.sid, None)

    def _forget_claims(self, now: datetime) -> None:
        if self._purged_at is None or now >= self._purged_at + _PURGE_EVERY:
            self._purged_at = now
            self._claims = {each: claim for each, claim in self._claims.items() if claim[0] > now}
