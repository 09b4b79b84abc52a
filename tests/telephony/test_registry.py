"""The call registry: sessions connected ahead, calls that affect no other call, ends in any order, and ended calls."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from telephony.call.call import CallInfo
from telephony.call.options import AgentSource, CallOptions
from telephony.call.registry import Registry
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from telephony.simulator.peer import MediaPeer
from telephony.twilio.callbacks import CallStatus
from telephony.twilio.media_stream import Start
from tests.support.phone_calls import Records

pytestmark = pytest.mark.virtual_time

AGENT = RealtimeAgent(name="Desk")


@asynccontextmanager
async def switchboard(max_calls: int = 10, **options: Any) -> AsyncIterator[tuple[Registry, CallOptions]]:
    model = LocalRealtimeServer("trattoria", in_memory=True, sources=Sources(2))
    async with model as server, Registry(max_calls) as registry:
        config = RealtimeModelConfig(**server.model_config)
        yield registry, CallOptions(**{"greeting": "Greet.", "model_config": config, **options})


def peer_of(theirs: MemoryConnection, number: int = 1) -> MediaPeer:
    return MediaPeer(theirs, line=Line(seed=number), sources=Sources(number))


async def first_word(
    registry: Registry, ours: MemoryConnection, peer: MediaPeer, agent: AgentSource, options: CallOptions
) -> float:
    """Serves the stream of a caller who waits for the agent's first word. Returns the time of this word."""
    heard = 0.0

    async def caller(phone: Handset) -> None:
        nonlocal heard
        await phone.agent_speaks()
        heard = phone.now

    async with asyncio.TaskGroup() as group:
        group.create_task(registry.serve_stream(ours, agent, options))
        await peer.run(caller)
    await registry.empty()
    return heard


async def first_word_after(warm: bool) -> float:
    async with switchboard() as (registry, options):
        connect = options.model_config["transport"]

        async def slowly(url: str, headers: Any) -> Any:
            await asyncio.sleep(0.8)
            return await connect(url, headers)

        options.model_config["transport"] = slowly
        ours, theirs = memory_pair()
        peer = peer_of(theirs)
        if warm:
            assert registry.begin_warm(CallInfo(peer.call_sid, caller="+1"), AGENT, options)
            assert not registry.begin_warm(CallInfo(peer.call_sid), AGENT, options), "once"
            await asyncio.sleep(1.0)

        return await first_word(registry, ours, peer, AGENT, options)


async def test_a_warm_session_speaks_sooner() -> None:
    assert await first_word_after(warm=False) - await first_word_after(warm=True) == pytest.approx(0.8, abs=0.1)


async def test_a_stream_that_breaks_before_its_admission_is_followed_by_another() -> None:
    """The database is slow, so the broken stream is admitted after Twilio has asked what comes next."""
    admissions = 0

    async def admit(start: Start) -> CallInfo:
        nonlocal admissions
        admissions += 1
        await asyncio.sleep(3.0 if admissions == 1 else 0.0)
        return CallInfo.of(start)

    async with switchboard(admit=admit, reattach_s=10.0) as (registry, options):
        (ours, theirs), (next_ours, next_theirs) = memory_pair(), memory_pair()
        first, second = peer_of(theirs), peer_of(next_theirs)
        assert registry.begin_warm(CallInfo(first.call_sid), AGENT, options)

        async def breaks(phone: Handset) -> None:
            await asyncio.sleep(0.5)
            ours.break_()
            end = registry.stream_end(first.call_sid)
            assert end is not None and (end.why, end.offered) == ("lost", 0)
            registry.stream_offered(first.call_sid)
            streams.create_task(registry.serve_stream(next_ours, AGENT, options))
            streams.create_task(second.run(hears))

        async def hears(phone: Handset) -> None:
            await phone.agent_speaks()
            await asyncio.sleep(3.0)
            (session,) = registry._sessions.values()
            assert session.leg.stream is not None and session.leg.stream.connection is next_ours
            phone.hang_up()

        async with asyncio.TaskGroup() as streams:
            streams.create_task(registry.serve_stream(ours, AGENT, options))
            await first.run(breaks)
        await registry.empty()
    assert admissions == 2


async def test_keys_and_a_stop_during_the_admission_are_not_lost() -> None:
    pressed: list[str] = []

    async def admit(start: Start) -> CallInfo:
        await asyncio.sleep(1.0)
        return CallInfo.of(start)

    async with switchboard(admit=admit, on_digit=lambda call, digit: pressed.append(digit)) as (registry, options):
        ours, theirs = memory_pair()
        serving = asyncio.create_task(registry.serve_stream(ours, AGENT, options))
        for message in early_messages():  # together, as a network delivers them after a pause
            theirs.send(message)
        outcome = await serving
        await registry.empty()
    assert pressed == ["1", "2"]
    assert outcome.reason == "hung up"


def early_messages() -> list[str]:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"streamSid": "MZ1", "accountSid": "AC1", "callSid": "CA1", "tracks": ["inbound"], "mediaFormat": form}
    keys = [{"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digit}} for digit in "12"]
    events: list[dict[str, Any]] = [{"event": "start", "start": start}, *keys, {"event": "stop", "stop": {}}]
    return [json.dumps({**event, "streamSid": "MZ1", "sequenceNumber": str(n)}) for n, event in enumerate(events, 1)]


async def test_a_warm_session_without_a_stream_is_dropped() -> None:
    records = Records()
    async with switchboard(max_calls=1, journal=lambda info: records) as (registry, options):
        assert registry.begin_warm(CallInfo("CA1"), AGENT, options)
        assert not registry.begin_warm(CallInfo("CA2"), AGENT, options), "there is no room"
        assert len(registry) == 1
        await asyncio.sleep(20)
        assert len(registry) == 0
    assert records.of("end")[0][1]["reason"] == "no stream came"
    assert records.of("close")[0][1]["peer"] == "model"


async def test_a_stream_that_comes_while_its_warm_call_fails_gets_an_apology() -> None:
    """The stream arrives in the moment between the failure and the end of the call."""
    stream_comes = asyncio.Event()

    async def picks(info: CallInfo) -> RealtimeAgent[Any]:
        await stream_comes.wait()
        raise ValueError("no such customer")

    async def admit(start: Start) -> CallInfo:
        stream_comes.set()
        (session,) = registry._sessions.values()
        await session.lifetime.wait()
        return CallInfo.of(start)

    async with switchboard(admit=admit) as (registry, options):
        ours, theirs = memory_pair()
        peer = peer_of(theirs)
        assert registry.begin_warm(CallInfo(peer.call_sid), picks, options)

        heard = await first_word(registry, ours, peer, picks, options)
    assert heard > 0, "the apology"


async def test_a_failing_call_harms_no_other() -> None:
    records: dict[str, Records] = {}

    def journal(info: CallInfo) -> Records:
        return records.setdefault(info.sid, Records())

    async with switchboard(journal=journal) as (registry, options):
        (ours, theirs), (bad_ours, bad_theirs) = memory_pair(), memory_pair()
        good, bad = peer_of(theirs, 1), peer_of(bad_theirs, 2)

        async def patient(phone: Handset) -> None:
            await phone.agent_speaks()
            await phone.agent_silent(3.0)

        async def breaks(phone: Handset) -> None:
            await phone.agent_speaks()
            session = registry._sessions[bad.call_sid]

            async def defect() -> None:
                raise RuntimeError("a defect of ours")

            session.lifetime.start(defect())
            await phone.agent_silent(60.0)

        async with asyncio.TaskGroup() as group:
            group.create_task(registry.serve_stream(ours, AGENT, options))
            group.create_task(registry.serve_stream(bad_ours, AGENT, options))
            group.create_task(good.run(patient))
            group.create_task(bad.run(breaks))
        await registry.empty()
        end = registry.stream_end(bad.call_sid)
        assert end is not None and end.why == "failed", "Twilio is told to apologise"
    assert records[good.call_sid].of("end")[0][1]["reason"] == "hung up"


def stop(stream_sid: str) -> str:
    return json.dumps({"event": "stop", "sequenceNumber": "9", "streamSid": stream_sid, "stop": {}})


@pytest.mark.parametrize("order", list(itertools.permutations(["stop", "close", "status", "hang up"])))
async def test_a_call_ends_once_for_each_first_report_of_its_end(order: tuple[str, ...]) -> None:
    records = Records()
    ends: list[Any] = []
    async with switchboard(journal=lambda info: records, on_end=ends.append) as (registry, options):
        ours, theirs = memory_pair()
        peer = peer_of(theirs)

        async def caller(phone: Handset) -> None:
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            for what in order:
                match what:
                    case "stop":
                        theirs.send(stop(peer.stream_sid))
                    case "close":
                        theirs.close(1000)
                    case "status":
                        registry.call_status(CallStatus(peer.call_sid, "completed"))
                    case "hang up":
                        for call in registry:
                            await call.hang_up(within_s=0.1)
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(registry.serve_stream(ours, AGENT, options))
            await peer.run(caller)
        await registry.empty()
    assert len(ends) == len(records.of("end")) == 1
    broke = order.index("close") < min(order.index("stop"), order.index("status"), order.index("hang up"))
    assert records.of("end")[0][1]["reason"] in (("stream lost",) if broke else ("hung up", "agent hung up"))


async def test_what_is_known_of_ended_calls_is_forgotten() -> None:
    async with switchboard() as (registry, options):
        ours, theirs = memory_pair()
        peer = peer_of(theirs)
        assert registry.stream_end(peer.call_sid) is None

        async def caller(phone: Handset) -> None:
            await phone.agent_speaks()
            live = registry.stream_end(peer.call_sid)
            assert live is not None and live.why == "lost", "a live call's stream is lost if Twilio asks"

        async with asyncio.TaskGroup() as group:
            group.create_task(registry.serve_stream(ours, AGENT, options))
            await peer.run(caller)
        await registry.empty()
        end = registry.stream_end(peer.call_sid)
        assert end is not None and end.why == "goodbye"
        await asyncio.sleep(601)
        assert registry.stream_end(peer.call_sid) is None


async def test_leaving_ends_the_calls_that_are_still_there() -> None:
    records = Records()
    ours, theirs = memory_pair()
    peer = peer_of(theirs)

    async def caller(phone: Handset) -> None:
        await phone.agent_silent(600.0)

    async with asyncio.TaskGroup() as group:
        async with switchboard(journal=lambda info: records) as (registry, options):
            serving = group.create_task(registry.serve_stream(ours, AGENT, options))
            talking = group.create_task(peer.run(caller))
            await asyncio.sleep(2)
        assert records.of("end")[0][1]["reason"] == "the process stops"
        assert (await talking).code == 1000
        await serving
