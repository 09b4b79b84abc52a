"""Whole calls, transferred and placed: the server, signed webhooks and the official client on the simulated Twilio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import transfer
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.plan import CallPlan
from telephony.simulator import Handset, callees
from tests.support.office import office

pytestmark = pytest.mark.virtual_time

KITCHEN = "+14155550123"
LINE = "I will put you through to the kitchen."


def script(**arguments: str) -> Script:
    call = ToolCall("transfer", json.dumps(arguments))
    return Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="I am sorry."), filler=LINE, calls=[call])],
        otherwise=Reply(say="Yes, we are open."),
    )


async def cook(phone: Handset) -> None:
    await phone.say("hello")
    await asyncio.sleep(20)


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await asyncio.sleep(60)


async def until(condition: Callable[[], bool]) -> float:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return asyncio.get_running_loop().time()


async def test_a_cold_transfer_frees_this_process_as_soon_as_it_is_answered() -> None:
    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN)])
    async with office(script(target="kitchen"), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.person(cook, after_s=6.0)
        call = twilio.start_ringing(caller=asks)
        answered = await until(lambda: any(leg.parent is call and leg.started for leg in twilio.calls.values()))
        freed = await until(lambda: len(app.state.phone.registry) == 0)
        assert freed - answered < 1.0
        assert call.status == "in-progress", "and the two go on speaking"
        await call.finished()
        assert len(call.streams) == 1 and call.warnings == []


async def test_a_line_that_is_busy_brings_the_caller_back() -> None:
    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN)])

    async def comes_back(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    async with office(script(target="kitchen"), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.busy()
        call = await twilio.ring(caller=comes_back)
        assert len(call.streams) == 2
        await app.state.phone.registry.empty()


async def test_a_target_declared_warm_is_briefed_and_takes_the_call_by_a_key() -> None:
    async def takes_it(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(2.0)
        phone.press("1")
        await asyncio.sleep(20)

    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN, warm=True)])
    async with office(script(target="kitchen", summary="Ada asks for the soup."), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.person(takes_it, after_s=3.0)
        call = twilio.start_ringing(caller=asks)
        await until(lambda: any(len(room.members) == 2 for room in twilio.rooms.all.values()))
        await until(lambda: len(app.state.phone.registry) == 0)
        assert call.status == "in-progress"
        await call.finished()
        assert len(call.streams) == 1 and call.warnings == []


async def test_a_call_that_we_placed_is_measured_like_any_other() -> None:
    async def talks(phone: Handset) -> None:
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    agent = RealtimeAgent(name="Desk")
    async with office(script(), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.person(talks, after_s=0.5)
        app.state.dialer.rules = DialingRules.none()
        await app.state.dialer.place(CallPlan(KITCHEN, agent)).finished()
        figures = app.state.phone.metrics.render().decode()
    (answered,) = [line for line in figures.splitlines() if line.startswith("telephony_response_latency_seconds_count")]
    assert float(answered.split()[1]) >= 1.0
