"""Reads and writes the records (see `telephony.records`) for the application. Calls do not wait for the database, and
continue while the database cannot be reached.

While the database cannot be reached:

- A *stream token* is claimed only in the memory of this process, and the stream is admitted. One error is logged. The
  token must still have a valid signature, must not be expired, and is bound to the CallSid of a webhook that Twilio
  signed. The only risk is that a token that was used in one process is used again in another process. This would also
  need Twilio's signature on the upgrade.
- A request with an *idempotency key* is refused (`RecordsUnavailable`, and the API responds with 503). The key must
  prevent a second call, and this cannot be guaranteed without the database. Requests without a key are accepted.
- *Updates* of call records wait in a bounded queue. They are written when the database can be reached again.
- This process still knows its own updates.

If the database refuses one record, the record is logged and dropped, and the next record is written. A record that
fails repeatedly while the database answers other requests is also dropped.

The process holds a lease and renews the lease. If a process stops renewing its lease because the process has ended or
is suspended, the other processes set its open calls to `interrupted`. If the process continues later, the process
detects that its lease has expired and writes its live calls again (`on_lease_lost`). Leases use the clocks of the
machines. The clocks may differ by `LEASE_S - 2 * RENEW_S` (40 s) before the lease of a live process seems to have
expired. The next renewal then restores its calls. After an outage of the database, a process renews its lease twice
before it checks the leases of other processes, so all processes have time to renew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime_core.sources import SYSTEM, Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..task_owner import ignore_exception
from . import ClaimResult, Records
from .access import AccessStore
from .budget import BudgetUsage, SharedLimits
from .call_query import CallPage, CallQuery, page_of
from .call_record import CallRecord, CallUpdate, updated
from .memory import MemoryRecords
from .outbox import Outbox
from .storable import is_key
from .subjects import SubjectKey, check_key

__all__ = ["LEASE_S", "RENEW_S", "RecordsClient"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_CLAIM_S = 1.0
"""The time limit of a claim in seconds. A caller waits during this time."""
_QUERY_S = 3.0
_WRITE_S = 10.0
_CLOSE_S = 3.0
_RETRY_S = 5.0
LEASE_S = 60.0
"""The time in seconds for which a process counts as alive after it renewed its lease."""
RENEW_S = 10.0
_MAX_WAITING = 10_000
_BATCH = 20
_THREADS = 4
_SINGLE_AFTER = 2
"""The number of failures of a batch after which its updates are written one by one."""
_MAX_ATTEMPTS = 5
"""The number of failures in a row after which an update is dropped, if the database answers other requests."""


class RecordsClient:
    """Reads and writes call records and other shared data for one process. All times are in UTC. The object is an async
    context manager.

    Without a `database`, the data is only in the memory of this process.
    """

    def __init__(
        self, database: Records | None = None, *, sources: Sources = SYSTEM, retry_s: float = _RETRY_S
    ) -> None:
        self.fault = ""
        """Why the database cannot be used. Empty while the database can be used."""
        self.process = "" if database is None else sources.token(8)
        """The id of this process and of its lease in the database. Empty without a database."""
        self.on_lease_lost: Callable[[], None] = lambda: None
        """Called when the lease of this process had expired. Other processes may then have set the status of the calls
        of this process to `interrupted`.
        """
        self.announces = False
        """Whether messages about ended calls are written for webhooks."""
        self.shows_numbers = False
        """Whether the messages about ended calls contain the full number of the other party."""
        self.on_announced: Callable[[], None] = lambda: None
        """Called when this process has written a message about an ended call."""
        self.dropped = 0
        """The number of updates that were dropped, because the database refused the update or the queue was full."""
        self._database = database
        self._memory = MemoryRecords()
        self._sources = sources
        self._retry_s = retry_s
        self._waiting: deque[CallUpdate] = deque()
        self._attempts = 0
        self._in_progress: list[CallUpdate] = []
        self._has_lease = False
        self._renew_at = 0.0
        self._wake_up = asyncio.Event()
        self._progress = asyncio.Condition()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads: ThreadPoolExecutor | None = None
        self._jobs: set[asyncio.Future[Any]] = set()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._database is not None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="records")
            await self._reconnect()
            self._writer = asyncio.create_task(self._write_updates(), name="records")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is None or self._database is None or self._threads is None:
            return
        if not await self.flush(_CLOSE_S):
            log.error("%d updates of call records could not be written.", self.waiting)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        with suppress(RecordsUnavailable, RecordRefused):  # the lease runs out by itself
            await self._run(lambda records: records.leave(self.process), _CLAIM_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._jobs:
            await asyncio.wait(tuple(self._jobs), timeout=_CLOSE_S)  # each job returns its database connection
        self._database.close()

    @property
    def database(self) -> Records | None:
        """The database, or None if there is no database (call records are then only in the memory of this process)."""
        return self._database

    @property
    def state(self) -> str:
        """The state of the database: `ok`, `unavailable` (it does not answer, or the task that writes updates does not
        run), or `memory` if there is no database.
        """
        if self._database is None:
            return "memory"
        is_writing = self._writer is not None and not self._writer.done()
        return "ok" if is_writing and not self.fault else "unavailable"

    @property
    def waiting(self) -> int:
        """The number of updates that have not been written to the database."""
        return len(self._waiting) + len(self._in_progress)

    # --- claims --------------------------------------------------------------------------------------------------

    async def claim(self, kind: str, key: str, ttl_s: float) -> bool:
        """Claims a key for `ttl_s` seconds, so that something is done only once. Returns True for the first claim of
        (kind, key) in all processes together. While the database cannot be reached, returns True for the first claim in
        this process.
        """
        now = self._sources.now()
        if not self._memory.claim(kind, key, ttl_s=ttl_s, now=now).first:
            return False
        if self._database is None:
            return True
        try:
            return (await self._run(lambda records: records.claim(kind, key, ttl_s=ttl_s, now=now), _CLAIM_S)).first
        except (RecordsUnavailable, RecordRefused):
            return True

    async def reserve(self, kind: str, key: str, ttl_s: float, value: str, call: CallUpdate) -> ClaimResult:
        """Claims a key for `ttl_s` seconds, so that a call is made only once. Stores `value` for later claims of the
        key, and applies the update `call` in the same transaction. Returns whether the claim succeeded, with the stored
        value (see `ClaimResult`).

        Raises:
            RecordsUnavailable: the database cannot be reached.
            RecordRefused: the database refuses the record of the call.
        """
        now = self._sources.now()
        claimed = await self._run(lambda it: it.claim(kind, key, ttl_s=ttl_s, now=now, value=value, call=call))
        if claimed.first and self._database is not None:
            self._memory.note([call])
        return claimed

    async def admit(self, call: CallUpdate, limits: SharedLimits) -> bool:
        """Records an inbound call if the limits of its number allow the call (see `Records.admit`). Calls of this
        process that have ended but whose end has not been written do not count. Returns whether the call is admitted.

        Raises:
            RecordsUnavailable: the database cannot be reached.
            RecordRefused: the database refuses the record of the call.
        """

        async def ask() -> bool:
            return await self._run(lambda it: it.admit(call, limits, now=call.at), _CLAIM_S)

        if not (admitted := await ask()) and self.waiting:
            await self.written()
            admitted = await ask()
        if admitted and self._database is not None:
            self._memory.note([call])
        return admitted

    async def release(self, kind: str, key: str, call_id: str) -> None:
        """Removes the claim on a key, such as the idempotency key of a request (which prevents a second call), because
        the call of this request was not made. The key can then be used again. `kind` is the kind of the key, and
        `call_id` is the id of the call.
        """
        self._memory.release(kind, key, call_id=call_id)
        try:
            await self._run(lambda records: records.release(kind, key, call_id=call_id))
        except (RecordsUnavailable, RecordRefused) as error:
            log.error("An idempotency key could not be released and stays used: %s", error)

    # --- calls ---------------------------------------------------------------------------------------------------

    def note(
        self,
        key: str,
        *,
        begins: bool = True,
        held_by: str = "",
        announce_s: float | None = None,
        **changes: Any,
    ) -> None:
        """Changes fields of the record of the call whose id or `CallSid` is `key`. Returns immediately. If the call is
        not known, a new record is created, unless `begins` is False. With `held_by`, the id of a process, the change
        applies only while this process handles the call. With `announce_s`, a webhook message about the ended call is
        sent after this number of seconds, if the attribute `announces` of this object is True.
        """
        if not is_key(key):
            log.warning("An update of a call record is dropped: %.100r is not the id of a call.", key)
            return
        announce_s = announce_s if self.announces else None
        update = CallUpdate(key, self._sources.now(), begins, changes, announce_s, self.shows_numbers, held_by)
        self._memory.note([update if self._database is None else replace(update, announce_s=None)])
        if self._database is None:
            if announce_s is not None:
                self.on_announced()
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(update)
        self._idle.clear()
        self._wake_up.set()

    async def written(self) -> None:
        """Waits until all earlier updates are in the database, for at most one second. Does not wait while the database
        cannot be reached.
        """
        awaited = {id(update) for update in (*self._in_progress, *self._waiting)}

        def done() -> bool:
            return bool(self.fault) or awaited.isdisjoint(id(update) for update in (*self._in_progress, *self._waiting))

        with suppress(TimeoutError):
            async with asyncio.timeout(_CLAIM_S), self._progress:
                await self._progress.wait_for(done)

    async def call(self, key: str) -> CallRecord | None:
        """Returns the record of a call, by its id or its `CallSid`, including the updates that wait in this process.
        While the database cannot be reached, returns only what this process knows about the call.
        """
        if not is_key(key):
            return None
        before = self._unwritten
        try:
            found = await self._run(lambda records: records.call(key), _CLAIM_S)
        except (RecordsUnavailable, RecordRefused):
            return self._memory.call(key)
        if found is not None:
            return self._newest(found)
        known = self._memory.call(key)  # without an update that waits, the record was deleted
        is_new = known is not None and any(update.key in (known.id, known.sid) for update in before)
        return known if self._database is None or is_new else None

    async def calls(self, query: CallQuery) -> CallPage:
        """Returns the calls that match the query, the newest first.

        Raises:
            RecordsUnavailable: the database cannot be reached.
        """

        def ask(records: Records) -> CallPage:
            wanted = replace(query, until=records.boundary(query)) if query.scan else query
            return page_of(records.calls(wanted), wanted)

        page = await self._run(ask)
        return CallPage([self._newest(row) for row in page.calls], page.cursor)

    @property
    def _unwritten(self) -> tuple[CallUpdate, ...]:
        return *self._in_progress, *self._waiting

    def _newest(self, row: CallRecord) -> CallRecord:
        """Returns the record with the updates that wait in this process."""
        for update in self._unwritten:
            if update.key in (row.id, row.sid):
                row = updated(row, update) or row
        return row

    async def spent(self, since: datetime, now: datetime, subjects: Sequence[str] = ()) -> BudgetUsage:
        """Returns the minutes and the cost of the calls that began at `since` or later, in all processes together. With
        `subjects` (the hashes of the numbers of a phone), only calls with this phone are counted. A call in progress
        counts until `now`. Raises `RecordsUnavailable` if the database cannot be reached.
        """
        return await self._run(lambda records: records.spent(since, now, subjects), _CLAIM_S)

    async def check_key(self, key: SubjectKey) -> None:
        """Logs an error if the database contains hashes of phone numbers that were made with another key. In this case,
        calls cannot be found by their phone numbers.
        """
        if self._database is None:
            return
        if not key.is_kept:
            log.warning("TELEPHONY_DATA_DIR is off, so numbers are hashed with a key of this process. Later, calls "
                        "cannot be found by their numbers: set TELEPHONY_NUMBER_KEY.")  # fmt: skip
            return
        now = self._sources.now()
        try:
            is_ours = await self._run(lambda records: check_key(records, key, now), _CLAIM_S)
        except (RecordsUnavailable, RecordRefused):
            return
        if not is_ours:
            log.error("The call records have hashes of another TELEPHONY_NUMBER_KEY. `calls erase` and filters by "
                      "number do not find all calls: give all processes the same key.")  # fmt: skip

    async def is_alive(self, process: str) -> bool:
        """Returns whether the process with the name `process` is alive (has a valid lease). Also returns True if the
        database cannot be reached, because the answer is unknown.
        """
        now = self._sources.now()
        try:
            return await self._run(lambda records: records.is_alive(process, now=now), _CLAIM_S)
        except (RecordsUnavailable, RecordRefused):
            return True

    async def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Removes the records of the calls that were last updated before `before`, and returns the ids of the calls.
        With `dry_run`, removes nothing. Raises `RecordsUnavailable` if the database cannot be reached.
        """
        return await self._run(lambda records: records.purge(before, dry_run=dry_run), 60.0)

    async def flush(self, within_s: float) -> bool:
        """Waits until all updates are written. Returns False if this takes longer than `within_s` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # --- the outbox ----------------------------------------------------------------------------------------------

    async def outbox(self, query: Callable[[Outbox], _T]) -> _T:
        """Runs `query` with the outbox (the messages for webhooks) in a worker thread, and returns the result of the
        query. Raises `RecordsUnavailable` if the database cannot be reached.
        """
        return await self._run(lambda records: query(records.outbox))

    async def query(self, query: Callable[[Records], _T]) -> _T:
        """Runs `query` with the store of the call records in a worker thread, for a short query for which a caller
        waits. Returns the result of the query. Raises `RecordsUnavailable` and `RecordRefused`.
        """
        return await self._run(query, _CLAIM_S)

    async def access(self, query: Callable[[AccessStore], _T]) -> _T:
        """Runs `query` with the store of the tokens and the audit log in a worker thread, and returns the result of the
        query. Raises `RecordsUnavailable` if the database cannot be reached.
        """
        return await self._run(lambda records: query(records.access), _CLAIM_S)

    async def ask(self, query: Callable[[Records], _T], within_s: float | None = None) -> _T:
        """Runs `query` with the store of the call records in a worker thread, and returns the result of the query.
        `within_s` is the time limit in seconds. Raises `RecordsUnavailable`, or `RecordRefused` for a value that the
        database refuses.
        """
        return await self._run(query, within_s)

    # --- the database --------------------------------------------------------------------------------------------

    async def _run(self, query: Callable[[Records], _T], within_s: float | None = None) -> _T:
        """Runs `query` in a thread. Raises `RecordsUnavailable`. Raises immediately if the database is known to be
        unreachable.
        """
        if self._database is None or self._threads is None:
            return query(self._memory)
        if self.fault:
            raise RecordsUnavailable(self.fault)
        return await self._run_in_thread(query, _QUERY_S if within_s is None else within_s)

    async def _run_in_thread(self, query: Callable[[Records], _T], within_s: float) -> _T:
        assert self._database is not None
        assert self._threads is not None
        job = asyncio.get_running_loop().run_in_executor(self._threads, query, self._database)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        job.add_done_callback(ignore_exception)  # a query that fails after its time limit is not awaited any more
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(job)  # a query that takes too long still returns its connection
        except TimeoutError:
            fault = f"it did not answer within {within_s:g} s"
        except RecordsUnavailable as error:
            fault = str(error)
        if not self.fault:
            log.error("The database cannot be used, and calls continue without it: %s", fault)
        self.fault = fault
        self._wake_up.set()
        raise RecordsUnavailable(fault)

    async def _reconnect(self) -> None:
        """Checks whether the database can be used again."""
        was_down, now = bool(self.fault), self._sources.now()

        def check(records: Records) -> bool:
            records.check()
            return records.renew(self.process, ttl_s=LEASE_S, now=now)

        try:
            held = await self._run_in_thread(check, _QUERY_S)
        except RecordsUnavailable:
            return
        except RecordRefused as error:
            self.fault = str(error)
            return
        self.fault = ""
        if was_down:
            log.warning("The database can be used again: %d updates wait, %d were dropped.",
                        len(self._waiting), self.dropped)  # fmt: skip
        self._renewed(held)

    async def _write_updates(self) -> None:
        while True:
            try:
                await self._write_waiting()
            except Exception as error:
                log.exception(
                    "Updates of call records could not be written. This is a defect. The next updates are written."
                )
                self.fault = self.fault or f"the writer failed: {type(error).__name__}"
                self._wake_up.set()

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._renew_at):
                await self._wake_up.wait()
        self._wake_up.clear()
        while self.fault:
            await asyncio.sleep(self._retry_s)
            await self._reconnect()
        while self._waiting and not self.fault:
            if loop.time() >= self._renew_at:
                await self._renew()
            await self._write_batch()
        if not self._waiting:
            self._idle.set()
        if loop.time() >= self._renew_at and not self.fault:
            await self._renew()

    async def _write_batch(self) -> None:
        size = _BATCH if self._attempts < _SINGLE_AFTER else 1
        batch = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
        self._in_progress = list(batch)
        try:
            await self._run(lambda records: records.note(batch), _WRITE_S)
            self._attempts = 0
            if any(each.announce_s is not None for each in batch):
                self.on_announced()
        except RecordsUnavailable as error:
            self._attempts += 1
            if self._attempts >= _MAX_ATTEMPTS:
                self._drop(batch.pop(0), str(error))
            self._waiting.extendleft(reversed(batch))  # applying an update twice changes nothing
        except RecordRefused as error:
            self._refused(batch, str(error))
        except Exception as error:
            log.exception("Updates of call records could not be written. This is a defect; one of them is dropped.")
            self._refused(batch, type(error).__name__)
        finally:
            self._in_progress = []
            async with self._progress:
                self._progress.notify_all()

    def _refused(self, batch: list[CallUpdate], why: str) -> None:
        """Handles a batch with an invalid update: writes the updates one by one, and drops the update that fails."""
        self._attempts = max(self._attempts, _SINGLE_AFTER)
        if len(batch) == 1:
            self._drop(batch.pop(), why)
        self._waiting.extendleft(reversed(batch))

    def _drop(self, update: CallUpdate, why: str) -> None:
        self.dropped += 1
        self._attempts = 0
        log.error("An update of call record %s (%s) is dropped, because the database refuses it: %s",
                  update.key, ", ".join(update.changes), why)  # fmt: skip

    # --- the lease -----------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        now = self._sources.now()
        try:
            self._renewed(await self._run(lambda records: records.renew(self.process, ttl_s=LEASE_S, now=now)))
            if self._has_lease:
                await self._run(
                    lambda records: records.interrupt(now, announce=self.announces, shows_numbers=self.shows_numbers)
                )
        except (RecordsUnavailable, RecordRefused) as error:
            self.fault = self.fault or str(error)
            self._has_lease = False
            self._wake_up.set()

    def _renewed(self, held: bool) -> None:
        """Handles a renewal of the lease. `held` is True if the lease has not expired since the last renewal. Only then
        this process checks the leases of other processes.
        """
        self._has_lease = held
        self._renew_at = asyncio.get_running_loop().time() + RENEW_S
        if not held:
            self.on_lease_lost()
