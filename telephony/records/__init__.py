"""What must be remembered beyond one process: claims, which succeed once, one row for each call, and which processes
are alive.

- `storable`: what a database can store. Pure.
- `rows`: what is known of a call, and how news of it are added. Pure.
- `memory`, `database`: the two stores behind the protocol `Records`. Without DATABASE_URL it is the first.
- `recorder`: what the application talks to: off the event loop, with a bound, and with an answer when the database is
  down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .rows import CallNews, CallRow

__all__ = ["Claimed", "Records"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whether the claim succeeded, and what the one who was first has left with it."""

    first: bool
    value: str = ""


class Records(Protocol):
    """A store. Its methods may block: call them from a worker thread (`Recorder` does). `now` is the date, in UTC.

    Every method raises `RecordsUnavailable` where the store cannot be used, `RecordRefused` where it can be used and
    refuses this record, and nothing else.
    """

    def claim(
        self, kind: str, key: str, *, ttl_s: float, now: datetime, value: str = "", call: CallNews | None = None
    ) -> Claimed:
        """Succeeds once for each (kind, key) within `ttl_s`, over all processes. The key is kept as a hash, `value` as
        it is; where the claim succeeds, `call` is noted in the same step."""

    def release(self, kind: str, key: str, *, call_id: str | None = None) -> None:
        """Forget the claim, and the call that was noted with it: what it was for has not been done."""

    def note(self, news: Sequence[CallNews]) -> None:
        """Add to what is known of calls, in this order."""

    def call(self, key: str) -> CallRow | None:
        """A call, by its id or by its `CallSid`. None also for a text that cannot be a key."""

    def renew(self, process: str, *, ttl_s: float, now: datetime) -> bool:
        """The process is alive until `now + ttl_s`. False: its lease had run out, or it had none; it has one now."""

    def is_alive(self, process: str, *, now: datetime) -> bool:
        """Does this process hold a lease?"""

    def interrupt(self, now: datetime) -> int:
        """Forget the leases that have run out, and give the open calls of processes without a lease the status
        `interrupted`. Returns how many calls."""

    def leave(self, process: str) -> None:
        """The process ends: it needs no lease any more."""

    def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Remove the calls of which nothing was heard since, and expired claims; returns the calls' ids."""

    def check(self) -> str:
        """Ask whether the store can be used; says, in a few words, what it is."""

    def close(self) -> None: ...
