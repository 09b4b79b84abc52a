"""Callers hang up at random moments, and invalid messages come on the stream. No call is left over."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, RealtimeModelConfig, function_tool
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from telephony import create_app, hang_up, send_digits, transfer
from telephony.call.options import CallOptions
from telephony.call.registry import Registry
from telephony.journal.disk import settle
from telephony.journal.writer import open_journal
from telephony.settings import load_settings
from telephony.simulator.handset import Handset
from telephony.simulator.hosting import Host
from telephony.simulator.line import Line
from telephony.simulator.peer import MediaPeer
from tests.support.exchange import Exchange

pytestmark = pytest.mark.virtual_time

Messages = list[tuple[str | bytes, float]]


def timers() -> int:
    loop: Any = asyncio.get_running_loop()
    return sum(not handle.cancelled() for handle in loop._scheduled)


def last_lines(journals: Path) -> list[str]:
    return [path.read_text().splitlines()[-1] for path in journals.glob("*/journal.jsonl")]


def agent() -> RealtimeAgent[Any]:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.sleep(3.0)
        return "17"

    tools: list[Any] = [book_table, hang_up(), send_digits(), transfer(kitchen="+14155550123", warm=True)]
    return RealtimeAgent(name="Trattoria Blu", tools=tools)


@pytest.mark.virtual_time(watchdog_s=300)
async def test_hang_ups_at_random_moments_leave_nothing(tmp_path: Path) -> None:
    random = Random(7)

    async def one_call(registry: Registry, options: CallOptions, number: int) -> None:
        ours, theirs = memory_pair()
        peer = MediaPeer(theirs, line=Line(seed=number), sources=Sources(1000 + number))
        after = random.uniform(0.0, 14.0)
        how = random.choice(["hang up", "break", "close"])

        async def caller(phone: Handset) -> None:
            async with asyncio.timeout(after):
                await phone.agent_speaks()
                await phone.agent_silent(0.8)
                await phone.say("booking")
                await asyncio.sleep(30)

        async def impatient(phone: Handset) -> None:
            with suppress(TimeoutError):
                await caller(phone)
            if how == "break":
                theirs.break_()
            elif how == "close":
                theirs.close(1001)

        async with asyncio.TaskGroup() as group:
            group.create_task(registry.serve_stream(ours, agent(), options))
            await peer.run(impatient)

    model = LocalRealtimeServer("trattoria", in_memory=True, sources=Sources(2))
    async with model as server, Registry(10) as registry:
        exchange = Exchange(registry)
        options = CallOptions(
            greeting="Greet.",
            model_config=RealtimeModelConfig(**server.model_config),
            control=exchange,
            addresses=exchange,
            reattach_s=0.5,
            journal=lambda info: open_journal(tmp_path / info.sid / "journal.jsonl"),
        )
        await one_call(registry, options, 0)  # whatever is made once, is made now
        await registry.empty()
        await asyncio.sleep(5)
        assert settle(10)
        gc.collect()
        before = len(asyncio.all_tasks()), timers(), threading.active_count(), len(os.listdir("/proc/self/fd"))
        for batch in range(extent(3, 20)):
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(one_call(registry, options, 1 + 10 * batch + number))
            await registry.empty()
        await asyncio.sleep(5)
        assert settle(10)
        gc.collect()
        after = len(asyncio.all_tasks()), timers(), threading.active_count(), len(os.listdir("/proc/self/fd"))
        assert after == before
        assert len(registry) == 0
        ends = last_lines(tmp_path)
        assert len(ends) > 10 and all('"end"' in line and '"reason"' in line for line in ends), "each journal is whole"


# --- fuzz ------------------------------------------------------------------------------------------------------------

START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"caller": "+1"},
    },
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
payloads = st.sampled_from(["", "/w==", "////" * 54, "%%%", "fwAA", "/" * 213 + "w=="])
events = st.one_of(
    st.text(max_size=50),
    st.binary(max_size=50),
    values.map(json.dumps),
    st.fixed_dictionaries(
        {"event": st.sampled_from(["media", "mark", "dtmf", "stop", "start", "connected", "new"])},
        optional={
            "media": st.fixed_dictionaries(
                {"payload": payloads, "timestamp": st.integers(-5, 2**33).map(str), "chunk": st.just("1")}
            )
            | values,
            "mark": st.fixed_dictionaries({"name": st.text(max_size=30) | st.just("heard:0:0:1")}) | values,
            "dtmf": st.fixed_dictionaries({"digit": st.sampled_from(["1", "#", "x", ""])}) | values,
            "stop": values,
            "start": values | st.just(START["start"]),
            "streamSid": st.just("MZ1"),
            "sequenceNumber": st.integers(0, 10).map(str),
        },
    ).map(json.dumps),
    st.just(json.dumps(START)),
)
pauses = st.sampled_from([0.0, 0.0, 0.001, 0.02, 1.0, 7.0])


async def say_all(theirs: MemoryConnection, messages: Messages, end: str) -> None:
    for message, pause_s in messages:
        if isinstance(message, bytes):
            theirs.send_binary(message)
        else:
            theirs.send(message)
        await asyncio.sleep(pause_s)
    if end == "stop":
        theirs.send(json.dumps({"event": "stop", "sequenceNumber": "9", "streamSid": "MZ1", "stop": {}}))
    elif end == "close":
        theirs.close()
    elif end == "break":
        theirs.break_()


said = st.lists(st.tuples(events, pauses), max_size=25)
ends = st.sampled_from(["stop", "close", "break", "nothing"])


@settings(max_examples=extent(25, 600))
@given(said, ends)
async def test_whatever_comes_on_the_stream_the_call_ends_in_order(messages: Messages, end: str) -> None:
    async with LocalRealtimeServer("trattoria", in_memory=True, sources=Sources(2)) as server:
        async with Registry(10) as registry:
            options = CallOptions(greeting="Greet.", model_config=RealtimeModelConfig(**server.model_config))
            ours, theirs = memory_pair()

            async with asyncio.timeout(600), asyncio.TaskGroup() as group:
                serving = group.create_task(registry.serve_stream(ours, RealtimeAgent(name="Desk"), options))
                group.create_task(say_all(theirs, messages, end))
                await theirs.run(lambda message: None)
                await registry.empty()
            outcome = serving.result()
            assert outcome.call is not None or outcome.reason.startswith("refused")
        assert len(registry) == 0


@settings(max_examples=extent(15, 600))
@given(said, ends)
@example([(json.dumps(START), 0.0)], "break")
async def test_whatever_comes_on_the_servers_endpoint_leaves_no_call_behind(messages: Messages, end: str) -> None:
    """The same through the application: its route, its guard, its WebSocket."""
    async with LocalRealtimeServer("trattoria", in_memory=True, sources=Sources(2)) as server:
        config = RealtimeModelConfig(**server.model_config)
        app = create_app(RealtimeAgent(name="Desk"), greeting="Greet.", settings=load_settings(), model_config=config)
        async with Host(app) as host:
            theirs = await host.connect("ws://127.0.0.1:8000/media-stream", {})
            async with asyncio.timeout(600), asyncio.TaskGroup() as group:
                group.create_task(say_all(theirs, messages, end))
                await theirs.run(lambda message: None)
                await asyncio.sleep(1)  # the server may still read what was sent before the end
                await app.state.phone.registry.empty()
            assert len(app.state.phone.registry) == 0
