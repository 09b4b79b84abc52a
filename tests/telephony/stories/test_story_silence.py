"""A caller who says nothing: two prompts, the goodbye, the end, each at its time."""

from __future__ import annotations

import pytest

from realtime_core.local import Reply, Script, Turn
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.silence_prompts import SilencePolicy
from tests.support.exchange import CallerPhone, story

pytestmark = pytest.mark.virtual_time

GREETING, THERE, HEAR, BYE = "Hello. How can I help you?", "Hello?", "I cannot hear you.", "Goodbye!"
SCRIPT = Script(
    greeting=Reply(say=GREETING),
    turns=[
        Turn(Reply(say=THERE), text="first"),
        Turn(Reply(say=HEAR), text="second"),
        Turn(Reply(say=BYE), text="bye"),
    ],
)
POLICY = CallPolicy(silence=SilencePolicy(7.0, ("first", "second"), "bye"))


async def test_silence_to_the_end() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_silent(300.0, within_s=300)

    result = await story(caller, script=SCRIPT, policy=POLICY)
    heard, answers = result.heard, list(result.spoken().values())
    assert len(answers) == 4
    assert result.reason == "silence"
    ends = 0
    for number, answer in enumerate(answers):
        begin = heard.index(answer, ends)
        if number:
            # From the heard end of what was said before; then the model takes 0.3 s.
            assert (begin - ends) / 8000 == pytest.approx(7.3, abs=0.3)
        ends = begin + len(answer)
    assert len(heard) - ends < 8000
    result.assert_no_undecided_silence()


async def test_a_caller_who_comes_back_is_prompted_from_the_first_again() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(5.0)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.agent_silent(5.0)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    result = await story(caller, script=SCRIPT, policy=POLICY)
    requested = [
        message["response"].get("instructions")
        for _, message in result.records.of("model.out", "response.create")
        if message.get("response", {}).get("instructions") in ("first", "second", "bye")
    ]
    assert requested == ["first", "first"]
    result.assert_no_undecided_silence()


async def test_a_call_has_a_maximum_length_and_says_so_before() -> None:
    async def caller(phone: CallerPhone) -> None:
        while True:
            await phone.agent_speaks()
            await phone.agent_silent(4.0)
            await phone.say("hello")

    script = Script(
        greeting=Reply(say=GREETING),
        turns=[Turn(Reply(say="One minute."), text="warn"), Turn(Reply(say=BYE), text="farewell")],
        otherwise=Reply(say=HEAR),
    )
    policy = CallPolicy(max_call_s=90.0, warning_s=30.0, warning="warn", farewell="farewell")
    result = await story(caller, script=script, policy=policy)
    assert result.reason == "maximum length"
    requested = {
        message["response"].get("instructions"): t
        for t, message in result.records.of("model.out", "response.create")
        if message.get("response")
    }
    assert requested["warn"] == pytest.approx(60.0, abs=3.0)
    assert requested["farewell"] == pytest.approx(90.0, abs=6.0)
    assert result.heard_whole(-1)
    result.assert_no_undecided_silence()
