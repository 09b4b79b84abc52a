"""Runs a rehearsal: the whole campaign in virtual time, with a simulated Twilio and simulated callees. No real call is
made. All parts of the product run: dialer, webhooks, media streams, agent, tools. While no call is in progress, the
clock jumps to the next attempt, so a campaign of several days takes as long as its calls. The same seed gives the same
result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time

from ..campaigns.attempt_call import Speech
from ..campaigns.campaign import Campaign
from ..campaigns.contact import Attempt, Contact
from ..campaigns.interrupts import drained_by_ctrl_c
from ..campaigns.memory_store import MemoryStore
from ..campaigns.runner import CampaignRunner, Check
from ..outbound.dialing_rules import DialingRules
from ..settings import Settings
from ..telephony import Telephony
from .callee_mix import CalleeMix
from .director import RehearsalDirector

__all__ = ["START", "rehearse"]

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""The time at which a rehearsal starts by default: a Monday, 8:00 UTC."""


class SkippingClock:
    """The wall clock of a rehearsal, in virtual time. The clock can be moved forward, so waiting times are skipped."""

    def __init__(self, start: datetime) -> None:
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=asyncio.get_running_loop().time())

    def skip_to(self, at: datetime) -> None:
        """Moves the clock to the time `at`, if this time is in the future."""
        self._start += max(at - self.now(), timedelta(0))


def rehearse(
    campaign: Campaign,
    contacts: Sequence[Contact],
    speech: Speech,
    *,
    settings: Settings,
    rules: DialingRules,
    seed: int = 0,
    start: datetime = START,
    check: Check | None = None,
    on_change: Callable[[Contact, Attempt | None], None] = lambda contact, attempt: None,
    fast: bool = True,
    store: MemoryStore | None = None,
) -> MemoryStore:
    """Runs a rehearsal of the campaign to its end, and returns the store of the campaign. `speech` has the agent of the
    campaign, `seed` is the random seed of the callees, and the rehearsal begins at `start`. `check` is the
    application's function that decides before each attempt whether to call. `on_change` is called after each change of
    a contact. `rules` apply as to real calls. If a simulated callee refuses further calls, the number is stored only in
    the rehearsal. Without `fast`, the rehearsal uses real time and sockets. After the first Ctrl-C no further call
    starts, and the rehearsal ends when the live calls are over. The second Ctrl-C hangs up the live calls.
    """
    store = MemoryStore() if store is None else store

    async def main() -> None:
        clock, mix = SkippingClock(start), CalleeMix(seed)
        sources = Sources(seed, clock=clock.now)
        store.add(replace(campaign, created_at=start), contacts)
        async with (
            LocalRealtimeServer(director=RehearsalDirector, sources=sources.fork("model")) as model,
            Telephony(
                settings,
                simulate=True,
                dialing_rules=rules,
                model_config=model.model_config,
                sources=sources.fork("phone"),
            ) as phone,
        ):
            twilio = phone.twilio
            assert twilio is not None

            def changed(contact: Contact, attempt: Attempt | None) -> None:
                twilio.callees[contact.number] = mix.draw(contact.number)
                on_change(contact, attempt)

            phone.dialer.completes_results = False
            twilio.callees |= {contact.number: mix.draw(contact.number) for contact in contacts}
            runner = CampaignRunner(
                store,
                campaign.id,
                phone.dialer,
                speech,
                sources=sources.fork("campaign"),
                check=check,
                on_change=changed,
                when_idle=clock.skip_to,
            )
            with drained_by_ctrl_c(runner.drain, runner.hang_up):
                await runner.run()

    if fast:
        virtual_time.run(main, seed=seed)
    else:
        asyncio.run(main())
    return store
