"""Transfers: cold and warm, accepted, declined, unanswered. After a failure the caller returns to the agent, who knows
why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import Call, transfer
from telephony.errors import TwilioRejected
from telephony.twilio.callbacks import CallStatus
from tests.support.exchange import CALLER, RING_S, CallerPhone, Exchange, SecondLeg, hear_out, story

pytestmark = pytest.mark.virtual_time

KITCHEN, MANAGER = "+14155550123", "+14155550199"
LINE = "I will put you through to the kitchen."


def script(**arguments: str) -> Script:
    call = ToolCall("transfer", json.dumps(arguments))
    return Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="I am sorry. {result}"), filler=LINE, calls=[call])],
        otherwise=Reply(say="Yes, we are open."),
    )


COLD = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN, manager=MANAGER)])
WARM = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN, manager=MANAGER, warm=True)])
WARM_SCRIPT = script(target="kitchen", summary="Ada asks for the soup of today.")


async def asks(phone: CallerPhone) -> None:
    await hear_out(phone)
    await phone.say("sorry_hours")
    await asyncio.sleep(90)


async def until_dialled(exchange: Exchange, times: int) -> None:
    while len(exchange.dialled) < times:  # noqa: ASYNC110
        await asyncio.sleep(0.5)


async def test_a_cold_transfer_is_announced_to_its_last_sample() -> None:
    result = await story(asks, script=script(target="kitchen"), agent=COLD)
    assert result.exchange.dialled == [KITCHEN]
    assert result.exchange.hung_up == [], "the caller is not hung up on"
    assert result.heard_whole(1)
    assert result.reason == "transferred to kitchen"
    ended = result.records.of("end")[0][0]
    announced = result.records.of("rest")[-1][0]
    assert ended == pytest.approx(announced + RING_S, abs=0.5), "it is known as soon as they answer"


async def test_a_cold_transfer_without_callbacks_counts_as_done_after_the_longest_ringing() -> None:
    def silent(exchange: Exchange) -> None:
        exchange.tells_of_legs = False

    result = await story(asks, script=script(target="kitchen"), agent=COLD, prepare=silent)
    assert result.reason == "transferred to kitchen"
    assert result.records.of("end")[0][0] == pytest.approx(result.records.of("rest")[-1][0] + 35.0, abs=0.5)


async def test_a_caller_who_hangs_up_while_it_rings_is_known_to_be_gone() -> None:
    """Twilio does not ask for the next TwiML. The ringing leg is cancelled, and no stream starts."""
    exchanges: list[Exchange] = []

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        (exchange,) = exchanges
        await until_dialled(exchange, 1)
        call_sid = told_of[0]
        exchange.tells_of_legs = False
        for _ in range(2):
            exchange.registry.call_status(CallStatus("CAchild", "canceled", 3, parent_call_sid=call_sid))
        await asyncio.sleep(60)

    told_of: list[str] = []
    result = await story(caller, script=script(target="kitchen"), agent=COLD, prepare=exchanges.append,
                       on_start=lambda call: told_of.append(call.sid))  # fmt: skip
    assert result.reason == "hung up"


async def test_what_comes_late_of_the_first_attempt_does_not_end_the_second() -> None:
    exchanges: list[Exchange] = []
    told_of: list[str] = []
    calls = [ToolCall("transfer", json.dumps({"target": name})) for name in ("kitchen", "manager")]
    turns = [Turn(Reply(say="I am sorry. {result}"), filler=LINE, calls=[call]) for call in calls]

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        for _ in range(2):
            await phone.say("sorry_hours")
            await hear_out(phone)
            await hear_out(phone)
        await asyncio.sleep(11)

    async def late() -> None:
        await until_dialled(exchanges[0], 2)
        first = "CA1".ljust(34, "d")
        for status in ("in-progress", "no-answer"):
            exchanges[0].registry.call_status(CallStatus(first, status, 3, parent_call_sid=told_of[0]))

    async def caller_and_late(phone: CallerPhone) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(late())
            await caller(phone)

    result = await story(caller_and_late, script=Script(greeting=Reply(say="Hello."), turns=turns), agent=COLD,
                       dial_results=["no-answer", "busy"], prepare=exchanges.append,
                       on_start=lambda call: told_of.append(call.sid))  # fmt: skip
    assert result.exchange.dialled == [KITCHEN, MANAGER]
    outputs = [ended["output"] for _, ended in result.records.of("tool.end")]
    assert ["nobody answered" in outputs[0], "busy" in outputs[1]] == [True, True]
    assert result.reason == "hung up"


async def test_without_the_api_a_cold_transfer_goes_by_the_action_of_the_stream() -> None:
    result = await story(asks, script=script(target="kitchen"), agent=COLD, rest=False)
    assert result.exchange.dialled == [KITCHEN]
    assert result.heard_whole(1)


@pytest.mark.parametrize(("status", "words"), [("busy", "busy"), ("no-answer", "nobody answered")])
async def test_a_transfer_that_fails_comes_back_to_the_agent(status: str, words: str) -> None:
    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)  # the announcement
        await hear_out(phone)  # back again
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, script=script(target="kitchen"), agent=COLD, dial_results=[status])
    assert result.exchange.streams == 2
    ((_, ended),) = result.records.of("tool.end")
    assert words in ended["output"]
    assert result.reason == "hung up"
    assert result.heard.count(list(result.spoken().values())[1]) == 1, "the announcement is not said again"
    assert result.heard_whole(2) and result.heard_whole(3), "the same session goes on"
    result.assert_no_undecided_silence()


async def test_a_transfer_that_twilio_refuses_stays_with_the_agent() -> None:
    def refusing(exchange: object) -> None:
        exchange.refuses = lambda what: TwilioRejected("Twilio said no.")  # type: ignore[attr-defined]

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)
        await hear_out(phone)

    result = await story(caller, script=script(target="kitchen"), agent=COLD, prepare=refusing)
    ((_, ended),) = result.records.of("tool.end")
    assert "was not called" in ended["output"]
    assert result.exchange.streams == 1 and result.reason == "hung up"
    result.assert_no_undecided_silence()


async def test_a_model_picks_names_and_never_numbers() -> None:
    (tool,) = COLD.tools
    assert tool.params_json_schema["properties"]["target"]["enum"] == ["kitchen", "manager"]
    assert "+1" not in json.dumps(tool.params_json_schema) + tool.description

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)
        await hear_out(phone)

    result = await story(caller, script=script(target="+19005550000"), agent=COLD)
    assert result.exchange.dialled == []


async def test_a_users_own_tool_transfers_to_the_declared_names() -> None:
    @function_tool
    async def to_kitchen(ctx: RunContextWrapper[Call]) -> str:
        """Put the caller through."""
        return await ctx.context.transfer("kitchen")

    calls = Turn(Reply(say="{result}"), filler=LINE, calls=[ToolCall("to_kitchen", "{}")])
    agent = RealtimeAgent(name="Desk", tools=[to_kitchen, *COLD.tools])
    result = await story(asks, script=Script(greeting=Reply(say="Hello."), turns=[calls]), agent=agent)
    assert result.exchange.dialled == [KITCHEN]


# --- warm ------------------------------------------------------------------------------------------------------------


async def accepts(leg: SecondLeg) -> None:
    await asyncio.sleep(4)
    leg.status("in-progress")
    await asyncio.sleep(6)
    leg.press("1")


async def test_a_warm_target_is_asked_also_if_code_starts_the_transfer() -> None:
    @function_tool
    async def to_kitchen(ctx: RunContextWrapper[Call]) -> str:
        """Put the caller through."""
        return await ctx.context.transfer("kitchen")

    calls = Turn(Reply(say="{result}"), filler=LINE, calls=[ToolCall("to_kitchen", "{}")])
    agent = RealtimeAgent(name="Desk", tools=[to_kitchen, *WARM.tools])
    result = await story(asks, script=Script(greeting=Reply(say="Hello."), turns=[calls]), agent=agent, human=accepts)
    assert result.exchange.dialled == []
    assert result.exchange.conference is not None
    briefing = result.exchange.legs[0].briefing
    assert " ".join(CALLER) in briefing and "Desk has spoken with the caller" in briefing


async def test_a_warm_transfer_without_a_word_of_summary_names_caller_and_agent() -> None:
    result = await story(asks, script=script(target="kitchen", summary=" "), agent=WARM, human=accepts)
    assert " ".join(CALLER) in result.exchange.legs[0].briefing
    assert result.exchange.conference is not None


async def test_a_warm_transfer_joins_the_two_when_a_key_accepts() -> None:
    seen: dict[str, Any] = {}

    async def human(leg: SecondLeg) -> None:
        await asyncio.sleep(4)
        leg.status("in-progress")
        seen["briefing"] = leg.briefing
        await asyncio.sleep(6)
        assert leg.exchange.redirected == [], "until then nothing of the caller's leg is touched"
        leg.press("1")
        seen["joined"] = leg.joined

    result = await story(asks, script=WARM_SCRIPT, agent=WARM, human=human)
    assert "Ada asks for the soup" in seen["briefing"]
    assert result.exchange.conference == seen["joined"] is not None
    assert result.exchange.legs[0].to == KITCHEN
    assert result.exchange.hung_up == []
    assert result.heard_whole(1)
    assert result.reason == "transferred to kitchen"
    result.assert_no_undecided_silence()


async def declines(leg: SecondLeg) -> None:
    await asyncio.sleep(4)
    leg.status("in-progress")
    await asyncio.sleep(5)
    leg.press("2")


async def busy(leg: SecondLeg) -> None:
    await asyncio.sleep(2)
    leg.status("busy")
    leg.status("busy")


async def voicemail(leg: SecondLeg) -> None:
    await asyncio.sleep(10)
    leg.status("in-progress")
    await asyncio.sleep(25)
    leg.status("completed")
    leg.press("1")  # too late


async def rings_for_ever(leg: SecondLeg) -> None:
    leg.status("ringing")


@pytest.mark.parametrize(
    ("human", "words"),
    [(declines, "declined"), (busy, "busy"), (voicemail, "voicemail"), (rings_for_ever, "nobody answered")],
)
async def test_a_warm_transfer_that_fails_touches_nothing_of_the_callers_leg(human: object, words: str) -> None:
    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await phone.agent_silent(3.5, within_s=200)  # the waiting sound never pauses so long
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, script=WARM_SCRIPT, agent=WARM, human=human)  # type: ignore[arg-type]
    ((_, ended),) = result.records.of("tool.end")
    assert words in ended["output"]
    assert result.exchange.streams == 1 and result.exchange.redirected == []
    assert result.exchange.hung_up == [result.exchange.legs[0].sid], "the second leg alone is ended"
    assert result.exchange.legs[0].joined is None
    assert result.heard_whole(3), "the agent went on with the caller"
    result.assert_no_undecided_silence()


async def test_a_caller_who_hangs_up_on_hold_leaves_nobody_ringing() -> None:
    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await asyncio.sleep(12)

    result = await story(caller, script=WARM_SCRIPT, agent=WARM, human=rings_for_ever)
    assert result.exchange.hung_up == [result.exchange.legs[0].sid]
    assert result.reason == "hung up"
