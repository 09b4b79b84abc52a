"""The causes of interruptions, and handoffs: in the journal, transcript, figures, picture, demo and softphone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import (
    GuardrailFunctionOutput,
    OutputGuardrail,
    RealtimeAgent,
    RunContextWrapper,
    function_tool,
)
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import Call
from telephony.console.selection import select
from telephony.demo.live_call import whole_call
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.cuts import CutCause, cause_of
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.journal.timeline import timeline_svg
from telephony.journal.transcript import events_of, to_json, to_text
from telephony.metrics import Metrics
from telephony.replay.call import HeardCall
from telephony.simulator.handset import Handset
from telephony.web.call_metrics import CallMetrics
from tests.support.phone_calls import PhoneCall, phone_call

pytestmark = pytest.mark.virtual_time

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)


async def no_mushrooms(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
    await asyncio.sleep(2.0)
    return GuardrailFunctionOutput("no mushrooms", tripwire_triggered="mushrooms" in text)


@function_tool
async def stop(ctx: RunContextWrapper[Call]) -> str:
    """Stop."""
    await asyncio.sleep(2.0)
    await ctx.context.interrupt()
    return "stopped"


@function_tool
async def stop_session(ctx: RunContextWrapper[Call]) -> str:
    """Stop."""
    await asyncio.sleep(2.0)
    await ctx.context.session.interrupt()
    return "stopped"


async def supervise(call: Call) -> None:
    await asyncio.sleep(4.0)
    await call.interrupt()


async def listens(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.5)
    phone.hang_up()


async def speaks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(2.0)
    await phone.say("sorry_hours")
    await phone.agent_silent(1.5)
    phone.hang_up()


async def presses(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(2.0)
    phone.press("1")
    await phone.agent_silent(1.5)
    phone.hang_up()


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.5)
    await phone.say("hello")
    await listens(phone)


async def cut_by(cause: str) -> tuple[PhoneCall, Metrics]:
    metrics, running = Metrics(), list[asyncio.Future[None]]()
    options: dict[str, Any] = {"on_event": (CallMetrics(metrics).on_event,)}
    script, agent, caller = Script(greeting=Reply(say=LONG)), RealtimeAgent[Any](name="Desk"), listens
    if cause == "guardrail":
        agent = RealtimeAgent(name="Desk", output_guardrails=[OutputGuardrail(no_mushrooms)])
    elif cause == "tool":
        agent, caller = RealtimeAgent(name="Desk", tools=[stop]), asks
        turn = Turn(Reply(say="Well."), filler=LONG, calls=[ToolCall("stop", "{}")])
        script = Script(greeting=Reply(say="Hello."), turns=[turn])
    elif cause == "tool's session":
        agent, caller = RealtimeAgent(name="Desk", tools=[stop_session]), asks
        turn = Turn(Reply(say="Well."), filler=LONG, calls=[ToolCall("stop_session", "{}")])
        script = Script(greeting=Reply(say="Hello."), turns=[turn])
    elif cause == "api":
        options["on_start"] = lambda call: running.append(asyncio.ensure_future(supervise(call)))
    else:
        caller = {"caller": speaks, "digit": presses}[cause]
    return await phone_call(caller, script=script, agent=agent, **options), metrics


def records_of(call: PhoneCall) -> list[Record]:
    return [Record(t, kind, fields) for t, kind, fields in call.records.all]


@pytest.mark.parametrize(
    ("by", "cause", "words"),
    [
        ("caller", "caller", "the caller interrupts: "),
        ("digit", "digit", "a key of the caller stops the agent: "),
        ("guardrail", "guardrail", "a guardrail stops the agent: "),
        ("tool", "tool", "a tool stops the agent: "),
        ("tool's session", "tool", "a tool stops the agent: "),
        ("api", "api", "the application stops the agent: "),
    ],
)
async def test_the_cause_of_a_cut_is_recorded_and_shown(by: str, cause: str, words: str) -> None:
    call, metrics = await cut_by(by)
    (cut,) = call.records.of("interruption")
    assert cut[1]["cause"] == cause
    records = records_of(call)
    recorded = collect(records)
    audio = rebuild(recorded)
    events = events_of(recorded, audio)
    assert words in to_text(events)
    assert [each["cause"] for each in to_json(events) if each["type"] == "interruption"] == [cause]
    figures = figures_of(recorded, audio)
    callers = cause in ("caller", "digit")
    shown = figures.to_json()
    assert (shown["counts"]["interruptions"], shown["cuts"]) == (int(callers), {cause: 1})
    assert len(shown["interruption_to_silence_ms"]) == len(HeardCall(lambda: records).interruptions) == int(callers)
    assert ("telephony_barge_ins_total 1" in metrics.render().decode()) == callers, metrics.render().decode()
    picture = timeline_svg(recorded, audio, events, figures)
    assert ("interrupted, silent within" in picture) == callers
    assert callers or words.removesuffix(": ") in picture
    result = "interrupted: " if cause == "caller" else words
    assert any(line.text.startswith(result) for line in whole_call(records)[0].lines)
    assert (select("interruption", cut[1]) or {})["cause"] == cause


async def test_a_guardrail_that_has_nothing_to_cut_leaves_the_next_cut_to_the_caller() -> None:
    async def never(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput("", tripwire_triggered="soup" not in text and "Hello" in text)

    agent = RealtimeAgent[Any](name="Desk", output_guardrails=[OutputGuardrail(never)])
    script = Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say=LONG), text="guardrail")] * 2)

    call = await phone_call(speaks, script=script, agent=agent)
    causes = [fields["cause"] for _, fields in call.records.of("interruption")]
    assert causes and causes[-1] == "caller", causes


async def test_a_handoff_is_recorded_and_shown() -> None:
    billing = RealtimeAgent[Any](name="Billing", instructions="You know the bills.")
    desk = RealtimeAgent[Any](name="Desk", handoffs=[billing])
    turn = Turn(Reply(say="This is Billing."), filler="One moment.", calls=[ToolCall("transfer_to_billing", "{}")])
    call = await phone_call(asks, script=Script(greeting=Reply(say="Hello."), turns=[turn]), agent=desk)
    (handoff,) = call.records.of("handoff")
    assert handoff[1] == {"from": "Desk", "to": "Billing"}
    records = records_of(call)
    recorded = collect(records)
    audio = rebuild(recorded)
    events = events_of(recorded, audio)
    assert "Desk hands over to Billing" in to_text(events)
    figures = figures_of(recorded, audio)
    assert figures.handoffs == 1
    assert "Desk hands over to Billing" in timeline_svg(recorded, audio, events, figures)
    assert any(line.kind == "handoff" for line in whole_call(records)[0].lines)
    assert select("handoff", handoff[1]) == {"kind": "handoff", "from": "Desk", "to": "Billing"}


@pytest.mark.parametrize("value", [None, 7, "somebody"])
def test_a_journal_without_causes_names_the_caller(value: Any) -> None:
    assert cause_of(value) is CutCause.CALLER
