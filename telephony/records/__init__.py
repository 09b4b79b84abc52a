"""The records: what all processes share. Claims that succeed once, a record of each call, and leases of processes.

- `storable`: texts, numbers and keys that every database accepts. Pure.
- `call_query`: which calls to list. Pure.
- `call_record`: the record of one call, and how updates change it. Pure.
- `outbox`: the messages about ended calls, for webhooks. Pure. `database_outbox` and `memory_outbox` store them.
- `access`: who may use the console, and the audit. Pure. `database_access` and `memory_access` store it.
- `opt_outs`: the do-not-call list, and the claims of numbers that are being called. Pure. `database_opt_outs` and
  `memory_opt_outs` store them.
- `memory`, `database`: the two stores behind the protocol `Records`. `memory` is used without DATABASE_URL.
- `client`: the records as the application uses them, without blocking the event loop, also while the database is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .access import AccessStore
    from .budget import SharedLimits, Spent
    from .call_query import CallQuery
    from .call_record import CallRecord, CallUpdate
    from .opt_outs import NumberClaims, OptOuts
    from .outbox import Outbox
    from .releases import Releases

__all__ = ["Claimed", "Records"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of `Records.claim`. `first` means that this claim succeeded, because no earlier claim of the key is
    valid. `value` is the value of the claim that is valid now.
    """

    first: bool
    value: str = ""


class Records(Protocol):
    """A store. Its methods may block, so call them in a worker thread, as `RecordsClient` does. `now` is in UTC.

    A method raises `RecordsUnavailable` if the store cannot be used, and `RecordRefused` if the store refuses this
    record. It raises no other error.
    """

    @property
    def outbox(self) -> Outbox:
        """The messages about ended calls."""

    @property
    def access(self) -> AccessStore:
        """The tokens of the console, and the audit."""

    @property
    def opt_outs(self) -> OptOuts:
        """The do-not-call list."""

    @property
    def number_claims(self) -> NumberClaims:
        """The numbers that are being called."""

    @property
    def releases(self) -> Releases:
        """The decisions about canaries."""

    def claim(
        self, kind: str, key: str, *, ttl_s: float, now: datetime, value: str = "", call: CallUpdate | None = None
    ) -> Claimed:
        """Claims a key for `ttl_s` seconds. While a claim is valid, every other claim of the same (kind, key) fails, in
        all processes.

        The store keeps a hash of the key, and `value` in plain text. If the claim succeeds, `call` is noted in the same
        transaction.
        """

    def admit(self, call: CallUpdate, limits: SharedLimits, *, now: datetime) -> bool:
        """Apply the update `call`, which sets `number_key`, if the limits of that number allow another call. False:
        they do not. A call that was admitted already is admitted again. A call that a step of a ladder has taken over
        from the agent is no longer one of the calls at the same time."""

    def release(self, kind: str, key: str, *, call_id: str | None = None) -> None:
        """Removes a claim, and the call that was noted with it."""

    def note(self, news: Sequence[CallUpdate]) -> None:
        """Applies updates to the records of calls, in this order."""

    def call(self, key: str) -> CallRecord | None:
        """Returns the record of a call, by its id or its `CallSid`. None also for a text that cannot be a key."""

    def calls(self, query: CallQuery) -> list[CallRecord]:
        """Returns the calls that match, the newest first: one more than `query.limit`, if there are so many."""

    def boundary(self, query: CallQuery) -> tuple[datetime, str] | None:
        """Returns the start and the id of the last of the `query.scan` calls that a page looks at. None means that
        there are fewer.
        """

    def spent(self, since: datetime, now: datetime, subject: str = "") -> Spent:
        """Returns the minutes and the cost of the calls that began at `since` or later, in all processes together: of
        all calls, or of those with one person. A call that goes on counts until `now`.
        """

    def renew(self, process: str, *, ttl_s: float, now: datetime) -> bool:
        """Renews the lease of a process until `now + ttl_s`. False means that the lease is new, or it had run out
        before.
        """

    def is_alive(self, process: str, *, now: datetime) -> bool:
        """Returns whether this process holds a lease."""

    def interrupt(self, now: datetime, *, announce: bool = False, shows_numbers: bool = False) -> int:
        """Removes the leases that have run out, and gives the open calls of processes without a lease the status
        `interrupted`. With `announce`, messages about them are put into the outbox; with `shows_numbers`, the messages
        have the numbers in full. Returns the number of these calls."""

    def leave(self, process: str) -> None:
        """Removes the lease of a process that ends."""

    def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Removes the calls without an update since `before`, and expired claims. Returns the ids of the calls."""

    def check(self) -> str:
        """Checks that the store can be used. Returns its name and version."""

    def close(self) -> None: ...
