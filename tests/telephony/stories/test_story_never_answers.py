"""The model never answers: the caller hears a line, a sound, an apology, never more than three seconds of nothing."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core import RealtimeModelConfig
from realtime_core.connection import Connection
from realtime_core.connection.memory import memory_pair
from realtime_core.errors import ConnectFailed
from realtime_core.local import Reply, Script, Trouble, Turn
from telephony.call import clips
from telephony.call.pacing.policy import CallPolicy
from tests.support.exchange import CallerPhone, hear_out, story

pytestmark = pytest.mark.virtual_time


async def waits(phone: CallerPhone) -> None:
    await phone.agent_silent(100.0, within_s=200)


async def asks(phone: CallerPhone) -> None:
    await hear_out(phone)
    await phone.say("sorry_hours")
    await phone.agent_silent(100.0, within_s=200)


async def silent_server(url: str, headers: object) -> Connection:
    """It takes the connection, and says nothing."""
    ours, _theirs = memory_pair()
    return ours


async def slow_refusal(url: str, headers: object) -> Connection:
    await asyncio.sleep(6.0)
    raise ConnectFailed("Nobody listens there.")


@pytest.mark.parametrize("transport", [silent_server, slow_refusal])
async def test_a_model_that_cannot_be_reached(transport: object) -> None:
    result = await story(waits, model_config=RealtimeModelConfig(transport=transport))
    assert result.reason.startswith("failed")
    assert clips.one_moment() in result.heard
    assert clips.apology() in result.heard
    assert result.heard.index(clips.one_moment()) < 3 * 8000
    result.assert_no_undecided_silence()


async def test_a_model_that_turns_us_away_is_no_silent_line() -> None:
    """A wrong key: nothing to wait for, and nothing to hear but the apology."""

    async def refuses(url: str, headers: object) -> Connection:
        error = ConnectFailed("The key is not known.")
        error.status = 401
        raise error

    result = await story(waits, model_config=RealtimeModelConfig(transport=refuses))
    assert result.reason.startswith("failed")
    assert result.heard.index(clips.apology()) < 3 * 8000
    assert result.heard.rstrip(b"\xff").endswith(clips.apology().rstrip(b"\xff")), "to its last sample"


STALLS = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(say="We are open.", trouble=Trouble("stall", stall_s=300.0)))],
)


async def test_a_model_that_stalls_before_its_answer() -> None:
    result = await story(asks, script=STALLS)
    assert result.reason == "failed: no answer came"
    assert clips.one_moment() in result.heard
    assert clips.apology() in result.heard
    result.assert_no_undecided_silence()


async def test_without_the_policy_the_same_call_is_found_silent() -> None:
    """The check of these stories finds a silence that was not intended."""
    result = await story(
        asks, script=STALLS, policy=CallPolicy(answer_line_s=None, max_call_s=60.0), may_be_silent=True
    )
    assert result.silences() != []


async def test_a_model_that_stalls_in_the_middle_of_its_answer() -> None:
    reply = Reply(
        say="Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage.",
        trouble=Trouble("stall", at_s=1.0, stall_s=9.0),
    )

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await phone.agent_speaks()
        await phone.agent_silent(4.0)

    result = await story(caller, script=Script(greeting=Reply(say="Hello."), turns=[Turn(reply)]))
    assert clips.one_moment() not in result.heard, "a line in the middle of a sentence would only confuse"
    result.assert_no_undecided_silence()
    assert result.reason == "hung up"


async def test_responses_that_fail_are_asked_for_again_by_a_line_and_then_given_up() -> None:
    fails = Turn(Reply(trouble=Trouble("fail", code="invalid_request_error")))

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        for _ in range(4):
            await phone.say("sorry_hours")
            await hear_out(phone)
        await phone.agent_silent(60.0)

    result = await story(caller, script=Script(greeting=Reply(say="Hello."), turns=[fails] * 6))
    assert result.heard.count(clips.repeat()) == 2
    assert clips.apology() in result.heard
    assert result.reason == "failed: the model's responses fail"
    result.assert_no_undecided_silence()


async def test_a_call_that_is_given_up_goes_to_the_fallback_number() -> None:
    result = await story(waits, model_config=RealtimeModelConfig(transport=slow_refusal), fallback="+14155550111")
    assert result.exchange.dialled == ["+14155550111"]
    assert result.exchange.hung_up == []
