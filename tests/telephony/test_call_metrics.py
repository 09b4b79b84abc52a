"""The figures that the conversation of a call adds to the metrics."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime_core import RealtimeAgent, function_tool
from realtime_core.local import Call, Reply, Script, Turn
from realtime_core.usage import Usage
from telephony.metrics import MAX_VALUES, Metrics
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.plan import CallPlan
from telephony.simulator import callees
from telephony.simulator.handset import Handset
from telephony.web.call_metrics import CallMetrics
from tests.support.office import office, talks
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


@pytest.mark.virtual_time
async def test_metrics_of_whole_calls() -> None:
    """Endings by reason, agent and direction; outcomes of placed calls; tools; latencies as the caller hears them;
    capacity.
    """

    @function_tool
    async def look_up(name: str) -> str:
        """Look up a name."""
        if name == "Bob":
            raise ValueError("broken")
        return "known"

    names = ["Ada", "Bob"]
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Thank you."), calls=[Call("look_up", json.dumps({"name": each})) for each in names])],
        otherwise=Reply(say="Yes."),
    )
    agent = RealtimeAgent[Any](name="Desk", tools=[look_up])
    async with office(script, agent=agent, given={"telephony_max_calls": 7}) as (twilio, app):
        await twilio.ring(caller=talks)
        app.state.dialer.rules = DialingRules.none()
        twilio.callees["+14155550123"] = callees.busy()
        await app.state.dialer.place(CallPlan("+14155550123")).finished()
        await app.state.phone.control.hang_up("CA" + "0" * 32)
        app.state.phone.sample()
        value = app.state.phone.metrics.registry.get_sample_value

    inbound = {"direction": "inbound"}
    assert value("telephony_calls_total", inbound) == 1
    assert value("telephony_calls_ended_total", {**inbound, "agent": "Desk", "reason": "hung_up"}) == 1
    assert value("telephony_call_duration_seconds_count", inbound) == 1
    assert value("telephony_outgoing_calls_total", {"status": "busy", "answered_by": "none"}) == 1
    assert value("telephony_tool_calls_total", {"tool": "look_up", "outcome": "ok"}) == 1
    assert value("telephony_tool_calls_total", {"tool": "look_up", "outcome": "error"}) == 1
    assert value("telephony_tool_duration_seconds_count", {"tool": "look_up"}) == 2
    desk = {"agent": "Desk"}
    assert value("telephony_first_word_at_ear_seconds_count", desk) == 1
    assert value("telephony_response_latency_at_ear_seconds_count", desk) >= 1
    assert 0 < value("telephony_response_latency_at_ear_seconds_sum", desk) < 10
    assert value("telephony_rest_requests_total", {"action": "create_call", "code": "ok"}) == 1
    assert value("telephony_rest_requests_total", {"action": "hang_up", "code": "20404"}) == 1
    assert (value("telephony_calls_limit"), value("telephony_calls_live")) == (7, 0)
    assert (value("telephony_records_available"), value("telephony_records_waiting")) == (1, 0)
    assert value("telephony_calls_of_unknown_cost_total", {"model": "unknown"}) == 1


def test_tokens_are_counted_once_each_by_modality() -> None:
    metrics = Metrics()
    usage = Usage.of_response(
        {
            "input_tokens": 1010,
            "output_tokens": 900,
            "input_token_details": {
                "text_tokens": 200,
                "audio_tokens": 800,
                "cached_tokens": 500,
                "cached_tokens_details": {"text_tokens": 100, "audio_tokens": 400},
            },
            "output_token_details": {"audio_tokens": 900},
        }
    )
    metrics.tokens("gpt-realtime", usage)
    counted = {
        (each.labels["direction"], each.labels["modality"]): each.value
        for family in metrics.registry.collect()
        for each in family.samples
        if each.name == "telephony_tokens_total"
    }
    expected = {"text": 100, "audio": 400, "cached": 500, "unknown": 10}
    assert {name: count for (way, name), count in counted.items() if way == "input"} == expected
    assert counted["output", "audio"] == 900
    assert sum(counted.values()) == usage.total_tokens


def test_a_cost_that_is_not_known_is_counted_apart_and_not_as_0() -> None:
    metrics = Metrics()
    metrics.model_cost("a", None)
    metrics.model_cost("b", 0.25)
    value = metrics.registry.get_sample_value
    assert value("telephony_calls_of_unknown_cost_total", {"model": "a"}) == 1
    assert value("telephony_model_cost_usd_total", {"model": "a"}) is None
    assert value("telephony_model_cost_usd_total", {"model": "b"}) == 0.25


def test_the_values_of_a_label_are_bounded() -> None:
    metrics = Metrics()
    for n in range(200):
        metrics.call_ended("inbound", f"agent {n}", "hung_up", 1.0)
        metrics.tool_called(f"tool {n}", 0.1, failed=False)
    lines = metrics.render().decode().splitlines()
    assert len([line for line in lines if line.startswith("telephony_calls_ended_total{")]) == MAX_VALUES + 1
    assert len([line for line in lines if line.startswith("telephony_tool_calls_total{")]) == MAX_VALUES + 1
    assert any('agent="other"' in line and line.endswith(" 150.0") for line in lines)
