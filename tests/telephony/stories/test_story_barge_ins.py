"""The caller speaks over the agent: twice within 200 ms, in the middle of a handoff, as a cough, over what may not be
interrupted."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.audio import g711
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.turn_policy import OurTurns
from telephony import Call
from telephony.simulator import clips
from telephony.simulator.events import Cleared
from tests.support.exchange import CallerPhone, hear_out, story

pytestmark = pytest.mark.virtual_time

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)


async def test_two_barge_ins_within_200_ms() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.heard(2.0)
        await phone.say("hello")
        await asyncio.sleep(0.2)
        await phone.say("sorry_hours")
        await hear_out(phone)

    script = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say="Yes, we are open."))] * 2)
    result = await story(caller, script=script)
    truncated = [m["item_id"] for _, m in result.records.of("model.out", "conversation.item.truncate")]
    assert len(truncated) == len(set(truncated)) >= 1
    greeting, *_, answer = result.spoken().values()
    assert greeting[:16_000] in result.heard and greeting not in result.heard
    assert answer in result.heard
    (cut,) = [event for event in result.peers[0].events if isinstance(event, Cleared)][:1]
    assert result.heard[cut.position : cut.position + 800] == b"\xff" * 800, "not one sample after the clear"
    assert result.records.of("error") == []
    result.assert_no_undecided_silence()


async def test_a_barge_in_when_all_of_the_answer_is_already_at_twilio() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.heard(1.0)
        await phone.say("sorry_hours")
        await hear_out(phone)

    script = Script(
        greeting=Reply(say="Every day, from noon until eleven."), turns=[Turn(Reply(say="Yes, we are open."))]
    )
    result = await story(caller, script=script)
    ((_, cut),) = result.records.of("model.out", "conversation.item.truncate")
    greeting, answer = result.spoken().values()
    begin = result.heard.index(greeting[:4000])
    heard_ms = (result.heard.index(b"\xff" * 800, begin) - begin) / 8
    assert cut["audio_end_ms"] == pytest.approx(heard_ms, abs=25)
    assert answer in result.heard
    result.assert_no_undecided_silence()


async def test_a_handoff_in_mid_sentence() -> None:
    other = RealtimeAgent(name="Kitchen", instructions="Soup.")
    desk = RealtimeAgent(name="Desk", handoffs=[other])
    handoff = ToolCall("transfer_to_kitchen", "{}")
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[
            Turn(Reply(say="Tonight we serve a soup of white beans."), filler=LONG, calls=[handoff]),
            Turn(Reply(say="Yes, we are open.")),
        ],
    )  # fmt: skip

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await phone.agent_speaks()
        await phone.agent_silent(1.5)
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, script=script, agent=desk)
    spoken = list(result.spoken().values())
    assert len(spoken) == 4
    assert all(result.heard_whole(item) for item in range(4)), "the one is heard out before the other begins"
    assert [result.heard.index(each) for each in spoken] == sorted(result.heard.index(each) for each in spoken)
    result.assert_no_undecided_silence()


async def coughs(phone: CallerPhone) -> None:
    await phone.agent_speaks()
    await phone.heard(3.0)
    await phone.say(clips.load("hello")[:2000])
    await phone.agent_silent(1.5)


def ours() -> OpenAIRealtimeWebSocketModel:
    return OpenAIRealtimeWebSocketModel(turn_policy=OurTurns(0.5, silence_s=0.5))


async def test_a_cough_holds_the_agent_who_goes_on_from_the_exact_sample() -> None:
    result = await story(coughs, script=Script(greeting=Reply(say=LONG)), model=ours)
    (answer,) = result.spoken().values()
    cuts = [event.position for event in result.peers[0].events if isinstance(event, Cleared)]
    assert len(cuts) == 1
    begin = result.heard.index(answer[:4000])
    held = cuts[0] - begin
    assert result.heard[begin : cuts[0]] == answer[:held]
    rest = answer[held:].rstrip(b"\xff")
    assert rest in result.heard[cuts[0] :], "not one sample lost, not one said twice"
    assert result.records.of("model.out", "conversation.item.truncate") == []
    assert result.records.of("model.out", "response.cancel") == []
    result.assert_no_undecided_silence()


def ducking() -> OpenAIRealtimeWebSocketModel:
    return OpenAIRealtimeWebSocketModel(turn_policy=OurTurns(0.5, silence_s=0.5, duck_db=14))


async def test_at_a_cough_the_agent_is_quieter_for_a_moment_and_pauses_nowhere() -> None:
    result = await story(coughs, script=Script(greeting=Reply(say=LONG)), model=ducking)
    (answer,) = result.spoken().values()
    down, up = [event.position for event in result.peers[0].events if isinstance(event, Cleared)]
    assert 0.3 < (up - down) / 8000 < 1.2
    begin = result.heard.index(answer[:4000])
    quiet = g711.quieter(answer[down - begin : up - begin], by_db=14)
    expected = answer[: down - begin] + quiet + answer[up - begin :].rstrip(b"\xff")
    assert result.heard[begin : begin + len(expected)] == expected, "every sample, in its place, quieter in between"
    assert result.records.of("model.out", "conversation.item.truncate") == []


async def test_a_ducked_agent_is_interrupted_where_it_was_heard_last() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.heard(3.0)
        await phone.say("booking")
        await hear_out(phone)

    script = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say="Yes, we are open."))])
    result = await story(caller, script=script, model=ducking)
    assert not result.heard_whole(0) and result.heard_whole(1)
    _, up = [event.position for event in result.peers[0].events if isinstance(event, Cleared)][:2]
    ((_, cut),) = result.records.of("model.out", "conversation.item.truncate")
    begin = result.heard.index(next(iter(result.spoken().values()))[:4000])
    assert cut["audio_end_ms"] == pytest.approx((up - begin) / 8, abs=25), "what was heard quietly was heard"


async def test_speech_interrupts_the_agent_once_it_is_no_cough() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.heard(3.0)
        await phone.say("booking")
        await hear_out(phone)

    script = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say="Yes, we are open."))])
    result = await story(caller, script=script, model=ours)
    assert not result.heard_whole(0) and result.heard_whole(1)
    ((_, cut),) = result.records.of("model.out", "conversation.item.truncate")
    assert 2900 < cut["audio_end_ms"] < 4000, "at the sample that was heard when it was held"
    result.assert_no_undecided_silence()


async def test_a_legal_notice_is_heard_to_its_end_whatever_the_caller_says() -> None:
    @function_tool
    async def read_notice(ctx: RunContextWrapper[Call]) -> str:
        """Read the notice."""
        return str(await ctx.context.say("notice", interruptible=False))

    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[
            Turn(Reply(say="Yes, we are open."), calls=[ToolCall("read_notice", "{}")]),
            Turn(Reply(say=LONG), text="notice"),
            Turn(Reply(say="Goodbye!")),
        ],
    )

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.heard(2.0)
        await phone.say("sorry_hours")
        await phone.heard(8.0)
        await phone.agent_silent(1.0)
        await hear_out(phone)

    result = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[read_notice]))
    assert result.heard_whole(1)
    ((_, ended),) = result.records.of("tool.end")
    assert ended["output"] in ("True", "true", True)
    assert result.records.of("interruption") == []
    result.assert_no_undecided_silence()
