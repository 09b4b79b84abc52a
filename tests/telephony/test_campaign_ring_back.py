"""A contact of a campaign who calls our number is recognised, and is not called again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from telephony.call.call_info import CallInfo
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Contact, ContactState, DoneReason, Outcome
from telephony.campaigns.memory_store import MemoryStore
from telephony.campaigns.ring_back import RingBack
from telephony.errors import RecordsUnavailable
from telephony.rehearsal.rehearsal import START
from telephony.simulator import Handset
from tests.support.call_processes import OWN, PUBLIC, until, world

pytestmark = pytest.mark.real_time
ADA = "+14155550123"


async def test_a_contact_who_rings_back_gets_its_context_and_no_further_call(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    async with world(f"sqlite:///{tmp_path}/records.db", "a") as it:
        phone = it.phone("a")
        campaigns = phone.campaigns
        assert campaigns is not None
        store, later = campaigns.store, {"starts_at": "2099-01-01T00:00Z"}
        people = [Contact("ada", ADA, data={"visit": "Friday"}), Contact("bob", "+14155550124")]
        store.add(Campaign("spring", CampaignConfig.model_validate(later), phone.sources.now(), "Spring"), people)
        store.set_status("spring", CampaignStatus.RUNNING, phone.sources.now())

        async def rings(handset: Handset) -> None:
            await handset.agent_speaks()
            await until(lambda: any(call.data for call in phone.registry))
            seen.extend(dict(call.data) for call in phone.registry)
            handset.hang_up()

        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        await it.twilio.ring(to=OWN, caller=rings, from_=ADA)
        await until(lambda: store.contacts("spring", limit=9)[0].is_final)
        ada, bob = store.contacts("spring", limit=9)
        (attempt,) = store.attempts("spring", "ada")
    assert seen[0]["visit"] == "Friday"
    assert (ada.reason, bob.state) == (DoneReason.RANG_BACK, ContactState.PENDING)
    assert (attempt.outcome, attempt.inbound) == (Outcome.RANG_BACK, True)


def store_with(*contacts: Contact) -> MemoryStore:
    store = MemoryStore()
    store.add(Campaign("c", CampaignConfig.model_validate({}), START, "Spring"), contacts)
    store.set_status("c", CampaignStatus.RUNNING, START)
    return store


@pytest.mark.parametrize(("caller", "knows"), [(ADA, True), ("+14155550199", False), ("anonymous", False)])
@pytest.mark.parametrize("chosen", [False, True])
async def test_the_agent_knows_the_data_of_the_contact_who_calls(caller: str, knows: bool, chosen: bool) -> None:
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You answer for Blu.")
    store = store_with(Contact("ada", ADA, data={"visit": "Friday"}), Contact("ben", ADA, data={"visit": "Monday"}))

    async def ask(query: Any) -> Any:
        return query(store)

    source = RingBack(ask, None).source((lambda info: agent) if chosen else agent)  # type: ignore[arg-type]
    assert not isinstance(source, RealtimeAgent)
    found = await source(CallInfo("CA1", caller=caller, called=OWN, direction="inbound"))  # type: ignore[misc]
    instructions = str(found.instructions)
    assert ("Friday" in instructions, "Monday" in instructions, "Spring" in instructions) == (knows, knows, knows)


async def test_without_the_database_the_call_continues() -> None:
    async def ask(query: Any) -> Any:
        raise RecordsUnavailable("down")

    agent: RealtimeAgent[Any] = RealtimeAgent(name="Blu")
    source = RingBack(ask, None).source(agent)  # type: ignore[arg-type]
    assert not isinstance(source, RealtimeAgent)
    assert await source(CallInfo("CA1", caller=ADA, called=OWN, direction="inbound")) is agent  # type: ignore[misc]
