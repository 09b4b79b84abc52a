"""The caller's stream breaks, stalls or is slow: another one takes its place, and not a word is lost or said twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, function_tool
from realtime_core.connection.memory import MemoryConnection
from realtime_core.local import Reply, Script, Turn
from telephony.call import clips
from telephony.errors import TwilioServerError
from telephony.simulator.events import AudioReceived
from telephony.simulator.line import Line
from tests.support.exchange import FRAME_S, CallerPhone, Exchange, Story, hear_out, story

pytestmark = pytest.mark.virtual_time

Wire = Callable[[MemoryConnection], None]

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)
SCRIPT = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say="Yes, we are open."))])


async def asks_after_it(ear: CallerPhone) -> None:
    await ear.agent_speaks()
    await ear.agent_silent(2.0)
    await ear.say("sorry_hours")
    await hear_out(ear)


async def holds_on(ear: CallerPhone) -> None:
    await asyncio.sleep(60.0)


def breaking_once(at_s: float) -> Wire:
    broken: list[MemoryConnection] = []

    def wire(connection: MemoryConnection) -> None:
        if not broken:
            broken.append(connection)
            asyncio.get_running_loop().call_later(at_s, connection.break_)

    return wire


def stalling(at_s: float, *, always: bool = False) -> Wire:
    """Both ways, for ever: the first stream, or each."""
    stalled: list[MemoryConnection] = []

    def stall(connection: MemoryConnection) -> None:
        for end in (connection, connection._peer):
            end.stall(600.0)

    def wire(connection: MemoryConnection) -> None:
        if always or not stalled:
            stalled.append(connection)
            asyncio.get_running_loop().call_later(at_s, stall, connection)

    return wire


async def test_a_broken_stream_is_replaced_and_the_sentence_continues() -> None:
    told = await story(asks_after_it, script=SCRIPT, wire=breaking_once(3.0))
    assert told.exchange.streams == 2
    assert told.reason == "hung up"
    whole = next(iter(told.spoken().values())).rstrip(b"\xff")
    first, second = (peer.heard for peer in told.peers)
    assert whole[:16_000] in first
    assert whole[-32_000:] in second, "what was not heard is said on the new stream"
    assert told.heard_whole(1)
    told.assert_no_undecided_silence()


async def test_a_call_without_addresses_waits_for_twilio_to_ask() -> None:
    told = await story(asks_after_it, script=SCRIPT, wire=breaking_once(3.0), addresses=None)
    assert told.exchange.streams == 2 and told.exchange.redirected == []
    assert [end["reason"] for _, end in told.records.of("end")] == ["hung up"], "one call"


async def test_a_call_is_given_up_when_its_streams_keep_breaking() -> None:
    def always(connection: MemoryConnection) -> None:
        asyncio.get_running_loop().call_later(3.0, connection.break_)

    told = await story(asks_after_it, script=SCRIPT, wire=always)
    assert told.exchange.streams == 3, "twice at most"
    assert told.exchange.said == ["Sorry."]


# --- a socket that is dead, and that nobody closes -------------------------------------------------------------------

FAR = Line(seed=4, round_trip_s=0.2, jitter_s=0.03, start_delay_s=0.2, ticks=True)


def far(exchange: Exchange) -> None:
    """Twilio's API is slow, the new stream takes its time, and the line is long."""
    exchange.rest_s, exchange.set_up_s = 0.4, 0.5


def dead_air(told: Story, after_s: float) -> list[float]:
    """How long nothing was heard, each time, from a moment on: seconds of silence and of no stream at all."""
    pauses, silent = [], 0
    for frame in told.ear.heard_frames[round(after_s / FRAME_S) :]:
        if frame.strip(b"\xff"):
            pauses.append(silent * FRAME_S)
            silent = 0
        else:
            silent += 1
    return [seconds for seconds in pauses if seconds > 0.5]


def heard_until(whole: bytes, heard: bytes) -> int:
    """Up to which sample a stream has had of an answer, from its first."""
    begin = heard.index(whole[:4000])
    return next(n for n, sample in enumerate(whole) if heard[begin + n : begin + n + 1] != bytes([sample]))


def resumed_at(whole: bytes, heard: bytes) -> int:
    """From which sample on the next one has it, to its last."""
    return len(whole) - heard_until(whole[::-1], heard[::-1])


async def test_a_dead_socket_in_mid_sentence_is_replaced_within_three_seconds_at_the_ear() -> None:
    async def caller(ear: CallerPhone) -> None:
        await ear.agent_speaks()
        await ear.heard(10.0)
        await ear.agent_silent(1.0)
        await ear.say("sorry_hours")
        await hear_out(ear)

    told = await story(caller, script=SCRIPT, line=FAR, prepare=far, wire=stalling(3.0))
    assert told.exchange.streams == 2
    assert [each["name"] for _, each in told.records.of("timer")] == ["stalled"]
    assert told.reason == "hung up"
    first, *_ = dead_air(told, 1.0)
    assert 2.0 < first < 3.0, "from the last sample that Twilio had to the first of the new stream"
    whole = next(iter(told.spoken().values())).rstrip(b"\xff")
    before, after = (peer.heard for peer in told.peers)
    lost = resumed_at(whole, after) - heard_until(whole, before)
    assert abs(lost) <= 0.1 * 8000, "not a word is lost, and none is said twice"
    assert told.heard_whole(1)


async def test_a_caller_who_spoke_into_a_dead_line_is_asked_to_say_it_again() -> None:
    async def caller(ear: CallerPhone) -> None:
        await hear_out(ear)
        await ear.say("hello")
        await ear.agent_speaks()
        await ear.agent_silent(1.0)
        await ear.say("sorry_hours")
        await hear_out(ear)

    script = Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say="Yes, we are open."))])
    told = await story(caller, script=script, line=FAR, prepare=far, wire=stalling(2.2))
    assert told.exchange.streams == 2
    assert told.heard.count(clips.repeat()) == 1
    assert told.heard_whole(-1), "and then was answered"


async def test_a_pending_answer_on_a_dead_line_is_held_up_with_a_line() -> None:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.sleep(6.0)
        return "17"

    async def caller(ear: CallerPhone) -> None:
        await hear_out(ear)
        await ear.say("booking")
        await asyncio.sleep(12.0)

    agent = RealtimeAgent(name="Trattoria Blu", tools=[book_table])
    stalled_s = 14.0
    told = await story(caller, agent=agent, line=FAR, prepare=far, wire=stalling(stalled_s), may_be_silent=True)
    ((asked_s, _),) = told.records.of("tool.start")
    assert asked_s < stalled_s < asked_s + 6.0, "while the tool runs, and before its line"
    assert told.exchange.streams == 2
    first = next(event for event in told.peers[1].events if isinstance(event, AudioReceived))
    began = told.peers[1].started_at - told.peers[0].started_at
    assert began + first.at_s + FAR.start_delay_s + FRAME_S < stalled_s + 3.0  # type: ignore[operator]
    assert clips.one_moment() in told.peers[1].heard
    assert told.reason == "hung up"
    silence_s = [round(end - begin, 1) for begin, end in told.silences()]
    assert all(seconds < 3.0 + 2.0 for seconds in silence_s), "the time for thinking comes on top"


async def test_a_loop_that_stands_still_costs_no_stream() -> None:
    """A blocked process also blocks its watchdog. When the process continues, the frames are there."""
    loop: Any = asyncio.get_running_loop()

    def held_up(connection: MemoryConnection) -> None:
        for at_s, for_s in ((3.0, 1.5), (5.0, 4.0), (9.5, 2.5)):
            loop.call_later(at_s, loop.stall, for_s)

    told = await story(asks_after_it, script=SCRIPT, wire=held_up, may_be_silent=True)
    assert told.exchange.streams == 1
    assert told.records.of("timer") == []
    assert told.reason == "hung up"


async def test_after_the_last_stream_the_caller_hears_from_twilio_itself() -> None:
    told = await story(holds_on, script=SCRIPT, line=FAR, prepare=far, wire=stalling(3.0, always=True),
                       apology="Something went wrong.", fallback="+14155550111")  # fmt: skip
    assert told.exchange.streams == 3, "twice at most"
    assert told.exchange.said == ["Something went wrong."]
    assert told.exchange.dialled == ["+14155550111"]
    assert told.exchange.hung_up == []
    assert told.reason == "stream lost"
    assert all(seconds < 3.0 for seconds in dead_air(told, 1.0))


async def test_a_broken_stream_that_twilio_does_not_notice_is_replaced_by_its_api() -> None:
    def deaf(exchange: Exchange) -> None:
        far(exchange)
        exchange.notices = False

    told = await story(asks_after_it, script=SCRIPT, line=FAR, prepare=deaf, wire=breaking_once(3.0))
    assert told.exchange.streams == 2 and len(told.exchange.redirected) == 1
    assert told.reason == "hung up"


@pytest.mark.parametrize("rest_s", [0.3, 30.0])
async def test_where_the_api_fails_the_dead_stream_is_closed_and_the_call_ends(rest_s: float) -> None:
    def failing(exchange: Exchange) -> None:
        exchange.refuses = lambda what: TwilioServerError("Twilio failed.")
        exchange.rest_s = rest_s

    told = await story(holds_on, script=SCRIPT, prepare=failing, wire=stalling(3.0), may_be_silent=True)
    assert told.records.of("close")[0][1]["by"] == "us"
    assert told.records.of("end")[0][1]["reason"] in ("stream lost", "hung up")


async def test_a_slow_socket_loses_nothing() -> None:
    """More than a second of stall, three times: late, and heard all the same, without a new stream."""

    def slow(connection: MemoryConnection) -> None:
        loop = asyncio.get_running_loop()
        for at_s in (2.0, 6.0, 10.0):
            loop.call_later(at_s, connection.stall, 1.2)
            loop.call_later(at_s, connection._peer.stall, 1.2)

    told = await story(asks_after_it, script=SCRIPT, wire=slow)
    assert told.exchange.streams == 1
    whole = next(iter(told.spoken().values())).rstrip(b"\xff")
    pieces = [whole[at : at + 1600] for at in range(0, len(whole) - 1600, 1600)]
    at = torn = 0
    for piece in pieces:
        found = told.heard.find(piece, at, at + 2 * 8000)
        torn += found < 0
        at = max(at, found)
    assert torn <= 6, "in order; a piece or two at each stall may be torn"
    told.assert_no_undecided_silence()


@pytest.mark.parametrize("seed", range(extent(2, 8)))
async def test_a_line_that_stalls_three_times_a_minute_costs_no_stream(seed: int) -> None:
    async def talks(ear: CallerPhone) -> None:
        for _ in range(3):
            await ear.agent_speaks()
            await ear.agent_silent(2.5)
            await ear.say("sorry_hours")
        await hear_out(ear)

    script = Script(greeting=Reply(say=LONG), otherwise=Reply(say=LONG))
    told = await story(talks, script=script, line=Line.rough(seed=seed), may_be_silent=True)
    assert told.exchange.streams == 1, "what TCP sends again within 1.5 s is no dead line"
    assert told.reason == "hung up"


async def test_a_stream_that_nobody_replaces_ends_the_call() -> None:
    def no_addresses(exchange: Exchange) -> None:
        exchange.hangs_up_after_stream = True

    told = await story(asks_after_it, script=SCRIPT, wire=breaking_once(3.0), prepare=no_addresses)
    assert told.reason == "stream lost"
