"""Every call has a record with what happened in it: also a call that was turned away or that ended before a word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from starlette.applications import Starlette

from realtime_core import RealtimeAgent, function_tool, realtime_handoff
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import CallInfo, hang_up, transfer
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.plan import CallPlan
from telephony.records.call_record import CallRecord
from telephony.simulator import Handset, callees
from telephony.simulator.twilio import OWN_NUMBER
from tests.support.office import office

pytestmark = pytest.mark.virtual_time

KITCHEN, CALLER = "+14155550123", "+14155550177"


@function_tool
def works() -> str:
    """Works."""
    return "done"


@function_tool(failure_error_function=None)
def breaks() -> str:
    """Fails."""
    raise LookupError("no")


def script(*calls: ToolCall) -> Script:
    return Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="That is done."), calls=list(calls))],
        otherwise=Reply(say="Yes, we are open."),
    )


async def record_of(app: Starlette, sid: str) -> CallRecord:
    await app.state.phone.registry.empty()
    found: CallRecord | None = await app.state.phone.call_records.client.call(sid)
    assert found is not None
    return found


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


async def test_a_whole_call(tmp_path: Path) -> None:
    agent = RealtimeAgent(name="Desk", tools=[works, breaks])
    journals = tmp_path / "calls"
    calls = script(ToolCall("works", "{}"), ToolCall("breaks", "{}"), ToolCall("works", "{}"))
    async with office(calls, agent=agent, given={"telephony_journal_dir": journals}) as (
        twilio,
        app,
    ):
        call = await twilio.ring(caller=asks, from_=CALLER)
        row = await record_of(app, call.sid)
        heard_s = app.state.phone.metrics.registry.get_sample_value(
            "telephony_response_latency_at_ear_seconds_sum", {"agent": "Desk"}
        )
        subject = app.state.phone.call_records.subjects.of(CALLER)
    assert (row.direction, row.caller, row.called) == ("inbound", "+14•••••••77", OWN_NUMBER)
    assert (row.subject, row.agent, row.agents) == (subject, "Desk", ["Desk"])
    assert row.started_at is not None and row.answered_at is not None and row.ended_at is not None
    assert row.started_at <= row.answered_at < row.ended_at
    assert (row.status, row.ending, row.reason) == ("completed", "hung_up", "hung up")
    assert row.tools == {"works": {"calls": 2, "failures": 0}, "breaks": {"calls": 1, "failures": 1}}
    assert row.turns is not None and len(row.turns) >= 2 and row.interruptions == 0
    assert row.turns[0]["latency_ms"] is None and any(turn["latency_ms"] for turn in row.turns)
    caller_latency = sum(turn["latency_ms"] or 0 for turn in row.turns) / 1000
    assert caller_latency == pytest.approx(heard_s, abs=0.005), "the latency as the caller heard it, as in the metrics"
    assert [turn["at_ms"] for turn in row.turns] == sorted(turn["at_ms"] for turn in row.turns)
    assert row.usage is not None and row.usage["input"]["tokens"] > 0 and row.usage["output"]["audio"] > 0
    assert row.transfers == [] and row.journal == str(journals / call.sid / "journal.jsonl")
    assert (row.cost, row.model_cost) == (None, None), "not known"
    shown = row.to_json()
    assert not {"subject", "process", "document"} & set(shown) and json.dumps(shown)


async def test_the_caller_s_interruptions_are_counted() -> None:
    async def interrupts(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(0.5)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        phone.hang_up()

    greeting = Reply(
        say="Hello. This is a long greeting that the caller does not want to hear to its end. Hello again."
    )
    async with office(Script(greeting=greeting, otherwise=Reply("Yes."))) as (twilio, app):
        call = await twilio.ring(caller=interrupts)
        row = await record_of(app, call.sid)
    assert row.interruptions == 1 and row.turns is not None and row.turns[0]["cut"] == "caller"


async def test_each_agent_that_took_the_call_is_named() -> None:
    billing = RealtimeAgent(name="Billing")
    agent = RealtimeAgent(name="Desk", handoffs=[realtime_handoff(billing)])
    async with office(script(ToolCall("transfer_to_billing", "{}")), agent=agent) as (twilio, app):
        call = await twilio.ring(caller=asks)
        row = await record_of(app, call.sid)
    assert (row.agents, row.agent) == (["Desk", "Billing"], "Billing")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("answers", [False, True])
async def test_transfers_have_their_result(warm: bool, answers: bool) -> None:
    async def cook(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(1.0)
        phone.press("1")
        await asyncio.sleep(10)

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await asyncio.sleep(30)
        phone.hang_up()

    agent = RealtimeAgent(name="Desk", tools=[transfer(kitchen=KITCHEN, warm=warm)])
    arguments = json.dumps({"target": "kitchen", **({"summary": "Ada."} if warm else {})})
    async with office(script(ToolCall("transfer", arguments)), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.person(cook, after_s=1.0) if answers else callees.busy()
        call = await twilio.ring(caller=caller)
        row = await record_of(app, call.sid)
    assert row.transfers is not None
    ((target, was_warm, succeeded),) = [(it["target"], it["warm"], it["succeeded"]) for it in row.transfers]
    assert (target, was_warm, succeeded) == ("kitchen", warm, answers)
    assert KITCHEN not in str(row.transfers)
    assert row.ending == ("transferred" if answers else "hung_up")


async def test_the_agent_hangs_up() -> None:
    async with office(script(ToolCall("hang_up", "{}")), agent=RealtimeAgent(name="Desk", tools=[hang_up()])) as (
        twilio,
        app,
    ):
        call = await twilio.ring(caller=asks)
        row = await record_of(app, call.sid)
    assert (row.ending, row.reason) == ("agent_hung_up", "agent hung up")


def ring(sid: str) -> CallInfo:
    return CallInfo(sid, caller=CALLER, called=OWN_NUMBER)


async def test_a_caller_who_hangs_up_before_the_first_word_has_a_call_record() -> None:
    async with office(script()) as (_, app):
        records = app.state.phone.call_records
        records.announced(ring("CA1"))
        row = await record_of(app, "CA1")
        assert (row.status, row.over, row.caller) == ("ringing", False, CALLER)
        await asyncio.sleep(61)
        row = await record_of(app, "CA1")
    assert (row.status, row.ending, row.ending_words) == ("interrupted", "no_stream", "no stream came")
    assert row.ended_at is not None and row.answered_at is None


async def test_an_announced_call_with_a_stream_continues() -> None:
    async def stays(phone: Handset) -> None:
        for _ in range(30):
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            await phone.say("sorry_hours")
        phone.hang_up()

    async with office(script(), given={"telephony_warm": False}) as (twilio, app):
        call = twilio.start_ringing(caller=stays)
        await asyncio.sleep(62)
        row = await app.state.phone.call_records.client.call(call.sid)
        assert not call.is_over, row.reason
        assert (row.status, row.ending) == ("in-progress", "")
        await call.finished()
        assert (await record_of(app, call.sid)).ending == "hung_up"


@pytest.mark.parametrize("why", ["caller", "draining"])
async def test_a_refused_caller_has_a_call_record(why: str) -> None:
    async with office(script(), given={"telephony_calls_per_caller_hour": 1}) as (twilio, app):
        await twilio.ring(caller=asks, from_=CALLER)
        app.state.phone.registry.draining = why == "draining"
        call = await twilio.ring(caller=asks, from_=CALLER)
        row = await record_of(app, call.sid)
    assert (row.status, row.ending, row.over, row.duration_s) == ("busy", f"refused-{why}", True, 0)
    assert row.reason.startswith("refused: ") and row.caller == "+14•••••••77" and row.called == OWN_NUMBER


async def test_a_number_that_has_no_agent_is_on_record() -> None:
    async with office(script(), agent={"+14155550100": RealtimeAgent(name="Desk")}) as (twilio, app):
        call = await twilio.ring(caller=asks)
        row = await record_of(app, call.sid)
    assert (row.ending, row.status) == ("refused-number", "completed")


@pytest.mark.parametrize("answers", [False, True])
async def test_a_call_that_we_placed(answers: bool) -> None:
    async def talks(phone: Handset) -> None:
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        phone.hang_up()

    agent = RealtimeAgent(name="Desk")
    async with office(script(), agent=agent) as (twilio, app):
        twilio.callees[KITCHEN] = callees.person(talks, after_s=0.5) if answers else callees.no_answer()
        app.state.dialer.rules = DialingRules.none()
        placed = app.state.dialer.place(CallPlan(KITCHEN, agent))
        await placed.finished()
        await asyncio.sleep(1)
        row = await record_of(app, placed.token)
        assert row.subject == app.state.phone.call_records.subjects.of(KITCHEN)
    assert (row.direction, row.caller, row.called) == ("outbound-api", OWN_NUMBER, "+14•••••••23")
    assert (row.answered_at is not None) is answers and row.ended_at is not None
    assert row.ending_code == ("hung_up" if answers else "no-answer")
    assert row.agents == (["Desk"] if answers else None)
