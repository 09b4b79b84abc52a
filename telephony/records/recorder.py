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
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from realtime_core.sources import SYSTEM, Sources

from ..errors import RecordsUnavailable
from ..settings import Settings
from . import Claimed, Records
from .memory import MemoryRecords
from .rows import CallNews, CallRow

__all__ = ["Recorder", "open_records"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_CLAIM_S = 1.0
"""A caller waits for it."""
_ANSWER_S = 3.0
_NOTE_S = 10.0
_CLOSE_S = 3.0
_AGAIN_S = 5.0
_MAX_WAITING = 10_000
_BATCH = 20
_THREADS = 4


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
        self._database = database
        self._memory = MemoryRecords()
        self._sources = sources
        self._again_s = again_s
        self._waiting: deque[CallNews] = deque()
        self._dropped = 0
        self._in_hand = 0
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads: ThreadPoolExecutor | None = None
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
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._database.close()

    @property
    def state(self) -> str:
        """`memory`, `ok` or `unavailable`."""
        return "memory" if self._database is None else "unavailable" if self.fault else "ok"

    @property
    def waiting(self) -> int:
        """How many notes about calls have not been written."""
        return len(self._waiting) + self._in_hand

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
        except RecordsUnavailable:
            return True

    async def reserve(self, kind: str, key: str, ttl_s: float, value: str, call: CallNews) -> Claimed:
        """Claim, leaving `value` for those who come later, and note `call` in the same step.

        Raises:
            RecordsUnavailable: the database is down.
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
        except RecordsUnavailable:
            log.error("An idempotency key stays used: %s", self.fault)

    # --- calls ---------------------------------------------------------------------------------------------------

    def note(self, key: str, *, begins: bool = True, **changes: Any) -> None:
        """Add to what is known of a call (see `CallNews`). Returns at once."""
        news = CallNews(key, self._sources.now(), begins, changes)
        self._memory.note([news])
        if self._database is None:
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(news)
        self._idle.clear()
        self._wanted.set()

    async def call(self, key: str) -> CallRow | None:
        """A call, by its id or its `CallSid`: as all processes know it, or, while the database is down, this one."""
        try:
            found = await self._ask(lambda it: it.call(key), _CLAIM_S)
        except RecordsUnavailable:
            found = None
        known = self._memory.call(key)
        if found is None or (known is not None and known.updated_at > found.updated_at):  # type: ignore[operator]
            return known
        return found

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
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within_s):
                return await loop.run_in_executor(self._threads, question, self._database)
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
        was_down = bool(self.fault)
        try:
            await self._ask_anyway(lambda it: it.check(), _ANSWER_S)
        except RecordsUnavailable:
            return
        self.fault = ""
        if was_down:
            log.warning("The records can be used again; %d notes about calls wait, %d were dropped.",
                        len(self._waiting), self._dropped)  # fmt: skip
            self._dropped = 0

    async def _write(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self.fault:
                await asyncio.sleep(self._again_s)
                await self._try()
            while self._waiting and not self.fault:
                await self._write_some()
            if not self._waiting:
                self._idle.set()

    async def _write_some(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        self._in_hand = len(batch)
        try:
            await self._ask(lambda it: it.note(batch), _NOTE_S)
        except RecordsUnavailable:
            self._waiting.extendleft(reversed(batch))  # noting something twice changes nothing
        finally:
            self._in_hand = 0
