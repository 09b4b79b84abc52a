"""Recognises a contact of a campaign who calls the application. The agent then gets the data of the contact, and the
campaign does not call the contact again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from realtime_core import RealtimeAgent
from realtime_core.sources import Sources

from ..agent_choice import chosen_agent
from ..call.call import Call
from ..call.call_info import CallInfo
from ..call.options import AgentSource
from ..errors import CampaignError, RecordRefused, RecordsUnavailable
from ..outcomes.call_agent import agent_for_call
from ..task_owner import TaskOwner
from ..twilio.caller_id import is_withheld
from .campaign import Campaign
from .contact import Attempt, Contact, Outcome
from .store import CampaignStore

__all__ = ["RingBack"]

log = logging.getLogger(__name__)


class RingBack(TaskOwner):
    """Recognises contacts of campaigns who call the application. The agent of such a call gets the data of the contact,
    and the campaign does not call the contact any more. The object is an async context manager. The function `ask`
    calls a function with the store of campaigns and returns its result.
    """

    def __init__(self, ask: Callable[[Callable[[CampaignStore], Any]], Awaitable[Any]], sources: Sources) -> None:
        super().__init__()
        self._ask = ask
        self._sources = sources

    def source(self, source: AgentSource) -> AgentSource:
        """Returns a source of agents for inbound calls, which selects the same agents as `source`. If the caller is a
        contact, the agent's instructions also contain the data of the contact.
        """

        async def pick(info: CallInfo) -> RealtimeAgent[Any]:
            agent = await chosen_agent(source, info)
            found = await self._contacts(info.caller) if info.direction == "inbound" else []
            if not found:
                return agent
            known = agent_for_call(agent, _facts(found), ())
            assert isinstance(known, RealtimeAgent)
            return known

        pick.__name__ = source.name if isinstance(source, RealtimeAgent) else getattr(source, "__name__", "agent")
        return pick

    def started(self, call: Call) -> None:
        """Handles the start of an inbound call. If the caller is a contact, the contact becomes done, and the contact's
        data is added to `call.data`.
        """
        if call.info.direction == "inbound":
            self.start_task(self._rang_back(call), name="ring-back")

    async def _rang_back(self, call: Call) -> None:
        found, now = await self._contacts(call.caller), self._sources.now()
        if found:
            call.data.update(_facts(found))
        for n, (campaign, contact) in enumerate(found):
            inbound = Attempt(
                id=call.sid if n == 0 else f"{call.sid}/{n + 1}",
                contact_id=contact.id,
                number=contact.number,
                started_at=now,
                ended_at=now,
                outcome=Outcome.RANG_BACK,
                sid=call.sid,
                answered_by="",
                inbound=True,
            )
            await self._query(lambda store, it=inbound, to=campaign.id: store.rang_back(it, to), None)
            log.info("Call %s: a contact of campaign %s rang back.", call.sid, campaign.id)

    async def _contacts(self, number: str) -> list[tuple[Campaign, Contact]]:
        if is_withheld(number):
            return []
        found: list[tuple[Campaign, Contact]] = await self._query(lambda store: store.contacts_of(number), [])
        return found

    async def _query(self, query: Callable[..., Any], otherwise: Any) -> Any:
        """Runs a query. Returns `otherwise` if the records cannot be used. The contact is then not recognised, and the
        call continues.
        """
        try:
            return await self._ask(query)
        except (RecordsUnavailable, RecordRefused, CampaignError) as error:
            log.warning("It is not known whether a contact of a campaign calls: %s", error)
            return otherwise


def _facts(found: list[tuple[Campaign, Contact]]) -> dict[str, Any]:
    """Returns the data for the agent: the data of the first contact, and the data of further contacts as a list."""
    campaign, first = found[0]
    facts: dict[str, Any] = {"rings back after our call of the campaign": campaign.name or campaign.id, **first.data}
    if len(found) > 1:
        facts["contacts"] = [{"campaign": each.name or each.id, **contact.data} for each, contact in found]
    return facts
