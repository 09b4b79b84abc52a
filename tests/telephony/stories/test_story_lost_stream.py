"""The caller's stream breaks, stalls or is slow: another one takes its place, and not a word is lost or said twice."""

from __future__ import annotations

import asyncio

import pytest
from exchange import Ear, Exchange, hear_out, story

from realtime_core.connection.memory import MemoryConnection
from realtime_core.local import Reply, Script, Turn

pytestmark = pytest.mark.virtual_time

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)
SCRIPT = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say="Yes, we are open."))])


async def asks_after_it(ear: Ear) -> None:
    await ear.agent_speaks()
    await ear.agent_silent(2.0)
    await ear.say("sorry_hours")
    await hear_out(ear)


def breaking_once(at_s: float) -> object:
    broken: list[MemoryConnection] = []

    def wire(connection: MemoryConnection) -> None:
        if not broken:
            broken.append(connection)
            asyncio.get_running_loop().call_later(at_s, connection.break_)

    return wire


def stalling_once(at_s: float, for_s: float) -> object:
    stalled: list[MemoryConnection] = []

    def wire(connection: MemoryConnection) -> None:
        if not stalled:
            stalled.append(connection)
            asyncio.get_running_loop().call_later(at_s, connection.stall, for_s)
            asyncio.get_running_loop().call_later(at_s, connection._peer.stall, for_s)

    return wire


async def test_a_broken_stream_is_replaced_and_the_sentence_goes_on() -> None:
    told = await story(asks_after_it, script=SCRIPT, wire=breaking_once(3.0))  # type: ignore[arg-type]
    assert told.exchange.streams == 2
    assert told.reason == "hung up"
    whole = next(iter(told.spoken().values())).rstrip(b"\xff")
    first, second = (peer.heard for peer in told.peers)
    assert whole[:16_000] in first
    assert whole[-32_000:] in second, "what was not heard is said on the new stream"
    assert told.heard_whole(1)
    told.assert_no_undecided_silence()


async def test_a_call_is_given_up_when_its_streams_keep_breaking() -> None:
    def always(connection: MemoryConnection) -> None:
        asyncio.get_running_loop().call_later(3.0, connection.break_)

    told = await story(asks_after_it, script=SCRIPT, wire=always)
    assert told.exchange.streams == 3, "twice at most"
    assert told.exchange.said == ["Sorry."]


async def test_a_dead_socket_is_found_out_and_replaced() -> None:
    async def caller(ear: Ear) -> None:
        await ear.agent_speaks()
        await ear.heard(10.0)
        await ear.agent_silent(1.0)
        await ear.say("sorry_hours")
        await hear_out(ear)

    told = await story(caller, script=SCRIPT, wire=stalling_once(3.0, 600.0))  # type: ignore[arg-type]
    assert told.exchange.streams == 2
    assert told.records.of("timer")[0][1]["name"] == "stalled"
    assert told.reason == "hung up"
    assert told.heard_whole(1)
    silences = told.silences()
    assert len(silences) <= 1 and all(end - begin < 8.0 for begin, end in silences), "what it takes to be sure"


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


async def test_a_stream_that_nobody_replaces_ends_the_call() -> None:
    def no_way_back(exchange: Exchange) -> None:
        async def nothing(ear: Ear, sid: str) -> bool:
            await asyncio.sleep(20)
            return False

        exchange.follow = nothing  # type: ignore[method-assign]

    told = await story(asks_after_it, script=SCRIPT, wire=breaking_once(3.0), prepare=no_way_back)  # type: ignore[arg-type]
    assert told.reason == "stream lost"
