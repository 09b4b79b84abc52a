"""Makes the calls of all campaigns in the database, in each process of a server. `policy` decides which call is due,
and `attempt_work` makes one call.

Every process searches for due contacts, marks them as queued, and puts one attempt for each contact into a queue. The
process that gets the attempt from the queue calls `CampaignStore.begin`. This single transaction checks the limits, the
hours and the do-not-call list, claims the number, and writes the attempt. After that the process asks Twilio for the
call. Therefore an attempt that is in the queue twice is made only once.

Each process holds a lease. If a process does not renew its lease, the other processes take over its attempts, and first
search for their calls at Twilio. A process that has lost its lease must not ask Twilio for calls. A process also takes
over its own attempts that it could not finish because of an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from realtime_core.sources import Sources

from ..errors import CampaignError, QueueUnavailable, RecordRefused, RecordsUnavailable
from ..outbound.dialer import Dialer
from ..outbound.opt_out_list import OptOutList
from ..records.client import RecordsClient
from .attempt_call import Speech
from .attempt_work import AttemptWork
from .campaign import Campaign, CampaignStatus
from .contact import Attempt, Contact
from .database_store import DatabaseStore
from .durable_queue import Queue
from .lease import Lease
from .policy import Hold, HoldReason, max_calls_at_once
from .queue_backoff import QueueBackoff
from .runner import Check
from .store_access import StoreAccess

__all__ = ["CampaignDialer"]

log = logging.getLogger(__name__)

TICK_S = 0.5
_IDLE_S = 1.0
_QUEUED_S = 60.0
"""The time in seconds after which a contact is queued again, if its attempt was lost in the queue."""
_LONGEST_WAIT_S = 2.0
"""The maximum time in seconds for which an attempt waits in the process until the rate of its campaign (`per_second`)
allows the call.
"""
_TRY_AGAIN_S = 10.0
"""The time in seconds after which a process tries again to finish an attempt that it could not finish because of an
error.
"""
_MAX_ERRORS = 5
"""The number of errors after which an attempt ends as failed."""


class CampaignDialer:
    """Makes the calls of the campaigns. The object is an async context manager. `start` begins the work.

    Args:
        store: The store of the campaigns.
        client: The client of the database.
        dialer: The object that places and follows the calls of this process.
        opt_outs: The do-not-call list.
        speech: A function that returns the `Speech` of a campaign. It raises `CampaignError` if this process does not
            know the agent of the campaign.
        check: A function that returns the check of a campaign, or None if the campaign has no check. The check is
            called before each call, and decides whether the call is still wanted.
        room: A function that returns how many more calls this process can take. Its argument is the number of campaign
            calls that this process makes now.
        sources: The wall clock and random tokens.
    """

    def __init__(
        self,
        store: DatabaseStore,
        client: RecordsClient,
        dialer: Dialer,
        opt_outs: OptOutList,
        *,
        speech: Callable[[Campaign], Speech],
        check: Callable[[Campaign], Check | None],
        room: Callable[[int], int],
        sources: Sources,
    ) -> None:
        self.queue: Queue | None = None
        """Where attempts are enqueued. Set it before `start`."""
        self.on_change: Callable[[Campaign, Attempt | None, Contact | None], None] = lambda *_: None
        """Called after each change of a contact by this process."""
        self._store = StoreAccess(store, client, lambda: self._draining)
        self._lease = Lease(client, sources)
        self._dialer = dialer
        self._speech = speech
        self._room = room
        self._sources = sources
        self._work = AttemptWork(
            self._store,
            client,
            self._lease,
            dialer,
            opt_outs,
            speech=speech,
            check=check,
            on_change=lambda *change: self.on_change(*change),
            is_draining=lambda: self._draining,
            sources=sources,
        )
        self._live: set[str] = set()
        self._unfinished: dict[str, tuple[int, float]] = {}
        """The attempts that this process could not finish because of errors: the number of errors, and when the process
        tries again."""
        self._backoff = QueueBackoff()
        self._idle = asyncio.Event()
        self._idle.set()
        self._beginning: dict[str, asyncio.Lock] = {}
        self._wake_up = asyncio.Event()
        self._draining = False
        self._unable: set[str] = set()
        self._adopting: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drain()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        await self._idle.wait()  # the calls of all attempts have been hung up
        await self._lease.leave()

    def start(self) -> None:
        """Starts the task that makes the calls of all running campaigns."""
        self._loop_task = asyncio.create_task(self._run(), name="campaigns")

    def drain(self) -> None:
        """Stops making new calls, because the process is draining. Calls in progress continue."""
        self._draining = True

    def search_now(self) -> None:
        """Searches now for contacts that can be called, because a campaign has changed."""
        self._wake_up.set()

    @property
    def live(self) -> int:
        """The number of attempts that are in progress in this process."""
        return len(self._live)

    @property
    def queue_error(self) -> str:
        """Why this process cannot use the queue of attempts (calls to contacts that must be made). The text is empty if
        the queue can be used.
        """
        return self._backoff.error

    # --- which attempts ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._wake_up.clear()
            is_idle = not self._live
            try:
                running = await self._store.ask(lambda store: store.running())
                is_idle = is_idle and not running
                if not is_idle:
                    await self._lease.renew()
                await self._take_over()
                await self._hang_up()
                if not self._draining and self._backoff.is_due(asyncio.get_running_loop().time()):
                    await self._plan(running)
            except (RecordsUnavailable, RecordRefused) as error:
                log.debug("Campaigns wait for the database: %s", error)  # the client has logged why
            try:
                async with asyncio.timeout(_IDLE_S if is_idle else TICK_S):
                    await self._wake_up.wait()
            except TimeoutError:
                pass

    async def _take_over(self) -> None:
        """Takes over the attempts of processes that have ended, and the attempts that this process could not finish."""
        left = await self._store.ask(lambda store: store.orphans(self._sources.now(), self._lease.owner))
        known = {attempt.id for _, attempt in left}
        self._unfinished = {each: at for each, at in self._unfinished.items() if each in known}
        for campaign_id, attempt in left:
            await self._lease.renew()
            errors, again_at = self._unfinished.get(attempt.id, (0, -math.inf))
            if attempt.id in self._live or not self._lease.is_held or asyncio.get_running_loop().time() < again_at:
                continue
            campaign = await self._store.ask(lambda store, id_=campaign_id: store.campaign(id_))  # type: ignore[misc]
            if campaign is None or not self._is_able(campaign):
                continue
            if await self._store.ask(lambda store, attempt=attempt: store.take_over(attempt, self._lease.owner)):  # type: ignore[misc]
                if attempt.owner != self._lease.owner:
                    log.warning("Attempt %s is taken over: its process has ended.", attempt.id)
                self._is_made(attempt.id)
                finish = self._work.adopt if errors < _MAX_ERRORS else self._work.give_up
                own_attempt = replace(attempt, owner=self._lease.owner)
                task = asyncio.create_task(self._worked(attempt.id, finish(campaign, own_attempt)))
                self._adopting.add(task)
                task.add_done_callback(self._adopting.discard)

    async def _hang_up(self) -> None:
        """Hangs up the calls of campaigns that were stopped twice."""
        if not self._live:
            return
        for attempt_id in await self._store.ask(lambda store: store.to_hang_up(self._lease.owner)):
            call = self._dialer.calls.get(attempt_id)
            if call is not None and not call.is_over and not call.cancelled:
                self._dialer.start_task(call.hang_up())

    async def _plan(self, running: Sequence[Campaign]) -> None:
        """Puts due contacts into the queue, up to the number that the limits allow. If the queue cannot be used, tries
        again after a pause.
        """
        if not running:
            return
        try:
            is_used = await self._fill_queue(running)
        except QueueUnavailable as error:
            if self._backoff.failed(asyncio.get_running_loop().time(), str(error)):
                log.error("No call of a campaign begins, because the queue of attempts cannot be used: %s", error)
        else:
            if is_used and self._backoff.succeeded():
                log.warning("The queue of attempts can be used again. Calls of campaigns begin.")

    async def _fill_queue(self, running: Sequence[Campaign]) -> bool:
        """Puts due contacts into the queue. Returns whether the queue was used: opened, or given an attempt."""
        assert self.queue is not None
        is_used = await self.queue.open()
        for campaign in running:
            now, id_ = self._sources.now(), campaign.id
            counts = await self._store.ask(lambda store, id_=id_, now=now: store.counts(id_, now))  # type: ignore[misc]
            if not counts.live and await self._store.ask(lambda store, id_=id_, now=now: store.finish(id_, now)):  # type: ignore[misc]
                self.on_change(replace(campaign, status=CampaignStatus.FINISHED), None, None)
                continue
            if not self._is_able(campaign):
                continue
            rate = math.ceil(campaign.config.per_second * TICK_S) + 1
            limit = min(max_calls_at_once(campaign.config, counts) - counts.live, self._room(len(self._live)), rate)
            if limit <= 0 or not self._lease.is_held:
                continue
            due = await self._store.ask(
                lambda store, id_=id_, n=limit, now=now: store.queue(id_, now, n, for_s=_QUEUED_S)  # type: ignore[misc]
            )
            for position in due:
                await self.queue.put(self._sources.token(12), id_, position)
                is_used = True
        return is_used

    def _is_able(self, campaign: Campaign) -> bool:
        """Returns whether this process can load the agent of the campaign."""
        try:
            self._speech(campaign)
        except CampaignError as error:
            if campaign.id not in self._unable:
                self._unable.add(campaign.id)
                log.error("This process cannot make the calls of campaign %s: %s", campaign.id, error)
            return False
        self._unable.discard(campaign.id)
        return True

    # --- one attempt -------------------------------------------------------------------------------------------------

    async def work(self, attempt_id: str, campaign_id: str, position: int) -> None:
        """Makes the attempt that the queue has given to this process, for the contact at `position` of the campaign.
        Does nothing if the attempt is in progress here, or if the store does not need the attempt any more.
        """
        if attempt_id in self._live:
            return
        self._is_made(attempt_id)
        await self._worked(attempt_id, self._from_queue(attempt_id, campaign_id, position))

    async def _from_queue(self, attempt_id: str, campaign_id: str, position: int) -> None:
        found = await self._store.persist(lambda store: store.to_call(attempt_id, campaign_id, position))
        if found is not None:
            await self._begin(attempt_id, *found)

    async def _worked(self, attempt_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Awaits the work on an attempt. If an error ends the work, `_take_over` tries again, so the attempt does not
        stay open.
        """
        try:
            await work
        except CampaignError as error:
            log.error("Attempt %s is not finished: %s", attempt_id, error)
            self._failed(attempt_id)
        except Exception:  # for example of the user's result type
            log.exception("Attempt %s is not finished.", attempt_id)
            self._failed(attempt_id)
        finally:
            self._is_over(attempt_id)

    def _failed(self, attempt_id: str) -> None:
        errors, _ = self._unfinished.get(attempt_id, (0, 0.0))
        self._unfinished[attempt_id] = errors + 1, asyncio.get_running_loop().time() + _TRY_AGAIN_S

    def _is_made(self, attempt_id: str) -> None:
        self._live.add(attempt_id)
        self._idle.clear()

    def _is_over(self, attempt_id: str) -> None:
        self._live.discard(attempt_id)
        if not self._live:
            self._idle.set()
        self._wake_up.set()

    async def _begin(self, attempt_id: str, campaign: Campaign, contact: Contact) -> None:
        campaign_id, contact_id = campaign.id, contact.id
        is_free = not self._draining and self._lease.is_held and self._room(len(self._live) - 1) > 0
        if not is_free or not self._is_able(campaign):
            await self._store.persist(lambda store: store.unqueue(campaign_id, contact_id))
            return
        rules = self._dialer.rules
        waits_until = asyncio.get_running_loop().time() + _LONGEST_WAIT_S
        async with self._beginning.setdefault(campaign_id, asyncio.Lock()):
            while True:
                if self._draining:
                    await self._store.persist(lambda store: store.unqueue(campaign_id, contact_id))
                    return
                now = self._sources.now()
                got = await self._store.persist(
                    lambda store, now=now: store.begin(  # type: ignore[misc]
                        campaign_id, contact_id, now, attempt_id=attempt_id, owner=self._lease.owner, rules=rules
                    )
                )
                if not isinstance(got, Hold) or got.reason is not HoldReason.PER_SECOND or got.until is None:
                    break
                pause_s = (got.until - now).total_seconds()
                if asyncio.get_running_loop().time() + pause_s > waits_until:
                    break
                await asyncio.sleep(max(0.0, pause_s))
        if isinstance(got, Attempt):
            await self._work.make(campaign, contact, got)
        elif not isinstance(got, Hold):
            changed = await self._store.persist(lambda store: store.contact(campaign_id, contact_id))
            self.on_change(campaign, None, changed)
