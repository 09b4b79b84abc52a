"""Makes one attempt of a campaign: from its start, which the store has recorded, until its end is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from realtime_core.sources import Sources

from ..errors import CallRefused
from ..outbound.dialer import Dialer
from ..outbound.opt_out_list import OptOutList
from ..outbound.placed_call import PlacedCall
from ..records.call_record import INTERRUPTED
from ..records.client import RecordsClient
from .attempt_call import AttemptCall, Speech
from .campaign import Campaign, CampaignCounts, PersonHistory
from .contact import Attempt, Contact, DoneReason, Outcome
from .finished_call import completed, ended_elsewhere
from .lease import Lease
from .policy import Dial, calling_hours, decide
from .runner import Check
from .store_access import StoreAccess

__all__ = ["AttemptWork"]

log = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(minutes=1)
_CHECK_AGAIN = timedelta(minutes=5)
_MAX_REQUESTS = 2
"""The maximum number of requests to Twilio for one attempt. The second request is sent only if a search found that
Twilio made no call.
"""


class AttemptWork:
    """Makes attempts, and finishes attempts whose process has ended. An attempt is one call to a contact of a campaign.

    `dialer` places and follows the calls, and `opt_outs` is the do-not-call list. `speech` returns the agent and the
    messages of a campaign. `check` returns the check of a campaign (a function that is called before each call), or
    None. `on_change` is called after each change of a contact. `is_draining` returns whether this process ends.
    """

    def __init__(
        self,
        store: StoreAccess,
        client: RecordsClient,
        lease: Lease,
        dialer: Dialer,
        opt_outs: OptOutList,
        *,
        speech: Callable[[Campaign], Speech],
        check: Callable[[Campaign], Check | None],
        on_change: Callable[[Campaign, Attempt | None, Contact | None], None],
        is_draining: Callable[[], bool],
        sources: Sources,
    ) -> None:
        self._store = store
        self._client = client
        self._lease = lease
        self._dialer = dialer
        self._opt_outs = opt_outs
        self._speech = speech
        self._check = check
        self._on_change = on_change
        self._is_draining = is_draining
        self._sources = sources

    async def make(self, campaign: Campaign, contact: Contact, attempt: Attempt) -> None:
        """Makes an attempt that the store has begun: checks whether the call is still wanted, places the call, and
        stores how the call ended.
        """
        wanted = await self._is_wanted(campaign, contact)
        if wanted:
            await self._place(campaign, contact, attempt)
            return
        until = None if wanted is not None else self._sources.now() + _CHECK_AGAIN
        await self._withdraw(campaign, attempt, done=None if wanted is None else DoneReason.UNWANTED, until=until)

    async def _place(self, campaign: Campaign, contact: Contact, attempt: Attempt) -> None:
        """Asks Twilio for the call and follows the call. Twilio is asked a second time only if Twilio made no call."""
        ended: Attempt | None = None
        while await self._store.persist(
            lambda store: store.requested(attempt.id, self._lease.owner, at_most=_MAX_REQUESTS)
        ):
            now = self._sources.now()
            made = AttemptCall(campaign, contact, attempt, self._speech(campaign), rules=self._dialer.rules, now=now)
            try:
                call = made.place(self._dialer)
            except CallRefused as error:
                log.info("A contact is not called now: %s", error)
                until, done = (now + _LOOK_AGAIN, None) if error.temporary else (None, DoneReason.REFUSED)
                await self._withdraw(campaign, attempt, done=done, until=until)
                return
            call.may_request = lambda: self._lease.is_held and not self._is_draining()
            await self._follow(call, attempt)
            if call.not_cleared:
                await self._withdraw(campaign, attempt, until=self._sources.now() + _LOOK_AGAIN)
                return
            if call.withheld or (call.state.not_made and not await self._is_allowed(campaign.id, contact)):
                await self._withdraw(campaign, attempt)
                return
            ended = made.ended(call, self._sources.now())
            if not call.state.not_made:
                break
            log.warning("Twilio did not make the call of attempt %s.", attempt.id)
        if ended is not None:
            await self._end(campaign, ended)

    async def adopt(self, campaign: Campaign, attempt: Attempt) -> None:
        """Finishes an attempt whose process has ended. First searches for its call at Twilio."""
        contact = await self._store.persist(lambda store: store.contact(campaign.id, attempt.contact_id))
        if contact is None:  # the person was erased
            return
        requests = await self._store.persist(lambda store: store.requests(attempt.id))
        row = await self._client.call(attempt.id)
        if row is not None and row.over and row.status != INTERRUPTED:
            await self._end(campaign, ended_elsewhere(attempt, row, campaign.config, self._sources.now()))
            return
        if requests:
            if row is not None and row.sid is not None:
                attempt = replace(attempt, sid=row.sid)
            now, speech = self._sources.now(), self._speech(campaign)
            made = AttemptCall(campaign, contact, attempt, speech, rules=self._dialer.rules, now=now)
            call = made.adopt(self._dialer)
            await self._follow(call, attempt)
            if not call.state.not_made:
                ended = made.ended(call, self._sources.now())
                row = await self._client.call(attempt.id)
                await self._end(campaign, ended if row is None else completed(ended, row, campaign.config))
                return
        if await self._is_allowed(campaign.id, contact):
            await self._place(campaign, contact, attempt)
        else:
            await self._withdraw(campaign, attempt)

    async def give_up(self, campaign: Campaign, attempt: Attempt) -> None:
        """Ends an attempt as failed. Called when this process has tried several times to find out and store how the
        attempt ended, and each time an error occurred.
        """
        error = "The attempt could not be finished because of errors: see the log."
        await self._end(campaign, replace(attempt, outcome=Outcome.FAILED, error=error))

    async def _follow(self, call: PlacedCall, attempt: Attempt) -> None:
        await call.answered()
        if (sid := call.sid) is not None:
            await self._store.persist(lambda store: store.placed(attempt.id, sid))
        await call.finished()

    async def _end(self, campaign: Campaign, ended: Attempt) -> None:
        answered = ended.outcome in (Outcome.REACHED, Outcome.INCOMPLETE, Outcome.CALLBACK, Outcome.ABANDONED)
        if answered and await self._store.persist_any(lambda: self._opt_outs.has(ended.number)):
            ended = replace(ended, outcome=Outcome.OPTED_OUT)
        now, rules = self._sources.now(), self._dialer.rules
        contact = await self._store.persist(lambda store: store.end(ended, now, rules=rules))
        if contact is not None:
            self._on_change(campaign, ended, contact)

    async def _withdraw(
        self, campaign: Campaign, attempt: Attempt, *, done: DoneReason | None = None, until: datetime | None = None
    ) -> None:
        owner = self._lease.owner
        contact = await self._store.persist(
            lambda store: store.withdraw(attempt.id, done=done, until=until, owner=owner)
        )
        if contact is not None:
            self._on_change(campaign, None, contact)

    async def _is_allowed(self, campaign_id: str, contact: Contact) -> bool:
        """Returns whether the call may still be made: the campaign is running, the time is within the calling hours,
        and the person has not opted out.
        """
        campaign = await self._store.persist(lambda store: store.campaign(campaign_id))
        if campaign is None or self._is_draining() or not self._lease.is_held:
            return False
        listed = await self._store.persist_any(lambda: self._opt_outs.has(contact.number))
        action = decide(
            campaign,
            contact,
            [],
            self._sources.now(),
            counts=CampaignCounts(),
            person=PersonHistory(listed=listed),
            hours=calling_hours(contact, campaign.config, self._dialer.rules),
        )
        return isinstance(action, Dial)

    async def _is_wanted(self, campaign: Campaign, contact: Contact) -> bool | None:
        """Returns whether the call is still wanted, or None if this is not known."""
        if (check := self._check(campaign)) is None:
            return True
        try:
            return await check(contact)
        except Exception:  # the user's code
            log.exception(
                "The check before dialing of campaign %s failed. The check is repeated in 5 minutes.", campaign.id
            )
            return None
