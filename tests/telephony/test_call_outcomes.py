"""The outcome of each call: filled in by the agent, in the record, and given to `on_end`, whatever that does."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import threading
from typing import Any

import pytest
from starlette.applications import Starlette

from benchmarks.extent import pairs
from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import EndedCall, create_app
from telephony.outbound.dialing_rules import DialingRules
from telephony.outbound.plan import CallPlan
from telephony.simulator import Handset, callees
from telephony.simulator.twilio import OWN_NUMBER
from tests.support.misbehaviour import EXCEPTIONS
from tests.support.office import office, talks, until

pytestmark = pytest.mark.virtual_time

THEM = "+14155550123"


@dataclasses.dataclass
class Booking:
    people: int
    remark: str | None = None


def records(**fields: Any) -> Script:
    call = ToolCall("record_result", json.dumps(fields))
    return Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Thank you."), calls=[call])],
        otherwise=Reply(say="Yes."),
    )


async def types(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    for key in "4711":
        phone.press(key)
        await asyncio.sleep(0.2)
    await talks(phone)


async def test_an_inbound_call_has_the_result_that_its_agent_recorded() -> None:
    ended: list[EndedCall[Booking]] = []
    async with office(records(people=2), result=Booking, on_end=ended.append) as (twilio, app):
        call = await twilio.ring(caller=talks, from_=THEM)
        await until(lambda: bool(ended))
        row = await app.state.phone.call_records.client.call(call.sid)
    (outcome,) = ended
    assert (outcome.output, outcome.sid, outcome.direction) == (Booking(2), call.sid, "inbound")
    assert (outcome.caller, outcome.called, outcome.agents) == (THEM, OWN_NUMBER, ("Desk",))
    assert (outcome.ending, outcome.ending_code, outcome.status) == ("hung up", "hung_up", "completed")
    assert {line.who for line in outcome.transcript} == {"agent", "caller"}
    assert outcome.duration_s > 3 and outcome.ended_at is not None
    assert outcome.tools == {"record_result": {"calls": 1, "failures": 0}}
    assert outcome.model_cost is None, "nobody knows what this model costs"
    assert row.result == {"people": 2, "remark": None}


async def test_a_result_that_is_not_valid_is_none() -> None:
    ended: list[EndedCall[Booking]] = []
    async with office(records(people="many"), result=Booking, on_end=ended.append) as (twilio, app):
        call = await twilio.ring(caller=talks)
        await until(lambda: bool(ended))
        assert (await app.state.phone.call_records.client.call(call.sid)).result is None
    assert ended[0].output is None


async def test_a_record_shows_no_keys_that_the_caller_pressed() -> None:
    ended: list[EndedCall[Booking]] = []
    async with office(records(people=4711, remark="pin 4711"), result=Booking, on_end=ended.append) as (twilio, app):
        call = await twilio.ring(caller=types)
        await until(lambda: bool(ended))
        row = await app.state.phone.call_records.client.call(call.sid)
    assert ended[0].output == Booking(4711, "pin 4711"), "the application gets it as it is"
    assert row.result == {"people": "••••", "remark": "pin ••••"}


async def test_a_placed_call_ends_with_on_end_too() -> None:
    ended: list[EndedCall[Any]] = []
    async with office(records(people=3), on_end=ended.append) as (twilio, app):
        app.state.dialer.rules = DialingRules.none()
        twilio.callees[THEM] = callees.person(lambda phone: _answers(phone), after_s=0.5)
        placed = app.state.dialer.place(CallPlan(THEM, result=Booking, data={"name": "Ada"}))
        result = await placed.finished()
        await until(lambda: len(ended) == 1)
        twilio.callees[THEM] = callees.busy()
        await app.state.dialer.place(CallPlan(THEM)).finished()
        await until(lambda: len(ended) == 2)
        row = await app.state.phone.call_records.client.call(placed.token)
    talked, busy = ended
    assert (talked.output, talked.id, talked.sid) == (Booking(3), placed.token, result.sid)
    assert (talked.direction, talked.called, talked.answered_by) == ("outbound-api", THEM, "human")
    assert talked.agents == ("Desk",) and talked.data["name"] == "Ada"
    assert (busy.status, busy.ending_code, busy.output, busy.transcript) == ("busy", "busy", None, ())
    assert row.result == {"people": 3, "remark": None}


async def _answers(phone: Handset) -> None:
    for _ in range(2):
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)


@pytest.mark.parametrize(
    ("exception", "kind"), pairs(EXCEPTIONS, ["function", "coroutine function", "object", "returns a coroutine"])
)
async def test_on_end_may_raise_anything(exception: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def function(ended: EndedCall[Any]) -> None:
        called.append(ended.id)
        raise EXCEPTIONS[exception]()

    async def coroutine(ended: EndedCall[Any]) -> None:
        function(ended)

    class Callable_:
        async def __call__(self, ended: EndedCall[Any]) -> None:
            function(ended)

    kinds: dict[str, Any] = {
        "function": function,
        "coroutine function": coroutine,
        "object": Callable_(),
        "returns a coroutine": lambda ended: coroutine(ended),
    }
    async with office(records(people=2), on_end=kinds[kind]) as (twilio, app):
        first = await twilio.ring(caller=talks)
        second = await twilio.ring(caller=talks)
        await until(lambda: len(called) == 2)
        await until(lambda: _failures(app) == 2)
    assert called == [first.sid, second.sid]
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage().split(":")[0] for each in errors] == [f"Call {sid}" for sid in called]
    assert all(each.exc_info for each in errors)


def _failures(app: Starlette) -> float:
    name, labels = "telephony_application_failures_total", {"kind": "callback"}
    return app.state.phone.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_an_on_end_that_never_returns_holds_up_no_call_and_no_other_on_end() -> None:
    called: list[str] = []

    async def hangs(ended: EndedCall[Any]) -> None:
        called.append(ended.id)
        await asyncio.Event().wait()

    async with office(records(people=2), on_end=hangs) as (twilio, _):
        for n in range(1, 4):
            await twilio.ring(caller=talks)
            await until(lambda: len(called) == n)  # noqa: B023


async def test_a_plain_on_end_runs_in_a_thread() -> None:
    threads: list[threading.Thread] = []
    async with office(records(people=2), on_end=lambda ended: threads.append(threading.current_thread())) as (
        twilio,
        _,
    ):
        await twilio.ring(caller=talks)
        await until(lambda: bool(threads))
    assert threads[0] is not threading.main_thread()


def test_a_result_that_is_no_type_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="create_app: result"):
        create_app(RealtimeAgent(name="Desk"), result=str)
