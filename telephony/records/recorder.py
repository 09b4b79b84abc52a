"""The records as the application uses them: off the event loop, bounded, and answered when the database is down.

What a database that is down does to calls: nothing. Each kind of question has its answer:

- A *stream token* is claimed in this process's memory, and with one error in the log the stream is let in. Such a
  token is still signed by us, not expired, and bound to the CallSid of a webhook that Twilio signed; what is lost, for
  as long as the database is down, is that another process could know of its use. Whoever replays it needs Twilio's
  signature on the upgrade, too.
- An *idempotency key* is refused (`RecordsUnavailable`; the API answers 503, to be asked again): whoever sends one
  asks above all that nobody is called twice, and without the records that cannot be promised. Calls without a key are
  placed.
- What is to be *noted* of calls waits, up to a bound, and is written when the database is back.
- What this process has noted itself, it goes on knowing.

One record that the database refuses stops nothing: it is logged and dropped, and the next one is written. So is a
record that fails again and again while the database answers everything else.

The process holds a lease, which it renews. Where it does not (it has ended, or is frozen), the other processes give its
open calls the status `interrupted`. If it goes on later, it finds its lease gone and notes its live calls again
(`on_lease_lost`). Leases are dated by the machines' clocks: these may differ by `LEASE_S - 2 * RENEW_S` (40 s) before a
process that lives seems to have ended, and then its calls come back with its next renewal. After an outage of the
database a process renews twice before it judges others, so that all can renew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime_core.sources import SYSTEM, Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..settings import Settings
from . import Claimed, Records
from .memory import MemoryRecords
from .rows import CallNews, CallRow, added
from .storable import is_key

__all__ = ["LEASE_S", "RENEW_S", "Recorder", "open_records"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_CLAIM_S = 1.0
"""A caller waits for it."""
_ANSWER_S = 3.0
_NOTE_S = 10.0
_CLOSE_S = 3.0
_AGAIN_S = 5.0
LEASE_S = 60.0
"""So long after its last renewal a process counts as alive."""
RENEW_S = 10.0
_MAX_WAITING = 10_000
_BATCH = 20
_THREADS = 4
_SINGLY_AFTER = 2
"""So many times a batch may fail; then its notes are written one by one."""
_MAX_ATTEMPTS = 5
"""So many times in a row one note may fail while the database answers; then it is dropped."""


def open_records(settings: Settings) -> Records | None:
    """The database that DATABASE_URL names; nothing is asked of it yet. None: none is named.

    Raises:
        SettingsError: its driver is not installed.
    """
    if settings.database_url is None:
        return None
    from .database import DatabaseRecords

    return DatabaseRecords(settings.database_url.get_secret_value())


class Recorder:
    """An async context manager. `database` None: this process's memory is all there is."""

    def __init__(
        self, database: Records | None = None, *, sources: Sources = SYSTEM, again_s: float = _AGAIN_S
    ) -> None:
        self.fault = ""
        """Why the database cannot be used; empty while it can."""
        self.process = "" if database is None else sources.token(8)
        """The id of this process's lease; empty without a database."""
        self.on_lease_lost: Callable[[], None] = lambda: None
        """Told when the lease had run out: other processes may have called this process's calls interrupted."""
        self.dropped = 0
        """How many notes about calls were dropped: refused by the database, or too many to keep."""
        self._database = database
        self._memory = MemoryRecords()
        self._sources = sources
        self._again_s = again_s
        self._waiting: deque[CallNews] = deque()
        self._attempts = 0
        self._in_hand: list[CallNews] = []
        self._has_lease = False
        self._renew_at = 0.0
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads: ThreadPoolExecutor | None = None
        self._asked: set[Future[Any]] = set()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._database is not None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="records")
            await self._try()
            self._writer = asyncio.create_task(self._write(), name="records")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is None or self._database is None or self._threads is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._idle.wait()
        except TimeoutError:
            log.error("%d notes about calls could not be written.", self.waiting)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        with suppress(RecordsUnavailable, RecordRefused):  # else the lease runs out
            await self._ask(lambda it: it.leave(self.process), _CLAIM_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if asked := [asyncio.wrap_future(each) for each in tuple(self._asked)]:
            await asyncio.wait(asked, timeout=_CLOSE_S)  # each has a connection, which it gives back
        self._database.close()

    @property
    def state(self) -> str:
        """`memory`, `ok` or `unavailable` (no database answers, or its writer does not run)."""
        if self._database is None:
            return "memory"
        is_writing = self._writer is not None and not self._writer.done()
        return "ok" if is_writing and not self.fault else "unavailable"

    @property
    def waiting(self) -> int:
        """How many notes about calls have not been written."""
        return len(self._waiting) + len(self._in_hand)

    # --- claims --------------------------------------------------------------------------------------------------

    async def claim(self, kind: str, key: str, ttl_s: float) -> bool:
        """True once for each (kind, key) over all processes; while the database is down, over this one."""
        now = self._sources.now()
        if not self._memory.claim(kind, key, ttl_s=ttl_s, now=now).first:
            return False
        if self._database is None:
            return True
        try:
            return (await self._ask(lambda it: it.claim(kind, key, ttl_s=ttl_s, now=now), _CLAIM_S)).first
        except (RecordsUnavailable, RecordRefused):
            return True

    async def reserve(self, kind: str, key: str, ttl_s: float, value: str, call: CallNews) -> Claimed:
        """Claim, leaving `value` for those who come later, and note `call` in the same step.

        Raises:
            RecordsUnavailable: the database is down.
            RecordRefused: the database refuses the call.
        """
        now = self._sources.now()
        claimed = await self._ask(lambda it: it.claim(kind, key, ttl_s=ttl_s, now=now, value=value, call=call))
        if claimed.first and self._database is not None:
            self._memory.note([call])
        return claimed

    async def release(self, kind: str, key: str, call_id: str) -> None:
        """What was reserved has not been done."""
        self._memory.release(kind, key, call_id=call_id)
        try:
            await self._ask(lambda it: it.release(kind, key, call_id=call_id))
        except (RecordsUnavailable, RecordRefused) as error:
            log.error("An idempotency key stays used: %s", error)

    # --- calls ---------------------------------------------------------------------------------------------------

    def note(self, key: str, *, begins: bool = True, held_by: str = "", **changes: Any) -> None:
        """Add to what is known of a call (see `CallNews`). Returns at once."""
        if not is_key(key):
            log.warning("A note about a call is dropped: %.100r is no id of a call.", key)
            return
        news = CallNews(key, self._sources.now(), begins, changes, held_by)
        self._memory.note([news])
        if self._database is None:
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(news)
        self._idle.clear()
        self._wanted.set()

    async def call(self, key: str) -> CallRow | None:
        """A call, by its id or its `CallSid`: as all processes know it, with what this one has still to write. While
        the database is down: as this process knows it."""
        if not is_key(key):
            return None
        try:
            found = await self._ask(lambda it: it.call(key), _CLAIM_S)
        except (RecordsUnavailable, RecordRefused):
            found = None
        if found is None:
            return self._memory.call(key)
        for news in (*self._in_hand, *self._waiting):
            if news.key in (found.id, found.sid):
                found = added(found, news) or found
        return found

    async def is_alive(self, process: str) -> bool:
        """Does this process hold a lease? True also while the database is down, and nothing can be said."""
        now = self._sources.now()
        try:
            return await self._ask(lambda it: it.is_alive(process, now=now), _CLAIM_S)
        except (RecordsUnavailable, RecordRefused):
            return True

    async def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Raises `RecordsUnavailable`."""
        return await self._ask(lambda it: it.purge(before, dry_run=dry_run), 60.0)

    # --- the database --------------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[Records], _T], within_s: float = _ANSWER_S) -> _T:
        """Raises `RecordsUnavailable`: at once where the database is known to be down."""
        if self._database is None or self._threads is None:
            return question(self._memory)
        if self.fault:
            raise RecordsUnavailable(self.fault)
        return await self._ask_anyway(question, within_s)

    async def _ask_anyway(self, question: Callable[[Records], _T], within_s: float) -> _T:
        assert self._database is not None
        assert self._threads is not None
        asked = self._threads.submit(question, self._database)
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.wrap_future(asked)
        except TimeoutError:
            fault = f"it did not answer within {within_s:g} s"
        except RecordsUnavailable as error:
            fault = str(error)
        if not self.fault:
            log.error("The records cannot be used, and calls go on without: %s", fault)
        self.fault = fault
        self._wanted.set()
        raise RecordsUnavailable(fault)

    async def _try(self) -> None:
        """Is it there (again)?"""
        was_down, now = bool(self.fault), self._sources.now()

        def check(records: Records) -> bool:
            records.check()
            return records.renew(self.process, ttl_s=LEASE_S, now=now)

        try:
            held = await self._ask_anyway(check, _ANSWER_S)
        except RecordsUnavailable:
            return
        except RecordRefused as error:
            self.fault = str(error)
            return
        self.fault = ""
        if was_down:
            log.warning("The records can be used again; %d notes about calls wait, %d were dropped.",
                        len(self._waiting), self.dropped)  # fmt: skip
        self._renewed(held)

    async def _write(self) -> None:
        while True:
            try:
                await self._write_what_waits()
            except Exception as error:
                log.exception("The records' writer failed. This is a defect; the writer goes on.")
                self.fault = self.fault or f"the writer failed: {type(error).__name__}"
                self._wanted.set()

    async def _write_what_waits(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._renew_at):
                await self._wanted.wait()
        self._wanted.clear()
        while self.fault:
            await asyncio.sleep(self._again_s)
            await self._try()
        while self._waiting and not self.fault:
            if loop.time() >= self._renew_at:
                await self._renew()
            await self._write_some()
        if not self._waiting:
            self._idle.set()
        if loop.time() >= self._renew_at and not self.fault:
            await self._renew()

    async def _write_some(self) -> None:
        size = _BATCH if self._attempts < _SINGLY_AFTER else 1
        batch = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
        self._in_hand = list(batch)
        try:
            await self._ask(lambda it: it.note(batch), _NOTE_S)
            self._attempts = 0
        except RecordsUnavailable as error:
            self._attempts += 1
            if self._attempts >= _MAX_ATTEMPTS:
                self._drop(batch.pop(0), str(error))
            self._waiting.extendleft(reversed(batch))  # noting something twice changes nothing
        except RecordRefused as error:
            self._refused(batch, str(error))
        except Exception as error:
            log.exception("Notes about calls could not be written. This is a defect; one of them is dropped.")
            self._refused(batch, type(error).__name__)
        finally:
            self._in_hand = []

    def _refused(self, batch: list[CallNews], why: str) -> None:
        """One of the notes is to blame: from now on they are written one by one, and the one that fails is dropped."""
        self._attempts = max(self._attempts, _SINGLY_AFTER)
        if len(batch) == 1:
            self._drop(batch.pop(), why)
        self._waiting.extendleft(reversed(batch))

    def _drop(self, news: CallNews, why: str) -> None:
        self.dropped += 1
        self._attempts = 0
        log.error("A note about call %s (%s) is dropped, for the database does not take it: %s",
                  news.key, ", ".join(news.changes), why)  # fmt: skip

    # --- the lease -----------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        now = self._sources.now()
        try:
            self._renewed(await self._ask(lambda it: it.renew(self.process, ttl_s=LEASE_S, now=now)))
            if self._has_lease:
                await self._ask(lambda it: it.interrupt(now))
        except (RecordsUnavailable, RecordRefused) as error:
            self.fault = self.fault or str(error)
            self._has_lease = False
            self._wanted.set()

    def _renewed(self, held: bool) -> None:
        """`held`: without a break since the last time. Only then are the leases of others judged."""
        self._has_lease = held
        self._renew_at = asyncio.get_running_loop().time() + RENEW_S
        if not held:
            self.on_lease_lost()
