"""What a call's conversation adds to the figures."""

from __future__ import annotations

import asyncio

import pytest

from telephony.metrics import Metrics
from telephony.simulator.handset import Handset
from telephony.web.call_metrics import CallMetrics
from tests.support.phone_calls import phone_call


@pytest.mark.virtual_time
async def test_a_call_with_an_answer_and_a_barge_in() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.heard(0.5)
        await phone.say("hello")
        await phone.agent_silent(0.5)
        phone.hang_up()

    metrics = Metrics()
    call = await phone_call(caller, on_event=(CallMetrics(metrics).on_event,))
    stopped = call.records.of("model.in", "input_audio_buffer.speech_stopped")
    figures = {
        line.split()[0]: float(line.split()[1]) for line in metrics.render().decode().splitlines() if line[0] != "#"
    }
    assert len(stopped) >= 1
    assert 1 <= figures["telephony_response_latency_seconds_count"] <= len(stopped)
    assert 0 < figures["telephony_response_latency_seconds_sum"] < 5
    assert figures["telephony_barge_ins_total"] == len(call.records.of("interruption")) == 1
    assert figures["telephony_model_reconnects_total"] == 0


@pytest.mark.virtual_time
async def test_connections_that_are_made_anew() -> None:
    from realtime_core.events import RealtimeConnectionStatusEvent, RealtimeEventInfo

    metrics = Metrics()
    meter = CallMetrics(metrics)
    info = RealtimeEventInfo(context=None)  # type: ignore[arg-type]
    for status in ("connecting", "connected", "reconnecting", "connected", "connected"):
        meter.on_event(RealtimeConnectionStatusEvent(status=status, info=info))
        await asyncio.sleep(1)
    assert b"telephony_model_reconnects_total 1.0" in metrics.render()
