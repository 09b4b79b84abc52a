"""One suite of behaviours for every adapter of `Connection`."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from realtime_core.connection import Close
from realtime_core.testing import virtual_time
from tests.support.connection_links import CLOSE_TIMEOUT_S, LINKS, MAX_MESSAGE_BYTES, Link

Scenario = Callable[[Link], Awaitable[None]]
Play = Callable[[Scenario], None]
NEVER_S = 10.0
"""No scenario takes so long, unless something hangs."""


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


LOOPS: dict[str, Callable[[Coroutine[Any, Any, None]], None]] = {
    "": asyncio.run,
    "uvloop": on_uvloop,
    "virtual-time": virtual_time.run,
}


NO_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is an extra")
ON_UVLOOP = [pytest.param(f"{name} on uvloop", marks=NO_UVLOOP) for name in LINKS]


@pytest.fixture(params=[*LINKS, *ON_UVLOOP, "memory on virtual-time", "starlette in memory on virtual-time"])
def play(request: pytest.FixtureRequest) -> Play:
    """Play a scenario over one adapter."""
    adapter, _, loop = request.param.partition(" on ")
    run = LOOPS[loop]

    async def main(scenario: Scenario) -> None:
        async with asyncio.timeout(NEVER_S), LINKS[adapter]() as link:
            await scenario(link)

    return lambda scenario: run(main(scenario))


def test_messages_arrive_in_order_both_ways(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []
        running = asyncio.create_task(link.run(got.append))
        for number in range(200):
            link.connection.send(f"down {number} é")
            await link.peer.send(f"up {number} é")
        assert [await link.peer.receive() for _ in range(200)] == [f"down {n} é" for n in range(200)]
        await link.peer.close(1000)
        assert await running == Close(1000, "", "peer")
        assert got == [f"up {n} é" for n in range(200)]

    play(scenario)


def test_several_messages_at_once_arrive_one_by_one_and_in_order(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        link.connection.send("before")
        link.connection.send_all([])
        link.connection.send_all(["one", "two é", "x" * 70_000])
        link.connection.send("after")
        expected = ["before", "one", "two é", "x" * 70_000, "after"]
        assert [await link.peer.receive() for _ in expected] == expected
        await link.peer.close(1000)
        assert await running == Close(1000, "", "peer")
        link.connection.send_all(["too", "late"])

    play(scenario)


def test_what_comes_before_run_is_kept_and_what_is_sent_before_run_goes_out(play: Play) -> None:
    async def scenario(link: Link) -> None:
        for number in range(3):
            link.connection.send(f"early down {number}")
            await link.peer.send(f"early up {number}")
        await asyncio.sleep(0.02)
        got: list[str | bytes] = []
        running = asyncio.create_task(link.run(got.append))
        assert [await link.peer.receive() for _ in range(3)] == [f"early down {n}" for n in range(3)]
        await link.peer.send("late")
        await link.peer.close(1000)
        await running
        assert got == ["early up 0", "early up 1", "early up 2", "late"]

    play(scenario)


def test_our_close_goes_out_after_what_was_sent_and_later_sends_are_dropped(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []
        running = asyncio.create_task(link.run(got.append))
        link.connection.send("before")
        link.connection.close(4001, "enough")
        link.connection.close(4002, "again")
        link.connection.send("after the close")
        await link.peer.send("too late")
        assert await link.peer.receive() == "before"
        assert await link.peer.receive() == Close(4001, "enough", "peer")
        assert await running == Close(4001, "enough", "us")
        link.connection.send("after the end")
        link.connection.close()
        assert got == []

    play(scenario)


def test_the_peers_code_and_reason_are_reported(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []
        running = asyncio.create_task(link.run(got.append))
        await link.peer.send("last words")
        await link.peer.close(4007, "going för good")
        assert await running == Close(4007, "going för good", "peer")
        assert got == ["last words"]
        link.connection.send("after the end")
        assert isinstance(await link.peer.receive(), Close)

    play(scenario)


@pytest.mark.parametrize("play", [name for name in LINKS if "memory" not in name], indirect=True)
def test_a_close_without_a_code_is_1005(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        await link.peer.close(None)
        assert await running == Close(1005, "", "peer")

    play(scenario)


def test_a_peer_that_never_answers_the_close_is_given_up(play: Play) -> None:
    async def scenario(link: Link) -> None:
        loop = asyncio.get_running_loop()
        link.connection.send("x" * MAX_MESSAGE_BYTES)
        started = loop.time()
        link.connection.close(1000, "bye")
        assert await link.run(lambda _: None) == Close(1000, "bye", "us")
        assert loop.time() - started < CLOSE_TIMEOUT_S + 0.2

    play(scenario)


def test_a_break_without_a_handshake_is_1006_by_the_network(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        link.connection.send("hello")
        assert await link.peer.receive() == "hello"
        link.peer.break_()
        close = await running
        assert (close.code, close.by) == (1006, "network")

    play(scenario)


def test_pause_stops_delivery_and_resume_loses_nothing(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []

        def on_message(message: str | bytes) -> None:
            got.append(message)
            if len(got) % 3 == 0:
                link.connection.pause()
                link.connection.pause()

        running = asyncio.create_task(link.run(on_message))
        for number in range(10):
            await link.peer.send(f"{number}")
        await link.peer.close(1000)
        for resumed in range(1, 4):
            await asyncio.sleep(0.02)
            assert len(got) == 3 * resumed
            assert not running.done()
            link.connection.resume()
        link.connection.resume()
        assert await running == Close(1000, "", "peer")
        assert got == [f"{n}" for n in range(10)]

    play(scenario)


def test_a_handler_that_pauses_and_resumes_is_not_called_within_itself(play: Play) -> None:
    async def scenario(link: Link) -> None:
        steps: list[str] = []

        def on_message(message: str | bytes) -> None:
            steps.append(f"in {message!s}")
            link.connection.pause()
            link.connection.resume()
            steps.append(f"out {message!s}")

        for number in range(3):
            await link.peer.send(f"{number}")
        await link.peer.close(1000)
        await link.run(on_message)
        assert steps == [f"{step} {n}" for n in range(3) for step in ("in", "out")]

    play(scenario)


def test_buffered_bytes_grow_while_the_peer_does_not_read_and_shrink_when_it_does(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        chunk = "x" * 2**18
        sent = 0
        while link.connection.buffered_bytes < 3 * 2**20 and sent < 200:
            link.connection.send(chunk)
            sent += 1
            await asyncio.sleep(0.001)
        assert link.connection.buffered_bytes >= 3 * 2**20
        assert {await link.peer.receive() for _ in range(sent)} == {chunk}
        await asyncio.sleep(0.01)
        assert link.connection.buffered_bytes == 0
        await link.peer.close(1000)
        await running

    play(scenario)


def test_a_peer_that_never_reads_is_given_up_when_too_much_waits(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        for _ in range(200):
            link.connection.send("x" * 2**18)
            await asyncio.sleep(0.001)
        assert await running == Close(1006, "the peer does not read", "network")

    play(scenario)


def test_big_and_fragmented_and_binary_messages(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []
        running = asyncio.create_task(link.run(got.append))
        big = "é" * (MAX_MESSAGE_BYTES // 2)
        await link.peer.send(big)
        await link.peer.send("fragmented é" * 1000, fragments=7)
        await link.peer.send(b"\x00\xff" * 1000, fragments=3)
        await link.peer.send("")
        link.connection.send(big)
        assert await link.peer.receive() == big
        await link.peer.close(1000)
        await running
        assert got == [big, "fragmented é" * 1000, b"\x00\xff" * 1000, ""]
        assert type(got[2]) is bytes

    play(scenario)


def test_a_message_over_the_maximum_closes_with_1009(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: asyncio.Queue[str | bytes] = asyncio.Queue()
        running = asyncio.create_task(link.run(got.put_nowait))
        await link.peer.send("fits")
        assert await got.get() == "fits"
        await link.peer.send("x" * (MAX_MESSAGE_BYTES + 1))
        answer = await link.peer.receive()
        assert isinstance(answer, Close)
        assert answer.code == 1009
        close = await running
        assert (close.code, close.by) == (1009, "us")
        assert got.empty()

    play(scenario)


def test_an_exception_of_the_handler_closes_with_1011_and_is_raised(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: list[str | bytes] = []

        def on_message(message: str | bytes) -> None:
            got.append(message)
            raise LookupError("the handler's own")

        await link.peer.send("one")
        await link.peer.send("two")
        running = asyncio.create_task(link.run(on_message))
        answer = await link.peer.receive()
        assert isinstance(answer, Close)
        assert answer.code == 1011
        with pytest.raises(LookupError, match="the handler's own"):
            await running
        assert got == ["one"]

    play(scenario)


def test_cancelling_run_drops_the_connection_at_once(play: Play) -> None:
    async def scenario(link: Link) -> None:
        got: asyncio.Queue[str | bytes] = asyncio.Queue()
        running = asyncio.create_task(link.run(got.put_nowait))
        await link.peer.send("hello")
        assert await got.get() == "hello"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await link.peer.send("nobody listens")
        assert await link.peer.receive() == Close(1006, "", "network")
        link.connection.send("dropped")
        assert got.empty()

    play(scenario)


def test_a_code_that_must_not_be_sent_is_refused_and_a_long_reason_cut(play: Play) -> None:
    async def scenario(link: Link) -> None:
        for code in (0, 999, 1005, 1006, 2000, 5000):
            with pytest.raises(ValueError, match="not a close code"):
                link.connection.close(code)
        running = asyncio.create_task(link.run(lambda _: None))
        link.connection.close(1000, "é" * 100)
        assert await link.peer.receive() == Close(1000, "é" * 61, "peer")
        await running

    play(scenario)


def test_a_connection_is_run_once(play: Play) -> None:
    async def scenario(link: Link) -> None:
        running = asyncio.create_task(link.run(lambda _: None))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="only once"):
            await link.connection.run(lambda _: None)
        await link.peer.close(1000)
        assert await running == Close(1000, "", "peer")

    play(scenario)
