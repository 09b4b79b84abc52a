"""The application's own code may do anything in a call: the caller hears something, and the failure is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.extent import pairs
from realtime_core import RealtimeAgent, function_tool
from realtime_core.errors import ConnectFailed
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.user_code import UserCode
from telephony import CallInfo
from telephony.call.clips import apology
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.format import Record
from telephony.journal.transcript import events_of, to_text
from telephony.metrics import Metrics
from telephony.simulator.handset import Handset
from telephony.web.routing import Routing
from tests.support.misbehaviour import RAISING, hostile
from tests.support.phone_calls import PhoneCall, phone_call

pytestmark = pytest.mark.virtual_time

Function = Callable[..., Any]


async def waits(phone: Handset) -> None:
    """A caller who only listens."""
    await phone.agent_speaks(within_s=30.0)
    await phone.agent_silent(30.0)


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


def never(*args: Any) -> Any:
    return asyncio.get_running_loop().create_future()


async def deaf_to_cancellation(*args: Any) -> Any:
    for _ in range(2):  # for ever would keep the test's own loop from ending
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


class Counted:
    """The counts of failures."""

    def __init__(self) -> None:
        self.kinds: list[UserCode] = []

    def __call__(self, kind: UserCode) -> None:
        self.kinds.append(kind)


NO_AGENT: dict[str, Function] = {
    **RAISING,
    "returns nothing": lambda info: None,
    "returns a class": lambda info: RealtimeAgent,
    "returns something hostile": hostile,
}


# The agent of a call


@pytest.mark.parametrize("behaviour", NO_AGENT)
async def test_a_choice_of_the_agent_that_fails_is_an_apology(behaviour: str) -> None:
    counted = Counted()
    call = await phone_call(waits, agent=NO_AGENT[behaviour], on_failure=counted)  # type: ignore[arg-type]
    assert apology() in call.peer.heard
    assert call.outcome.reason.startswith("failed")
    assert counted.kinds == [UserCode.AGENT]


@pytest.mark.parametrize("behaviour", ["raises StopIteration", "a coroutine raises SystemExit", "returns nothing"])
async def test_a_choice_among_called_numbers_that_fails_is_an_apology(behaviour: str) -> None:
    routing = Routing({"": NO_AGENT[behaviour]})
    call = await phone_call(waits, agent=routing.source)  # type: ignore[arg-type]
    assert apology() in call.peer.heard


@pytest.mark.parametrize("behaviour", [*RAISING, "returns something hostile"])
async def test_instructions_that_fail_are_an_apology(behaviour: str) -> None:
    counted = Counted()
    agent = RealtimeAgent(name="Desk", instructions=lambda context, agent: NO_AGENT[behaviour]())
    call = await phone_call(waits, agent=agent, on_failure=counted)
    assert apology() in call.peer.heard
    assert counted.kinds == [UserCode.INSTRUCTIONS]


@pytest.mark.parametrize("function", [never, deaf_to_cancellation])
@pytest.mark.parametrize("place", ["the choice of the agent", "the instructions"])
async def test_code_that_never_returns_is_a_line_and_an_apology(place: str, function: Function) -> None:
    agent: Any = function if place == "the choice of the agent" else RealtimeAgent(name="Desk", instructions=function)
    if place == "the instructions":
        agent = RealtimeAgent(name="Desk", instructions=lambda context, agent: function())
    call = await phone_call(waits, agent=agent)
    assert apology() in call.peer.heard
    assert call.outcome.reason.startswith("failed")


# How the model is reached


@pytest.mark.parametrize("behaviour", NO_AGENT)
async def test_a_choice_of_the_model_that_fails_is_an_apology(behaviour: str) -> None:
    counted = Counted()
    call = await phone_call(waits, call_model_config=NO_AGENT[behaviour], on_failure=counted)
    assert apology() in call.peer.heard
    assert counted.kinds == [UserCode.AGENT]


async def test_each_call_may_say_how_its_model_is_reached() -> None:
    seen: list[dict[str, str]] = []

    async def refuse(url: str, headers: dict[str, str]) -> Any:
        seen.append(headers)
        raise ConnectFailed("No model is needed here.")

    async def of_the_call(info: CallInfo) -> Any:
        return {"transport": refuse, "api_key": "sk-2", "safety_identifier": f"call-{info.sid[:2]}"}

    await phone_call(waits, call_model_config=of_the_call)
    assert seen[0] == {"Authorization": "Bearer sk-2", "OpenAI-Safety-Identifier": "call-CA"}


# Callbacks


@pytest.mark.parametrize(
    ("behaviour", "callback"),
    pairs(
        [name for name in RAISING if "coroutine" not in name],
        ["on_start", "on_end", "on_digit", "on_frame", "on_event"],
    ),
)
async def test_a_callback_that_fails_changes_nothing(
    callback: str, behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def presses(phone: Handset) -> None:
        await phone.agent_speaks()
        phone.press("1")
        await phone.agent_silent(1.0)
        phone.hang_up()

    counted = Counted()
    function = RAISING[behaviour]
    options: dict[str, Any] = {callback: (function,) if callback == "on_event" else function}
    call = await phone_call(presses, on_failure=counted, **options)
    assert call.outcome.reason == "hung up"
    assert apology() not in call.peer.heard
    assert set(counted.kinds) == {UserCode.CALLBACK}
    logged = [r for r in caplog.records if r.name == "realtime_core.user_code" and callback in r.getMessage()]
    assert len(logged) == 1
    assert logged[0].exc_info


# Tools


async def call_with(tool: Function, **options: Any) -> PhoneCall:
    script = Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say="Done."), calls=[ToolCall("t", "{}")])])
    agent = RealtimeAgent(name="Desk", tools=[function_tool(tool, name_override="t")])
    return await phone_call(asks, script=script, agent=agent, **options)


def transcript(call: PhoneCall) -> str:
    records = [Record(t, kind, fields) for t, kind, fields in call.records.all]
    recorded = collect(records)
    return to_text(events_of(recorded, rebuild(recorded)))


@pytest.mark.parametrize("behaviour", RAISING)
async def test_a_tool_that_fails_is_shown_as_failed(behaviour: str) -> None:
    counted = Counted()
    call = await call_with(lambda: RAISING[behaviour](), on_failure=counted)
    ((_, end),) = call.records.of("tool.end")
    assert end["error"]
    assert end["output"].startswith("An error occurred while running the tool.")
    assert f"tool t() failed ({end['error']}) -> An error occurred" in transcript(call)
    assert call.outcome.reason == "hung up"
    assert counted.kinds == [UserCode.TOOL]


async def test_a_tool_that_succeeds_has_no_error() -> None:
    counted = Counted()
    call = await call_with(lambda: "fine", on_failure=counted)
    ((_, end),) = call.records.of("tool.end")
    assert "error" not in end
    assert "tool t() -> fine" in transcript(call)
    assert counted.kinds == []


async def test_a_guardrail_that_fails_is_reported_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    from realtime_core import OutputGuardrail

    counted = Counted()
    agent = RealtimeAgent(name="Desk", output_guardrails=[OutputGuardrail(RAISING["raises SystemExit"], "polite")])
    call = await phone_call(waits, agent=agent, on_failure=counted)
    assert call.records.of("error")[0][1]["source"] == "guardrail"
    assert set(counted.kinds) == {UserCode.GUARDRAIL}
    assert "The model reported an error" not in caplog.text


def test_failures_are_counted_by_their_kind() -> None:
    metrics = Metrics()
    metrics.application_failed(UserCode.TOOL)
    metrics.application_failed(UserCode.TOOL)
    metrics.application_failed(UserCode.AGENT)
    text = metrics.render().decode()
    assert 'telephony_application_failures_total{kind="tool"} 2.0' in text
    assert 'telephony_application_failures_total{kind="choice of the agent"} 1.0' in text
