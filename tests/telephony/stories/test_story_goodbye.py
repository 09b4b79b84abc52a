"""The agent hangs up: the goodbye is heard to its last sample, and not a moment of silence more than it takes."""

from __future__ import annotations

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import Call, Reply, Script, Turn
from telephony import hang_up
from telephony.errors import TwilioServerError
from telephony.simulator.line import Line
from tests.support.exchange import Ear, hear_out, story

pytestmark = pytest.mark.virtual_time

GOODBYE = "Thank you for calling Trattoria Blu. Goodbye!"
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(), filler=GOODBYE, calls=[Call("hang_up", "{}")]), Turn(Reply(say="Yes, we are open."))],
)
AGENT = RealtimeAgent(name="Desk", tools=[hang_up()])


async def caller(ear: Ear) -> None:
    await hear_out(ear)
    await ear.say("goodbye")
    await ear.agent_silent(60.0, within_s=70)


@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("line", [Line(seed=1), Line.rough(seed=5)])
async def test_the_goodbye_is_heard_to_its_last_sample(line: Line, rest: bool) -> None:
    told = await story(caller, script=SCRIPT, agent=AGENT, line=line, rest=rest)
    assert told.reason == "agent hung up"
    assert told.exchange.over
    assert bool(told.exchange.hung_up) is rest, "with the API the call is ended there, without it by the TwiML"
    goodbye = list(told.spoken().values())[1]
    assert told.heard_whole(1)
    after = len(told.heard) - told.heard.index(goodbye) - len(goodbye)
    assert after / 8000 < 1.5, "and then the line is free"
    told.assert_no_undecided_silence()


async def test_a_caller_who_speaks_during_the_goodbye_is_not_hung_up_on() -> None:
    async def interrupts(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("goodbye")
        await ear.agent_speaks()
        await ear.heard(0.8)
        await ear.say("sorry_hours")
        await hear_out(ear)

    told = await story(interrupts, script=SCRIPT, agent=AGENT)
    assert told.reason == "hung up"
    assert told.exchange.hung_up == []
    assert told.heard_whole(2), "the call went on, and the caller was answered"
    told.assert_no_undecided_silence()


async def test_where_the_api_fails_the_call_is_ended_by_its_stream() -> None:
    def failing(exchange: object) -> None:
        exchange.refuses = lambda what: TwilioServerError("Twilio failed.")  # type: ignore[attr-defined]

    told = await story(caller, script=SCRIPT, agent=AGENT, prepare=failing)
    assert told.reason == "agent hung up"
    assert told.exchange.over and told.exchange.hung_up == []
    assert told.heard_whole(1)
