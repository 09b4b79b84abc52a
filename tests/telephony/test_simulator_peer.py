"""The media peer over a connection in memory, in virtual time: its times are exact, so are these tests."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core.connection import Close
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.errors import CallerTimeout
from telephony.simulator import Caller, Handset, Line, MediaPeer, clips
from telephony.simulator.events import AudioReceived, BufferEmptied, Cleared, Closed, HungUp, MarkReturned
from telephony.twilio.media_stream import encode_clear, encode_mark, encode_media

SID = "MZ" + "0" * 32
LOUD = b"\x10\x90" * 4000
"""A second of tone, far above any threshold."""


class Server:
    """The other end: what came when, and `say` to answer."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.close: Close | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.close = await self.connection.run(lambda text: self.messages.append((loop.time(), json.loads(text))))

    def of(self, event: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, message) for at, message in self.messages if message["event"] == event]

    def play(self, ulaw: bytes) -> None:
        self.connection.send(encode_media(SID, ulaw))

    def mark(self, name: str) -> None:
        self.connection.send(encode_mark(SID, name))

    def clear(self) -> None:
        self.connection.send(encode_clear(SID))


Script = Callable[[Server], Awaitable[None]]


def call(caller: Caller | float, *scripts: Script, line: Line | None = None) -> tuple[MediaPeer, Server]:
    """Makes a call in virtual time. A number for `caller` is a person who listens for this number of seconds."""

    async def listen(phone: Handset) -> None:
        assert isinstance(caller, float)
        await asyncio.sleep(caller)

    async def main() -> tuple[MediaPeer, Server]:
        ours, theirs = memory_pair()
        server = Server(ours)
        peer = MediaPeer(theirs, stream_sid=SID, line=line or Line(seed=1), sources=Sources(1))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            tasks = [group.create_task(_script(script, server)) for script in scripts]
            (outcome,) = await asyncio.gather(
                peer.run(listen if isinstance(caller, float) else caller), return_exceptions=True
            )
            for task in tasks:
                task.cancel()
        if isinstance(outcome, BaseException):
            raise outcome
        return peer, server

    return virtual_time.run(main)


async def _script(script: Script, server: Server) -> None:
    await script(server)


def events(peer: MediaPeer, kind: type[Any]) -> list[Any]:
    return [event for event in peer.events if isinstance(event, kind)]


# --- what Twilio sends -----------------------------------------------------------------------------------------------


def test_frames_leave_each_20_ms_on_an_absolute_schedule() -> None:
    _, server = call(2.05)
    assert [message["event"] for _, message in server.messages[:2]] == ["connected", "start"]
    frames = server.of("media")
    assert [at for at, _ in frames] == pytest.approx([0.02 * n for n in range(1, 103)], abs=1e-9)
    assert [message["media"]["timestamp"] for _, message in frames] == [str(20 * n) for n in range(102)]
    assert [message["media"]["chunk"] for _, message in frames] == [str(n) for n in range(1, 103)]
    numbers = [int(message["sequenceNumber"]) for _, message in server.messages[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("ppm", [100.0, -100.0])
def test_the_phones_clock_drifts(ppm: float) -> None:
    async def play(server: Server) -> None:
        server.play(bytes(8000))
        server.mark("second")

    peer, server = call(100.0, play, line=Line(drift_ppm=ppm, seed=1))
    at = [at for at, _ in server.of("media")]
    assert at[999] == pytest.approx(20.0 / (1 + ppm * 1e-6), abs=1e-9)
    assert len(peer.heard) == pytest.approx(800_000 * (1 + ppm * 1e-6), abs=1)
    assert server.of("mark")[0][0] == pytest.approx(1 / (1 + ppm * 1e-6), abs=1e-9)


def test_the_callers_voice_is_in_the_frames() -> None:
    async def caller(phone: Handset) -> None:
        await phone.say("hello")
        assert phone.now == pytest.approx(len(clips.load("hello")) / 8000)
        phone.press("#")
        await phone.say(b"\x01" * 100)
        await asyncio.sleep(0.04)

    _, server = call(caller)
    said = b"".join(base64.b64decode(message["media"]["payload"]) for _, message in server.of("media"))
    assert said == clips.load("hello") + b"\x01" * 100 + b"\xff" * 60 + b"\xff" * 320
    assert [message["dtmf"] for _, message in server.of("dtmf")] == [{"track": "inbound_track", "digit": "#"}]


def test_hanging_up_stops_the_stream_and_closes() -> None:
    async def caller(phone: Handset) -> None:
        await asyncio.sleep(0.1)
        phone.hang_up()
        phone.press("1")
        phone.hang_up()

    peer, server = call(caller, line=Line(round_trip_s=0.2, seed=1))
    assert [message["event"] for _, message in server.messages[-2:]] == ["media", "stop"]
    assert server.messages[-1][0] == pytest.approx(0.2)
    assert server.close == Close(1000, "", "peer")
    assert len(events(peer, HungUp)) == 1
    assert len(peer.heard) == 800


def test_when_the_server_closes_the_caller_is_cut_off() -> None:
    cancelled = []

    async def caller(phone: Handset) -> None:
        try:
            await phone.agent_speaks()
        except asyncio.CancelledError:
            cancelled.append(phone.now)
            raise

    async def close(server: Server) -> None:
        await asyncio.sleep(0.5)
        server.connection.close(1000, "bye")

    peer, server = call(caller, close)
    assert cancelled == [0.5]
    assert not server.of("stop")
    assert events(peer, Closed) == [Closed(0.5, 1000, "bye", "peer")]
    assert len(peer.heard) == 4000


def test_what_the_caller_raises_is_raised() -> None:
    async def caller(phone: Handset) -> None:
        raise LookupError("lost the thread")

    with pytest.raises(LookupError, match="thread"):
        call(caller)


# --- what Twilio plays -----------------------------------------------------------------------------------------------


async def _one_second_and_marks(server: Server) -> None:
    await asyncio.sleep(0.1005)
    server.mark("before")
    server.play(LOUD)
    server.mark("after")


def test_a_perfect_line_plays_from_the_very_sample() -> None:
    peer, server = call(2.0, _one_second_and_marks)
    assert peer.heard == b"\xff" * 804 + LOUD + b"\xff" * (16000 - 8804)
    assert [message["mark"]["name"] for _, message in server.of("mark")] == ["before", "after"]
    assert [at for at, _ in server.of("mark")] == pytest.approx([0.1005, 1.1005], abs=0.0002)
    assert events(peer, BufferEmptied)[0].position == 8804


def test_delays_of_the_line_and_of_the_start_add_up() -> None:
    peer, server = call(2.0, _one_second_and_marks, line=Line(round_trip_s=0.1, start_delay_s=0.13, seed=1))
    begins = int((0.1005 + 0.05 + 0.13) * 8000)
    assert peer.heard.index(LOUD) == begins
    assert [at for at, _ in server.of("mark")] == pytest.approx([0.1005 + 0.1, 1.1005 + 0.1 + 0.13], abs=0.0002)


def test_on_ticks_everything_happens_each_20_ms() -> None:
    async def clear(server: Server) -> None:
        await _one_second_and_marks(server)
        await asyncio.sleep(0.333)
        server.clear()

    peer, server = call(2.0, clear, line=Line(ticks=True, seed=1))
    assert peer.heard == b"\xff" * 960 + LOUD[: 3520 - 960] + b"\xff" * (16000 - 3520)
    assert [at for at, _ in server.of("mark")] == pytest.approx([0.12, 0.44])
    (cleared,) = events(peer, Cleared)
    assert replace(cleared, at_s=0.44) == Cleared(0.44, 3520, 8000, 8000 - 2560, ("after",))
    assert cleared.at_s == pytest.approx(0.44)


def test_a_clear_flushes_and_returns_the_marks_in_order() -> None:
    async def barge_in(server: Server) -> None:
        server.play(LOUD)
        server.mark("a")
        server.play(LOUD)
        server.mark("b")
        server.mark("c")
        await asyncio.sleep(0.25)
        server.clear()
        server.mark("sentinel")
        await asyncio.sleep(0.25)
        server.play(LOUD[:80])

    peer, server = call(1.0, barge_in)
    assert peer.heard == LOUD[:2000] + b"\xff" * 2000 + LOUD[:80] + b"\xff" * 3920
    assert [message["mark"]["name"] for _, message in server.of("mark")] == ["a", "b", "c", "sentinel"]
    assert {at for at, _ in server.of("mark")} == {0.25}
    assert events(peer, Cleared) == [Cleared(0.25, 2000, 16000, 14000, ("a", "b", "c"))]
    assert [event.flushed for event in events(peer, MarkReturned)] == [True, True, True, False]


def test_ten_minutes_are_enough() -> None:
    async def flood(server: Server) -> None:
        for _ in range(602):
            server.play(bytes(8000))

    peer, _ = call(0.5, flood)
    assert [violation.code for violation in peer.violations] == [31931, 31931]
    assert events(peer, AudioReceived)[-1].buffered == 4_800_000


def test_nonsense_is_reported_and_the_call_continues() -> None:
    async def nonsense(server: Server) -> None:
        server.connection.send_binary(b"\0")
        for text in (
            "nonsense",
            '{"event":"media"}',
            encode_clear("MZ" + "1" * 32),
            encode_clear(SID)[:-1] + ',"a":1}',
        ):
            server.connection.send(text)
        server.play(LOUD)

    peer, _ = call(2.0, nonsense)
    assert [violation.code for violation in peer.violations] == [31950, 31951, 31951, 31951, 31951]
    assert peer.heard.startswith(LOUD)


def test_a_stall_holds_everything_and_lets_go_at_once() -> None:
    line = Line(stalls_per_minute=6, stall_s=(1.0, 1.5), seed=2)
    _, server = call(60.0, line=line)
    arrivals = [at for at, _ in server.of("media")]
    gaps = [second - first for first, second in pairwise(arrivals) if second - first > 0.5]
    assert gaps
    assert all(0.9 < gap <= 1.52 for gap in gaps)
    assert max(arrivals.count(at) for at in set(arrivals)) >= 49
    assert [message["media"]["chunk"] for _, message in server.of("media")] == [str(n) for n in range(1, 3001)]


# --- any order of events, any line -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["play", "play", "mark", "clear"]), st.integers(1, 3000), st.floats(0, 0.4)), max_size=25
)


@settings(max_examples=extent(25, 2000))
@given(STEPS, st.integers(0, 2**32), st.booleans())
def test_physics(steps: list[tuple[str, int, float]], seed: int, rough: bool) -> None:
    sent: list[str] = []
    played = bytearray()

    async def script(server: Server) -> None:
        for number, (step, samples, wait) in enumerate(steps):
            if step == "play":
                ulaw = bytes((len(played) + i) % 251 for i in range(samples))
                played.extend(ulaw)
                server.play(ulaw)
            elif step == "mark":
                sent.append(str(number))
                server.mark(str(number))
            else:
                server.clear()
            await asyncio.sleep(wait)

    line = Line.rough(seed=seed) if rough else Line(start_delay_s=(0, 0.2), seed=seed)
    peer, server = call(25.0, script, line=line)

    assert not peer.violations
    assert len(peer.heard) == int(25 * 8000 * (1 + peer.drawn.drift_ppm * 1e-6) + 1e-3)
    # What was sent and not flushed was heard: once, in order, and nothing else was.
    kept = bytearray()
    received = 0
    for event in peer.events:
        if isinstance(event, AudioReceived):
            kept += played[received : received + event.samples]
            received += event.samples
        elif isinstance(event, Cleared) and event.flushed:
            del kept[-event.flushed :]
    assert peer.heard.replace(b"\xff", b"") == kept
    assert received == len(played)
    # Every mark comes back, in order.
    assert [message["mark"]["name"] for _, message in server.of("mark")] == sent
    # After a clear there is silence until the next audio.
    for event, following in pairwise([e for e in peer.events if isinstance(e, AudioReceived | Cleared)]):
        if isinstance(event, Cleared):
            until = int(following.at_s * 8000)
            assert not peer.heard[event.position : until].replace(b"\xff", b"")


def test_one_seed_is_one_call() -> None:
    line = Line.rough(seed=5)
    first, second, other = (
        call(3.0, _one_second_and_marks, line=each) for each in (line, Line.rough(seed=5), Line.rough(seed=6))
    )
    assert first[0].events == second[0].events
    assert first[1].messages == second[1].messages
    assert first[1].messages != other[1].messages


# --- the ear ---------------------------------------------------------------------------------------------------------


async def _sentences(server: Server) -> None:
    """Half a second of nothing, 1 s, a pause of 0.2 s, 1 s, silence."""
    await asyncio.sleep(0.5)
    server.play(LOUD + b"\xff" * 1600 + LOUD)


def test_the_caller_goes_by_what_is_heard() -> None:
    times: list[float] = []

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        times.append(phone.now)
        await phone.heard(1.5)
        times.append(phone.now)
        await phone.agent_silent(0.8)
        times.append(phone.now)
        await phone.agent_silent(0.8)
        times.append(phone.now)

    call(caller, _sentences)
    assert times == pytest.approx([0.54, 2.04, 2.7 + 0.8, 2.7 + 0.8], abs=0.021)


def test_noise_is_no_voice() -> None:
    async def caller(phone: Handset) -> None:
        with pytest.raises(CallerTimeout):
            await phone.agent_speaks(within_s=2.0)
        assert phone.now == pytest.approx(2.0)

    async def noise(server: Server) -> None:
        server.play(b"\xfb\x7b" * 8000)  # +-4 of 32124

    call(caller, noise)


@pytest.mark.parametrize("wait", [Handset.agent_speaks, lambda phone: phone.heard(1.0, within_s=60)])
def test_a_simulated_caller_waits_for_a_limited_time(wait: Callable[[Handset], Awaitable[None]]) -> None:
    async def caller(phone: Handset) -> None:
        await wait(phone)

    with pytest.raises(CallerTimeout, match="waited too long"):
        call(caller)


def test_a_key_that_is_none() -> None:
    async def caller(phone: Handset) -> None:
        phone.press("12")

    with pytest.raises(ValueError, match="is not a key"):
        call(caller)
