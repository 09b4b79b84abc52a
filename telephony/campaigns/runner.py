"""Runs one campaign in this process, with a store that does not block. `policy` decides the next action, and this
module executes the action.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from realtime_core.sources import Sources

from ..errors import CallRefused
from ..outbound.dialer import Dialer
from ..outbound.placed_call import PlacedCall
from .attempt_call import AttemptCall, Speech
from .campaign import Campaign, CampaignStatus
from .contact import Attempt, Contact, DoneReason
from .policy import Hold
from .store import CampaignStore

__all__ = ["CampaignRunner", "Check"]

log = logging.getLogger(__name__)

_BATCH = 100
_LOOK_AGAIN = timedelta(minutes=1)
_CHECK_AGAIN = timedelta(minutes=5)

Check = Callable[[Contact], Awaitable[bool]]
"""A function that returns whether the call to a contact is still wanted. If the function raises an exception, the call
is not made now, and the function is called again later.
"""


class CampaignRunner:
    """Runs a campaign until every contact is done, or until the campaign is paused or stopped. `on_change` is called
    after each change of a contact. If no call is in progress, `when_idle` is called before each wait, with the time at
    which the wait ends.
    """

    def __init__(
        self,
        store: CampaignStore,
        campaign_id: str,
        dialer: Dialer,
        speech: Speech,
        *,
        sources: Sources,
        check: Check | None = None,
        on_change: Callable[[Contact, Attempt | None], None] = lambda contact, attempt: None,
        when_idle: Callable[[datetime], None] = lambda until: None,
    ) -> None:
        self._store = store
        self._id = campaign_id
        self._dialer = dialer
        self._speech = speech
        self._sources = sources
        self._check = check
        self._on_change = on_change
        self._when_idle = when_idle
        self._changed = asyncio.Event()
        self._draining = False
        self._live: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> Campaign:
        """Runs the campaign until it is finished, paused, stopped or drained, and no call is in progress. Returns the
        campaign."""
        self._store.set_status(self._id, CampaignStatus.RUNNING, self._sources.now())
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now, held = self._sources.now(), None
                if not self._draining and self._campaign.status is CampaignStatus.RUNNING:
                    held = self._begin_due(now, group)
                runs = not self._draining and self._campaign.status is CampaignStatus.RUNNING
                if not self._live and not runs:
                    break
                wake_at = self._wake_at(held) if runs else None
                if wake_at is None and not self._live:
                    self._store.set_status(self._id, CampaignStatus.FINISHED, self._sources.now())
                    break
                await self._wait(wake_at)
        return self._campaign

    def drain(self) -> None:
        """Starts no further call. `run` then returns when the live calls are over."""
        self._draining = True
        self._changed.set()

    async def hang_up(self) -> None:
        """Starts no further call, and hangs up the live calls."""
        self.drain()
        await asyncio.gather(*(call.hang_up() for call in self._dialer.live))

    # -----------------------------------------------------------------------------------------------------------------

    @property
    def _campaign(self) -> Campaign:
        campaign = self._store.campaign(self._id)
        assert campaign is not None
        return campaign

    def _begin_due(self, now: datetime, group: asyncio.TaskGroup) -> Hold | None:
        """Starts attempts until no contact is due or the campaign must not start a call. In the second case returns the
        reason.
        """
        rules = self._dialer.rules
        while due := self._store.due(self._id, now, _BATCH):
            for contact in due:
                attempt_id = self._sources.token(12)
                got = self._store.begin(self._id, contact.id, now, attempt_id=attempt_id, owner="", rules=rules)
                if isinstance(got, Hold):
                    return got
                if isinstance(got, Attempt):
                    task = group.create_task(self._attempt(contact, got), name=f"attempt {attempt_id}")
                    self._live[attempt_id] = task
                elif (changed := self._store.contact(self._id, contact.id)) is not None:
                    self._on_change(changed, None)
        return None

    def _wake_at(self, held: Hold | None) -> datetime | None:
        """Returns the time of the next check for due contacts. Returns None if the next check follows the end of an
        attempt.
        """
        if held is None:
            return self._store.next_due(self._id)
        return held.until or (None if self._live else self._sources.now() + _LOOK_AGAIN)

    async def _wait(self, until: datetime | None) -> None:
        if until is not None and not self._live:
            self._when_idle(until)
        delay = None if until is None else max(0.0, (until - self._sources.now()).total_seconds())
        try:
            async with asyncio.timeout(delay):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _attempt(self, contact: Contact, attempt: Attempt) -> None:
        try:
            contact_now, ended = await self._made(contact, attempt)
        finally:
            del self._live[attempt.id]
            self._changed.set()
        if contact_now is not None:
            self._on_change(contact_now, ended)

    async def _made(self, contact: Contact, attempt: Attempt) -> tuple[Contact | None, Attempt | None]:
        wanted = await self._is_wanted(contact)
        if not wanted:
            until = None if wanted is not None else self._sources.now() + _CHECK_AGAIN
            reason = None if wanted is None else DoneReason.UNWANTED
            return self._store.withdraw(attempt.id, done=reason, until=until), None
        rules, now = self._dialer.rules, self._sources.now()
        made = AttemptCall(self._campaign, contact, attempt, self._speech, rules=rules, now=now)
        try:
            call = made.place(self._dialer)
        except CallRefused as error:
            log.info("A contact is not called now: %s", error)
            if error.temporary:
                return self._store.withdraw(attempt.id, until=now + _LOOK_AGAIN), None
            return self._store.withdraw(attempt.id, done=DoneReason.REFUSED), None
        await self._follow(call, attempt)
        now = self._sources.now()
        if not made.was_made(call):
            log.info("A contact is not called now: %s", call.not_cleared)
            return self._store.withdraw(attempt.id, until=now + _LOOK_AGAIN), None
        ended = made.ended(call, now)
        return self._store.end(ended, now, rules=rules), ended

    async def _follow(self, call: PlacedCall, attempt: Attempt) -> None:
        await call.answered()
        if call.sid is not None:
            self._store.placed(attempt.id, call.sid)
        await call.finished()

    async def _is_wanted(self, contact: Contact) -> bool | None:
        """Returns whether the call is still wanted, or None if this is not known."""
        if self._check is None:
            return True
        try:
            return await self._check(contact)
        except Exception:  # the user's code
            log.exception(
                "The check before dialing failed for contact %s. The check is repeated in 5 minutes.", contact.id
            )
            return None
