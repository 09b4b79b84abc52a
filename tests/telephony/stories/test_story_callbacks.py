"""Twilio's callbacks come late, twice, and for unknown calls. Only the first news of each has an effect."""

from __future__ import annotations

import asyncio
import json
from itertools import permutations

import pytest

from realtime_core.connection.memory import MemoryConnection
from telephony.call.registry import Registry
from telephony.twilio.callbacks import CallStatus, DialResult, MachineDetection
from tests.support.exchange import CallerPhone, Exchange, hear_out, story

pytestmark = pytest.mark.virtual_time


async def test_late_and_doubled_status_callbacks_change_nothing() -> None:
    exchanges: list[Exchange] = []

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        registry, sid = exchanges[0].registry, exchanges[0].peer.call_sid
        for status in ("initiated", "ringing", "in-progress", "ringing", "in-progress"):
            registry.call_status(CallStatus(sid, status))
            registry.call_status(CallStatus(sid, status))
        registry.call_status(CallStatus("CAsomebody", "completed"))
        registry.dial_ended(DialResult(sid, "completed"))
        registry.dial_ended(DialResult("CAsomebody", "busy"))
        registry.machine_detected(MachineDetection("CAsomebody", "machine_start"))
        registry.machine_detected(MachineDetection(sid, "human"))
        assert "not there" in registry.leg_key("nobody", "1")
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, prepare=exchanges.append)
    assert result.reason == "hung up"
    assert result.heard_whole(0) and result.heard_whole(1)
    result.assert_no_undecided_silence()


async def test_a_call_that_is_over_by_its_status_ends_once() -> None:
    """The socket sends nothing, and the status callback reports the end. `stop` and the close arrive later."""
    exchanges: list[Exchange] = []

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        registry, sid = exchanges[0].registry, exchanges[0].peer.call_sid
        registry.call_status(CallStatus(sid, "completed"))
        registry.call_status(CallStatus(sid, "completed"))
        await asyncio.sleep(0.5)
        registry.call_status(CallStatus(sid, "completed"))

    result = await story(caller, prepare=exchanges.append)
    assert result.reason == "hung up"
    assert len(result.records.of("end")) == 1
    assert result.exchange.hung_up == []


@pytest.mark.parametrize("order", list(permutations(["stop", "close", "status"])))
async def test_a_call_ends_once_in_any_order_of_the_reports_of_its_end(order: tuple[str, ...]) -> None:
    exchanges: list[Exchange] = []
    wires: list[MemoryConnection] = []
    ends: list[str] = []

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        registry, peer = exchanges[0].registry, exchanges[0].peer
        assert peer is not None
        for word in order * 2:
            if word == "stop":
                wires[0].send(json.dumps({"event": "stop", "streamSid": peer.stream_sid, "stop": {}}))
            elif word == "close":
                wires[0].close(1000)
            else:
                registry.call_status(CallStatus(peer.call_sid, "completed"))
            await asyncio.sleep(0.03)

    result = await story(caller, prepare=exchanges.append, wire=wires.append, on_end=lambda call: ends.append(call.sid))
    assert result.reason == "hung up"
    assert len(ends) == len(result.records.of("end")) == 1
    assert result.exchange.hung_up == [], "nobody hangs up on a call that is over"
    assert result.exchange.streams == 1
    assert result.heard_whole(0)


async def test_a_machine_is_not_talked_to_for_ever() -> None:
    exchanges: list[Exchange] = []

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        registry, sid = exchanges[0].registry, exchanges[0].peer.call_sid
        registry.machine_detected(MachineDetection(sid, "machine_start"))
        while True:
            await phone.say("sorry_hours")
            await hear_out(phone)

    result = await story(caller, prepare=exchanges.append)
    assert result.reason == "a machine"
    assert 60 < len(result.heard) / 8000 < 90
    result.assert_no_undecided_silence()


async def test_a_bounded_number_of_ended_calls_is_remembered() -> None:
    async with Registry(1) as registry:
        assert registry.stream_end("CA1") is None
    result = await story(hear_out)
    assert result.reason == "hung up"
