"""Callers whose own address Twilio takes as no caller id: transfers, the fallback and a full house show a number of
ours. Whole calls on the simulated Twilio, which refuses what Twilio refuses (13214, 21212, 21213)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from benchmarks.extent import extent
from realtime_core import RealtimeAgent
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import transfer
from telephony.errors import NoCallerId
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.twilio import OWN_NUMBER
from telephony.twilio.caller_id import Parties
from tests.support.office import PUBLIC, office

pytestmark = pytest.mark.virtual_time

KITCHEN, CALLER = "+14155550123", "+14155550100"
NUMBERLESS = [
    "",
    "anonymous",
    "Restricted",
    "+266696687",
    "+86282452253",
    "+7378742833",
    "+2562533",
    "+8656696",
    "12345",
    "+1415",
    "sip:ada@example.com",
    "sips:+14155550100@example.com;transport=tls",
    "client:ada",
]
SIP_DOMAIN = "sip:desk@acme.sip.twilio.com"

ONE_OF_EACH_KIND = ["", "anonymous", "+266696687", "12345", "sip:ada@example.com", "client:ada"]

numberless = pytest.mark.parametrize("caller", extent(ONE_OF_EACH_KIND, NUMBERLESS))


@asynccontextmanager
async def desk(*, warm: bool = False, **given: Any) -> AsyncIterator[tuple[SimulatedTwilio, Starlette]]:
    """An application with a kitchen to transfer to, which is also called by SIP. `given`: more settings."""
    call = ToolCall("transfer", json.dumps({"target": "kitchen"}))
    turns = [Turn(Reply(say="I am sorry."), filler="I will put you through to the kitchen.", calls=[call])]
    script = Script(greeting=Reply(say="Hello. How can I help you?"), turns=turns, otherwise=Reply(say="Yes."))
    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN, warm=warm)])
    async with office(script, agent=agent, given=given) as (twilio, app):
        twilio.add_number(SIP_DOMAIN, voice_url=f"{PUBLIC}/incoming-call")
        yield twilio, app


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await asyncio.sleep(60)


async def listens(phone: Handset) -> None:
    await asyncio.sleep(60)


async def takes_it(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(2.0)
    phone.press("1")
    await asyncio.sleep(20)


def shown_to(twilio: SimulatedTwilio, number: str = KITCHEN) -> list[str]:
    """Whose call the phone there showed."""
    return [leg.from_ for leg in twilio.placed_to(number) if leg.started]


@numberless
async def test_a_cold_transfer_shows_our_number(caller: str) -> None:
    async with desk() as (twilio, _):
        call = await twilio.ring(caller=asks, from_=caller)
        assert call.warnings == []
        assert shown_to(twilio) == [OWN_NUMBER]


@numberless
async def test_a_warm_transfer_shows_our_number(caller: str) -> None:
    async with desk(warm=True) as (twilio, _):
        twilio.callees[KITCHEN] = callees.person(takes_it, after_s=3.0)
        call = await twilio.ring(caller=asks, from_=caller)
        assert call.warnings == []
        assert shown_to(twilio) == [OWN_NUMBER]


async def test_whose_number_twilio_takes_shows_it_in_a_cold_transfer() -> None:
    async with desk() as (twilio, _):
        await twilio.ring(caller=asks, from_=CALLER)
        assert shown_to(twilio) == [CALLER]


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("caller", ["sip:ada@example.com", "client:ada"])
async def test_a_call_to_a_sip_domain_shows_the_number_of_the_settings(caller: str, warm: bool) -> None:
    async with desk(warm=warm) as (twilio, _):
        twilio.callees[KITCHEN] = callees.person(takes_it, after_s=3.0)
        call = await twilio.ring(to=SIP_DOMAIN, caller=asks, from_=caller)
        assert call.warnings == []
        assert shown_to(twilio) == [OWN_NUMBER]


@numberless
async def test_the_number_for_refused_calls_is_dialled_from_the_applications_number(caller: str) -> None:
    async with desk(telephony_max_calls=1, telephony_when_full=KITCHEN) as (twilio, _):
        first = twilio.start_ringing(caller=listens, from_=CALLER)
        await asyncio.sleep(3)
        call = twilio.start_ringing(caller=listens, from_=caller)
        await asyncio.sleep(10)
        assert shown_to(twilio) == [OWN_NUMBER]
        assert call.warnings == []
        first.end()
        call.end()


@numberless
async def test_the_fallback_is_called_with_our_number(caller: str) -> None:
    """The stream breaks three times. Then the caller gets an apology and the fallback."""

    async with desk(telephony_fallback_number=KITCHEN) as (twilio, _):
        call = twilio.start_ringing(caller=listens, from_=caller)
        for streams in (1, 2, 3):
            while len(call.streams) < streams or call.stream is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            call.stream._connection.break_()  # type: ignore[attr-defined]
        await asyncio.sleep(30)
        assert shown_to(twilio) == [OWN_NUMBER]
        call.end()


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_without_a_number_of_the_application_a_transfer_fails_and_the_agent_says_so(
    warm: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(warm=warm, twilio_phone_number=None) as (twilio, _):
        call = await twilio.ring(to=SIP_DOMAIN, caller=asks, from_="client:ada")
        assert call.warnings == []
        assert twilio.placed_to(KITCHEN) == []
        assert len(call.streams) == 1, "the caller stays with the agent"
        assert "TWILIO_PHONE_NUMBER" in caplog.text


async def test_without_a_number_of_the_application_a_refused_call_gets_an_apology(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk(telephony_max_calls=1, telephony_when_full=KITCHEN, twilio_phone_number=None) as (twilio, _):
        first = twilio.start_ringing(caller=listens, from_=CALLER)
        await asyncio.sleep(3)
        call = twilio.start_ringing(to=SIP_DOMAIN, caller=listens, from_="client:ada")
        await call.finished()
        assert call.heard.strip(b"\xff"), "the caller hears an apology"
        assert call.warnings == [] and twilio.placed_to(KITCHEN) == []
        assert "TWILIO_PHONE_NUMBER" in caplog.text
        first.end()


async def test_without_a_number_of_the_application_the_apology_is_heard_and_the_call_ends() -> None:
    async with desk(telephony_fallback_number=KITCHEN, twilio_phone_number=None) as (twilio, app):
        app.state.phone.routing.source = lambda info: 1 / 0  # no agent: the call cannot go on
        call = await twilio.ring(to=SIP_DOMAIN, caller=listens, from_="sip:ada@example.com")
        assert call.heard.strip(b"\xff")
        assert call.warnings == [] and twilio.placed_to(KITCHEN) == []


@pytest.mark.parametrize("caller", ["sip:ada@example.com", "anonymous", "+266696687", ""])
def test_a_sip_target_needs_no_number_of_the_application(caller: str) -> None:
    assert Parties(caller, SIP_DOMAIN).reach("sip:kitchen@example.com").caller_id is None
    with pytest.raises(NoCallerId):
        Parties("client:ada", SIP_DOMAIN).reach("sip:kitchen@example.com")
    with pytest.raises(NoCallerId):
        Parties(caller, SIP_DOMAIN).reach(KITCHEN)
