"""The records: the data that all processes of an application share, usually in a database. The records contain one
record of each call, claims (a process claims a key, so that something is done only once), and leases (a process renews
its lease to show that it is alive).

- `storable`: texts, numbers and keys that every database accepts. Pure.
- `call_query`: the filters of a list of calls. Pure.
- `call_record`: the record of one call, and the effect of updates. Pure.
- `outbox`: the messages about ended calls, for webhooks. Pure. `database_outbox` and `memory_outbox` store the
  messages.
- `access`: the tokens of the console, and the audit log. Pure. `database_access` and `memory_access` store both.
- `opt_outs`: the do-not-call list, and the claims of numbers that are being called. Pure. `database_opt_outs` and
  `memory_opt_outs` store both.
- `memory`, `database`: the two implementations of the protocol `Records`. `memory` is used without a database.
- `client`: access to the records without blocking the event loop. The client also works while the database cannot be
  reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .access import AccessStore
    from .budget import BudgetUsage, SharedLimits
    from .call_query import CallQuery
    from .call_record import CallRecord, CallUpdate
    from .opt_outs import NumberClaims, OptOuts
    from .outbox import Outbox
    from .releases import Releases

__all__ = ["ClaimResult", "Records"]


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The result of `Records.claim`, which claims a key for a time, so that something is done only once. `first` is
    True if this claim succeeded, and False if an earlier claim of the key is still valid. `value` is the text that was
    stored with the valid claim.
    """

    first: bool
    value: str = ""


class Records(Protocol):
    """A store of the call records and of other data that all processes share, such as a database. The methods may
    block, so they must be called in a worker thread (`RecordsClient` does this). `now` is in UTC.

    A method raises `RecordsUnavailable` if the store cannot be used, and `RecordRefused` if the store refuses the data
    that the method should write. A method raises no other exception.
    """

    @property
    def outbox(self) -> Outbox:
        """The store of the messages about ended calls and campaigns that are delivered by webhook."""

    @property
    def access(self) -> AccessStore:
        """The store of the console's tokens and of the audit log (the list of actions in the console)."""

    @property
    def opt_outs(self) -> OptOuts:
        """The store of the do-not-call list."""

    @property
    def number_claims(self) -> NumberClaims:
        """The store of the numbers that are being called now."""

    @property
    def releases(self) -> Releases:
        """The store of the decisions about canaries (new agent versions for a part of the callers)."""

    def claim(
        self, kind: str, key: str, *, ttl_s: float, now: datetime, value: str = "", call: CallUpdate | None = None
    ) -> ClaimResult:
        """Claims a key for `ttl_s` seconds, so that something is done only once. Returns whether the claim succeeded.
        While a claim is valid, every other claim of the same (kind, key) fails in all processes.

        The store keeps a hash of the key, and keeps `value` in plain text. If the claim succeeds, the update `call` is
        applied in the same transaction.
        """

    def admit(self, call: CallUpdate, limits: SharedLimits, *, now: datetime) -> bool:
        """Admits an inbound call if the limits of the called number allow another call. Returns whether the call is
        admitted. `call` is the update that creates the record of the call. The `number_key` of the update names the
        called number in the configuration. A call that was already admitted is admitted again. A call whose caller does
        not talk to the agent any more, for example after a transfer to a voicemail, does not count as a call in
        progress.
        """

    def release(self, kind: str, key: str, *, call_id: str | None = None) -> None:
        """Ends a claim that `claim` has made, before its time is over. The key can then be claimed again. `kind` and
        `key` are those of the claim. With `call_id`, also removes the call record that was created with the claim.
        """

    def note(self, news: Sequence[CallUpdate]) -> None:
        """Applies updates to call records, in the order of `news`."""

    def call(self, key: str) -> CallRecord | None:
        """Returns the record of a call, by its id or its `CallSid`. Returns None if there is no such call or if the
        text cannot be a key.
        """

    def calls(self, query: CallQuery) -> list[CallRecord]:
        """Returns the calls that match the query, the newest first: at most `query.limit` + 1 calls. The additional
        call shows that there is a next page.
        """

    def boundary(self, query: CallQuery) -> tuple[datetime, str] | None:
        """Returns where the search for one page of calls must stop, so it reads at most `query.scan` calls: the start
        time and the id of the last call that is read. Returns None if fewer calls are left. The result is the value for
        `CallQuery.until`.
        """

    def spent(self, since: datetime, now: datetime, subjects: Sequence[str] = ()) -> BudgetUsage:
        """Returns the minutes and the cost of the calls that began at `since` or later, in all processes together. With
        `subjects` (the hashes of the numbers of a phone), only calls with this phone are counted. A call in progress
        counts until `now`.
        """

    def last_update(self) -> datetime | None:
        """Returns the time of the newest update of any call record, or None if there is no call record."""

    def renew(self, process: str, *, ttl_s: float, now: datetime) -> bool:
        """Gives a process a lease until `now + ttl_s`. A process with a valid lease counts as alive. Returns whether
        the process had a valid lease before. The result is False for the first lease, and if the earlier lease had
        expired.
        """

    def is_alive(self, process: str, *, now: datetime) -> bool:
        """Returns whether the process with this name is alive (has a valid lease), so its calls may still be in
        progress.
        """

    def interrupt(self, now: datetime, *, announce: bool = False, shows_numbers: bool = False) -> int:
        """Registers that processes have died: removes expired leases, and sets the status of the open calls of
        processes without a lease to `interrupted`. With `announce`, webhook messages about these calls are written.
        With `shows_numbers`, the messages contain the full phone numbers. Returns the number of these calls.
        """

    def leave(self, process: str) -> None:
        """Removes the lease of a process (which shows that it is alive), because the process is about to end."""

    def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Removes the records of the calls that were last updated before `before`, and expired claims (keys that a
        process has claimed, so that something is done only once). With `dry_run`, removes nothing. Returns the ids of
        the calls.
        """

    def check(self) -> str:
        """Checks that the store can be used. Returns its name and version."""

    def close(self) -> None: ...
