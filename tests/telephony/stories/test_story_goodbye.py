"""The agent hangs up: the caller hears the whole goodbye, and no more silence than it needs."""

from __future__ import annotations

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import Call, Reply, Script, Turn
from telephony import hang_up
from telephony.errors import TwilioServerError
from telephony.simulator.line import Line
from tests.support.exchange import CallerPhone, hear_out, story

pytestmark = pytest.mark.virtual_time

GOODBYE = "Thank you for calling Trattoria Blu. Goodbye!"
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(), filler=GOODBYE, calls=[Call("hang_up", "{}")]), Turn(Reply(say="Yes, we are open."))],
)
AGENT = RealtimeAgent(name="Desk", tools=[hang_up()])


async def caller(phone: CallerPhone) -> None:
    await hear_out(phone)
    await phone.say("goodbye")
    await phone.agent_silent(60.0, within_s=70)


@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("line", [Line(seed=1), Line.rough(seed=5)])
async def test_the_goodbye_is_heard_to_its_last_sample(line: Line, rest: bool) -> None:
    result = await story(caller, script=SCRIPT, agent=AGENT, line=line, rest=rest)
    assert result.reason == "agent hung up"
    assert result.exchange.over
    assert bool(result.exchange.hung_up) is rest, "with the API the call is ended there, without it by the TwiML"
    goodbye = list(result.spoken().values())[1]
    assert result.heard_whole(1)
    after = len(result.heard) - result.heard.index(goodbye) - len(goodbye)
    assert after / 8000 < 1.5, "and then the line is free"
    result.assert_no_undecided_silence()


async def test_a_caller_who_speaks_during_the_goodbye_is_not_hung_up_on() -> None:
    async def interrupts(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("goodbye")
        await phone.agent_speaks()
        await phone.heard(0.8)
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(interrupts, script=SCRIPT, agent=AGENT)
    assert result.reason == "hung up"
    assert result.exchange.hung_up == []
    assert result.heard_whole(2), "the call went on, and the caller was answered"
    result.assert_no_undecided_silence()


async def test_where_the_api_fails_the_call_is_ended_by_its_stream() -> None:
    def failing(exchange: object) -> None:
        exchange.refuses = lambda what: TwilioServerError("Twilio failed.")  # type: ignore[attr-defined]

    result = await story(caller, script=SCRIPT, agent=AGENT, prepare=failing)
    assert result.reason == "agent hung up"
    assert result.exchange.over and result.exchange.hung_up == []
    assert result.heard_whole(1)
