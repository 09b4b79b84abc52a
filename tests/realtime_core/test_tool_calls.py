"""The life of tool calls in a session: rows 31 to 42 of the behaviour table."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from realtime_core import (
    FunctionTool,
    ModelBehaviorError,
    RealtimeAgent,
    RunContextWrapper,
    SilentResult,
    ToolContext,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    ToolTimeoutError,
    UserError,
    function_tool,
    realtime_handoff,
    tool_input_guardrail,
    tool_output_guardrail,
)
from realtime_core.handoffs import Handoff
from realtime_core.model_inputs import RealtimeModelSendResponseCreate, RealtimeModelSendToolOutput
from realtime_core.testing import RealtimeStep, ScriptedRealtimeModel
from realtime_core.tools import tool_output_text
from tests.support.session_kit import Kit, call, opened, settle

pytestmark = pytest.mark.virtual_time


@function_tool
async def echo(text: str = "x") -> str:
    return text


def agent(*tools: Any, **fields: Any) -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Desk", tools=list(tools), **fields)


def slow(name: str, seconds: float, log: list[str] | None = None, **options: Any) -> FunctionTool:
    async def run() -> str:
        if log is not None:
            log.append(f"{name} began")
        await asyncio.sleep(seconds)
        if log is not None:
            log.append(f"{name} ended")
        return name

    return function_tool(run, name_override=name, **options)


def errors(kit: Kit) -> list[Any]:
    return [event.error for event in kit.of("error")]


# Rows 31 to 34: dispatch, events, output


async def test_a_call_runs_and_its_output_is_sent_before_the_end_is_reported() -> None:
    event = call("echo", '{"text": "Friday"}')
    async with opened(desk := agent(echo)) as kit:
        kit.emit(event)
        assert kit.types == ["history_updated", "history_added"]  # nothing of a user's runs in the model's step
        await settle()
        assert kit.types[2:] == ["tool_start", "history_updated", "tool_end"]
        start, end = kit.of("tool_start")[0], kit.of("tool_end")[0]
        assert (start.agent, start.tool, start.arguments, start.call_id) == (desk, echo, event.arguments, "call_1")
        assert (end.output, end.call_id, end.arguments) == ("Friday", "call_1", event.arguments)
        assert kit.sent == [RealtimeModelSendToolOutput(event, "Friday", start_response=True)]


async def test_tool_end_has_what_the_tool_returned_and_the_model_gets_text() -> None:
    @function_tool
    async def table() -> dict[str, int]:
        return {"table": 4}

    async with opened(agent(table)) as kit:
        kit.emit(call("table"))
        await settle()
        assert (kit.of("tool_end")[0].output, kit.outputs) == ({"table": 4}, [('{"table": 4}', True)])


async def test_calls_run_side_by_side_and_never_hold_up_the_session() -> None:
    log: list[str] = []
    async with opened(agent(slow("a", 2, log), slow("b", 1, log))) as kit:
        kit.emit(call("a", call_id="1"), call("b", call_id="2"))
        await settle(1.5)
        assert log == ["a began", "b began", "b ended"]
        await settle(1)
        assert [output for output, _ in kit.outputs] == ["b", "a"]
        assert kit.of("tool_end")[1].duration_s == 2.0


async def test_tool_calls_run_one_after_another_without_async_tool_calls() -> None:
    log: list[str] = []
    async with opened(agent(slow("a", 2, log), slow("b", 1, log)), run_config={"async_tool_calls": False}) as kit:
        kit.emit(call("a", call_id="1"), call("b", call_id="2"))
        await settle(5)
        assert log == ["a began", "a ended", "b began", "b ended"]


async def test_the_limit_of_concurrent_tool_calls_is_kept() -> None:
    running = peak = 0

    @function_tool
    async def count() -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1

    async with opened(agent(count), run_config={"tool_execution": {"max_concurrent": 3}}) as kit:
        kit.emit(*[call("count", call_id=str(n)) for n in range(10)])
        await settle(10)
        assert (peak, len(kit.outputs)) == (3, 10)


async def test_the_context_knows_the_call_and_the_users_object() -> None:
    seen: list[ToolContext[Any]] = []

    @function_tool
    async def look(ctx: ToolContext[Any], a: int) -> None:
        seen.append(ctx)

    async with opened(desk := agent(look), context={"user": 1}) as kit:
        kit.emit(call("look", '{"a": 1}'))
        await settle()
        (ctx,) = seen
        assert (ctx.tool_name, ctx.tool_call_id, ctx.tool_arguments, ctx.agent) == ("look", "call_1", '{"a": 1}', desk)
        assert ctx.context is kit.session.context.context
        assert ctx.usage is kit.session.usage


async def test_the_agent_of_the_moment_of_the_call_counts() -> None:
    async with opened(desk := agent(slow("wait", 1), echo)) as kit:
        kit.emit(call("wait", call_id="1"), call("echo", call_id="2"))
        await kit.session.update_agent(RealtimeAgent(name="Other"))
        await settle(2)
        assert [event.agent for event in kit.of("tool_end")] == [desk, desk]
        kit.emit(call("echo", call_id="3"))
        await settle()
        assert kit.outputs[-1] == ("Tool echo not found", True)


async def test_tools_given_in_the_initial_settings_can_be_called() -> None:
    off = function_tool(lambda: "off", name_override="echo", is_enabled=False)
    settings: Any = {"tools": [echo, off]}
    async with opened(agent(slow("ignored", 1)), model_config={"initial_model_settings": settings}) as kit:
        assert [t.name for t in kit.model.connect_calls[0]["initial_model_settings"]["tools"]] == ["echo"]
        kit.emit(call("echo"))
        await settle()
        assert kit.outputs == [("x", True)]


async def test_a_tool_that_was_disabled_meanwhile_does_not_run() -> None:
    enabled = True
    tool = function_tool(lambda: "ran", name_override="f", is_enabled=lambda ctx, agent: enabled)
    async with opened(agent(tool)) as kit:
        enabled = False
        kit.emit(call("f"))
        await settle()
        assert kit.outputs == [("Tool f not found", True)]


async def test_settings_of_the_session_do_not_ask_again_what_is_enabled() -> None:
    asked: list[str] = []

    def only_once(ctx: Any, agent: Any) -> bool:
        asked.append(agent.name)
        return len(asked) <= 2

    tool = function_tool(lambda: "ran", name_override="f", is_enabled=only_once)
    handoff = realtime_handoff(RealtimeAgent(name="Sales"), is_enabled=only_once)
    model = ScriptedRealtimeModel(strict=False)
    async with opened(
        agent(tool, handoffs=[handoff]), model=model, model_config={"initial_model_settings": {"voice": "marin"}}
    ):
        settings = model.connect_calls[0]["initial_model_settings"]
        assert (settings["tools"], settings["handoffs"], asked) == ([tool], [handoff], ["Desk", "Desk"])


async def test_names_must_be_unique_among_what_is_enabled() -> None:
    twin = function_tool(lambda: "twin", name_override="echo")
    with pytest.raises(UserError, match="have the name 'echo'"):
        async with opened(agent(echo, twin)):
            pass
    async with opened(agent(echo, function_tool(lambda: 1, name_override="echo", is_enabled=False))):
        pass


async def test_tools_by_shape() -> None:
    async def on_invoke_tool(ctx: Any, arguments: str) -> Any:
        # openai-agents' tools look for these in their context.
        prepared, ctx._function_tool_arguments = ctx._function_tool_arguments, None
        assert (prepared, ctx.run_config) == (None, None)
        return {"got": json.loads(arguments)}

    foreign = SimpleNamespace(name="foreign", description="", params_json_schema={}, on_invoke_tool=on_invoke_tool)
    async with opened(agent(foreign)) as kit:
        kit.emit(call("foreign", '{"a": 1}'))
        await settle()
        assert kit.outputs == [('{"got": {"a": 1}}', True)]


# Row 35


async def test_an_unknown_tool_is_answered_and_spoken_about() -> None:
    """Deliberate difference: the reference starts no response, and the caller hears silence."""
    async with opened(agent(echo)) as kit:
        kit.emit(call("nonsense"))
        await settle()
        assert kit.outputs == [("Tool nonsense not found", True)]
        assert isinstance(errors(kit)[0], ModelBehaviorError)


# Rows 36 and 37: failures


async def test_a_tool_that_raises_is_reported_and_the_session_lives() -> None:
    """Deliberate difference: with failure_error_function=None the reference closes the session and sends nothing."""

    def broken() -> None:
        raise ValueError("secret detail")

    async with opened(
        agent(
            function_tool(broken, name_override="polite"),
            function_tool(broken, name_override="terse", failure_error_function=None),
        )
    ) as kit:
        kit.emit(call("polite", call_id="1"))
        await settle()
        kit.emit(call("terse", call_id="2"))
        await settle()
        assert kit.outputs == [
            ("An error occurred while running the tool. Please try again. Error: secret detail", True),
            ("An error occurred while running the tool.", True),
        ]
        assert [str(error) for error in errors(kit)] == ["secret detail"]
        assert kit.session.status == "connected"


async def test_a_tool_that_cancels_itself_has_failed() -> None:
    @function_tool
    async def suicidal() -> None:
        raise asyncio.CancelledError

    async with opened(agent(suicidal)) as kit:
        kit.emit(call("suicidal"))
        await settle()
        assert kit.outputs == [("An error occurred while running the tool.", True)]
        assert len(errors(kit)) == 1


async def test_timeouts_are_results() -> None:
    def words(ctx: RunContextWrapper[Any], error: Exception) -> str:
        assert isinstance(error, ToolTimeoutError)
        return f"{error.tool_name}: too slow"

    async with opened(
        agent(
            slow("plain", 9, timeout=1),
            slow("loud", 9, timeout=1, timeout_behavior="raise_exception"),
            slow("formatted", 9, timeout=1, timeout_error_function=words),
            slow("by_default", 9),
        ),
        run_config={"tool_execution": {"timeout_seconds": 2}},
    ) as kit:
        for n, name in enumerate(("plain", "loud", "formatted", "by_default")):
            kit.emit(call(name, call_id=str(n)))
        await settle(3)
        assert sorted(kit.outputs) == [
            ("Tool 'by_default' timed out after 2 seconds.", True),
            ("Tool 'loud' timed out after 1 seconds.", True),
            ("Tool 'plain' timed out after 1 seconds.", True),
            ("formatted: too slow", True),
        ]
        assert [type(error) for error in errors(kit)] == [ToolTimeoutError]


# Row 38: once and only once


async def test_a_call_that_comes_again_does_not_run_again() -> None:
    log: list[str] = []
    async with opened(agent(slow("once", 1, log))) as kit:
        kit.emit(call("once"), call("once"))
        await settle(2)
        kit.emit(call("once"))
        await settle(2)
        assert (log, len(kit.outputs)) == (["once began", "once ended"], 1)


async def test_a_call_id_of_another_call_is_refused() -> None:
    async with opened(agent(echo)) as kit:
        kit.emit(call("echo", '{"text": "a"}'), call("echo", '{"text": "b"}'), replace(call("echo"), call_id=""))
        await settle()
        assert kit.outputs == [("a", True)]
        assert [type(error) for error in errors(kit)] == [ModelBehaviorError, ModelBehaviorError]
        assert kit.session.status == "connected"


async def test_an_output_that_could_not_be_sent_is_sent_later_without_running_again() -> None:
    log: list[str] = []
    event = call("once")
    output = RealtimeModelSendToolOutput(event, "once")
    model = ScriptedRealtimeModel([RealtimeStep(output, error=OSError("lost")), RealtimeStep(output)])
    async with opened(agent(slow("once", 0.01, log)), model=model) as kit:
        kit.emit(event)
        await settle(1)
        assert "tool_end" not in kit.types
        assert [str(error) for error in errors(kit)] == ["lost"]
        assert kit.session.history[0].status == "in_progress"
        kit.emit(event)
        await settle(1)
        assert (len(kit.sent), log) == (2, ["once began", "once ended"])
        assert kit.session.history[0].status == "completed"
    model.assert_complete()


async def test_what_is_remembered_of_calls_is_bounded() -> None:
    async with opened(agent(echo)) as kit:
        for number in range(1500):
            kit.emit(call("echo", call_id=str(number)))
        await settle(1)
        kit.emit(call("echo", call_id="last"))
        await settle()
        assert len(kit.outputs) == 1501
        assert len(kit.session._tools._calls) <= 1024


# Row 39: approval


def guarded(**options: Any) -> FunctionTool:
    return function_tool(lambda: "ran", name_override="guarded", **{"needs_approval": True, **options})


async def test_a_call_waits_for_approval() -> None:
    async with opened(desk := agent(tool := guarded())) as kit:
        kit.emit(call("guarded", "{}"))
        await settle(60)
        (requested,) = kit.of("tool_approval_required")
        assert (requested.agent, requested.tool, requested.call_id, requested.arguments) == (desk, tool, "call_1", "{}")
        assert kit.outputs == []
        await kit.session.approve_tool_call("call_1")
        await settle()
        assert kit.outputs == [("ran", True)]


async def test_a_rejected_call_does_not_run_and_the_model_learns() -> None:
    async with opened(agent(guarded())) as kit:
        kit.emit(call("guarded", call_id="1"), call("guarded", call_id="2"))
        await settle()
        await kit.session.reject_tool_call("1")
        await kit.session.reject_tool_call("2", rejection_message="Ask a human.")
        await settle()
        assert kit.outputs == [("Tool execution was not approved.", True), ("Ask a human.", True)]
        assert "tool_start" not in kit.types
        assert [event.output for event in kit.of("tool_end")] == ["Tool execution was not approved.", "Ask a human."]


async def test_the_runs_formatter_words_a_rejection_unless_there_are_explicit_words() -> None:
    async def formatter(args: Any) -> str | None:
        assert (args.kind, args.default_message) == ("approval_rejected", "Tool execution was not approved.")
        return f"No {args.tool_name} for {args.call_id}" if args.call_id == "1" else None

    async with opened(agent(guarded()), run_config={"tool_error_formatter": formatter}) as kit:
        for call_id in ("1", "2", "3"):
            kit.emit(call("guarded", call_id=call_id))
            await settle()
        await kit.session.reject_tool_call("1")
        await kit.session.reject_tool_call("2")
        await kit.session.reject_tool_call("3", rejection_message="explicit")
        await settle()
        result = [output for output, _ in kit.outputs]
        assert result == ["No guarded for 1", "Tool execution was not approved.", "explicit"]


async def test_decisions_for_always_hold_for_waiting_and_later_calls() -> None:
    other = function_tool(lambda: "other ran", name_override="other", needs_approval=True)
    async with opened(agent(guarded(), other)) as kit:
        kit.emit(call("guarded", call_id="1"), call("guarded", call_id="2"), call("other", call_id="3"))
        await settle()
        await kit.session.approve_tool_call("1", always=True)
        await kit.session.reject_tool_call("3", always=True, rejection_message="never")
        await settle()
        kit.emit(call("guarded", call_id="4"), call("other", call_id="5"))
        await settle()
        assert sorted(output for output, _ in kit.outputs) == ["never", "never", "ran", "ran", "ran"]
        assert len(kit.of("tool_approval_required")) == 3


async def test_a_decision_for_always_is_about_the_tool_of_one_agent() -> None:
    """Another agent may have another tool with the same name."""

    def desk(name: str) -> RealtimeAgent[Any]:
        return agent(function_tool(lambda: f"{name} ran", name_override="pay", needs_approval=True))

    first, second = desk("first"), desk("second")
    async with opened(first) as kit:
        kit.emit(call("pay", call_id="1"))
        await settle()
        await kit.session.approve_tool_call("1", always=True)
        await kit.session.update_agent(second)
        kit.emit(call("pay", call_id="2"))
        await settle()
        assert [event.call_id for event in kit.of("tool_approval_required")] == ["1", "2"]
        await kit.session.reject_tool_call("2", always=True, rejection_message="never")
        await kit.session.update_agent(first)
        kit.emit(call("pay", call_id="3"))
        await settle()
        assert [output for output, _ in kit.outputs] == ["first ran", "never", "first ran"]


async def test_a_decision_for_always_holds_for_a_call_whose_rule_is_still_running() -> None:
    released = asyncio.Event()

    async def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        if call_id == "2":
            await released.wait()
        return call_id == "1"

    async with opened(agent(guarded(needs_approval=rule))) as kit:
        kit.emit(call("guarded", call_id="1"), call("guarded", call_id="2"))
        await settle()
        await kit.session.reject_tool_call("1", always=True, rejection_message="never")
        released.set()
        await settle()
        assert [output for output, _ in kit.outputs] == ["never", "never"]


async def test_deciding_on_an_unknown_call_does_nothing() -> None:
    async with opened(agent(guarded())) as kit:
        await kit.session.approve_tool_call("nobody", always=True)
        kit.emit(call("guarded"))
        await settle()
        assert len(kit.of("tool_approval_required")) == 1
        await kit.session.approve_tool_call("call_1")
        await kit.session.reject_tool_call("call_1")
        await settle()
        await kit.session.reject_tool_call("call_1")
        assert kit.outputs == [("ran", True)]


async def test_whether_approval_is_needed_may_depend_on_the_arguments() -> None:
    seen: list[Any] = []

    async def rule(ctx: Any, arguments: dict[str, Any], call_id: str) -> bool:
        seen.append((arguments, call_id))
        return bool(arguments.get("much"))

    async with opened(agent(guarded(needs_approval=rule, strict_mode=False))) as kit:
        kit.emit(
            call("guarded", '{"much": false}', "1"),
            call("guarded", '{"much": true}', "2"),
            call("guarded", "{", "3"),
            call("guarded", "[]", "4"),
        )
        await settle()
        assert [event.call_id for event in kit.of("tool_approval_required")] == ["2", "3", "4"]
        assert seen == [({"much": False}, "1"), ({"much": True}, "2")]


async def test_a_rule_that_raises_is_a_failure_that_is_reported() -> None:
    def rule(*args: Any) -> bool:
        raise KeyError("limit")

    async with opened(agent(guarded(needs_approval=rule))) as kit:
        kit.emit(call("guarded"))
        await settle()
        assert kit.outputs == [("An error occurred while running the tool.", True)]
        assert isinstance(errors(kit)[0], KeyError)


async def test_waiting_for_approval_takes_no_place_of_a_running_tool() -> None:
    async with opened(agent(guarded(), echo), run_config={"tool_execution": {"max_concurrent": 1}}) as kit:
        kit.emit(call("guarded", call_id="1"), call("echo", call_id="2"))
        await settle()
        assert kit.outputs == [("x", True)]


async def test_an_approved_call_runs_for_the_agent_that_made_it() -> None:
    async with opened(desk := agent(guarded())) as kit:
        kit.emit(call("guarded"))
        await settle()
        await kit.session.update_agent(RealtimeAgent(name="Other"))
        await kit.session.approve_tool_call("call_1")
        await settle()
        assert (kit.of("tool_start")[0].agent, kit.outputs) == (desk, [("ran", True)])


# Rows 40 and 41: guardrails of tools


def input_guardrail(log: list[str], output: ToolGuardrailFunctionOutput) -> Any:
    @tool_input_guardrail
    async def check(data: Any) -> ToolGuardrailFunctionOutput:
        log.append(f"checked {data.context.tool_arguments} of {data.agent.name}")
        return output

    return check


async def test_input_guardrails_let_pass_reject_or_raise() -> None:
    log: list[str] = []
    allow = input_guardrail(log, ToolGuardrailFunctionOutput.allow())
    reject = input_guardrail(log, ToolGuardrailFunctionOutput.reject_content("not today"))
    trip = input_guardrail(log, ToolGuardrailFunctionOutput.raise_exception({"why": 1}))

    def tool(name: str, *guardrails: Any) -> FunctionTool:
        return function_tool(lambda: name, name_override=name, tool_input_guardrails=guardrails)

    async with opened(agent(tool("a", allow, allow), tool("b", allow, reject, trip), tool("c", trip))) as kit:
        for name in "abc":
            kit.emit(call(name, call_id=name))
            await settle()
        assert kit.outputs == [("a", True), ("not today", True), ("The tool call was blocked by a guardrail.", True)]
        assert log == ["checked {} of Desk"] * 5
        (error,) = errors(kit)
        assert isinstance(error, ToolInputGuardrailTripwireTriggered)
        assert error.output.output_info == {"why": 1}
        assert [event.tool.name for event in kit.of("tool_start")] == ["a"]


@pytest.mark.parametrize(("before", "checks"), [(False, [0, 1]), (True, [1, 2])])
async def test_input_guardrails_run_after_approval_and_before_it_if_wanted(before: bool, checks: list[int]) -> None:
    log: list[str] = []
    tool = guarded(tool_input_guardrails=[input_guardrail(log, ToolGuardrailFunctionOutput.allow())])
    async with opened(
        agent(tool), run_config={"tool_execution": {"pre_approval_tool_input_guardrails": before}}
    ) as kit:
        kit.emit(call("guarded"))
        await settle()
        counts = [len(log)]
        await kit.session.approve_tool_call("call_1")
        await settle()
        assert [*counts, len(log)] == checks


async def test_a_call_rejected_before_approval_needs_no_decision() -> None:
    reject = input_guardrail([], ToolGuardrailFunctionOutput.reject_content("no"))
    async with opened(
        agent(guarded(tool_input_guardrails=[reject])),
        run_config={"tool_execution": {"pre_approval_tool_input_guardrails": True}},
    ) as kit:
        kit.emit(call("guarded"))
        await settle()
        assert (kit.outputs, kit.of("tool_approval_required")) == ([("no", True)], [])


async def test_output_guardrails_replace_what_the_model_learns() -> None:
    @tool_output_guardrail(name="no secrets")
    def check(data: Any) -> ToolGuardrailFunctionOutput:
        if data.output == "secret":
            return ToolGuardrailFunctionOutput.reject_content("[removed]")
        if data.output == "top secret":
            return ToolGuardrailFunctionOutput.raise_exception()
        return ToolGuardrailFunctionOutput.allow()

    tool = function_tool(lambda text: text, name_override="echo", tool_output_guardrails=[check], strict_mode=False)
    async with opened(agent(tool)) as kit:
        for text in ("plain", "secret", "top secret"):
            kit.emit(call("echo", json.dumps({"text": text}), text))
            await settle()
        assert [output for output, _ in kit.outputs] == [
            "plain",
            "[removed]",
            "The tool call was blocked by a guardrail.",
        ]
        assert [type(error) for error in errors(kit)] == [ToolOutputGuardrailTripwireTriggered]


# Row 42: silence, and its opposite


async def test_a_silent_result_starts_no_response() -> None:
    @function_tool
    async def note() -> SilentResult:
        return SilentResult({"noted": True})

    async with opened(agent(note)) as kit:
        kit.emit(call("note"))
        await settle()
        assert kit.outputs == [('{"noted": true}', False)]
        assert kit.of("tool_end")[0].output == {"noted": True}


async def test_a_long_tool_is_covered_by_a_filler_once() -> None:
    requested: list[str] = []

    async def filler(ctx: ToolContext[Any]) -> str | None:
        requested.append(ctx.tool_name)
        return f"Say that you are still at {ctx.tool_name}." if ctx.tool_name == "long" else None

    async with opened(
        agent(slow("long", 10), slow("quiet", 10), slow("short", 1)),
        run_config={"tool_execution": {"filler": filler, "filler_after_seconds": 2}},
    ) as kit:
        kit.emit(call("long", call_id="1"), call("quiet", call_id="2"), call("short", call_id="3"))
        await settle(9)
        assert requested == ["long", "quiet"]
        fillers = [event for event in kit.sent if isinstance(event, RealtimeModelSendResponseCreate)]
        assert fillers == [
            RealtimeModelSendResponseCreate({"instructions": "Say that you are still at long.", "tool_choice": "none"})
        ]


async def test_a_filler_that_raises_is_reported_and_changes_nothing_else() -> None:
    def filler(ctx: Any) -> str:
        raise ValueError("filler")

    async with opened(
        agent(slow("long", 10)), run_config={"tool_execution": {"filler": filler, "filler_after_seconds": 2}}
    ) as kit:
        kit.emit(call("long"))
        await settle(11)
        assert ([str(error) for error in errors(kit)], kit.outputs) == (["filler"], [("long", True)])


@pytest.mark.parametrize(("approved", "expected"), [(True, "ran"), (False, "never")])
@pytest.mark.parametrize("needs", [True, False, ValueError("the rule is broken")])
async def test_a_decision_for_always_holds_whatever_the_rule_says_later(
    approved: bool, expected: str, needs: bool | ValueError
) -> None:
    asked: list[str] = []

    def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        asked.append(call_id)
        if len(asked) > 1 and isinstance(needs, ValueError):
            raise needs
        return len(asked) == 1 or bool(needs)

    async with opened(agent(guarded(needs_approval=rule))) as kit:
        kit.emit(call("guarded", call_id="1"))
        await settle()
        if approved:
            await kit.session.approve_tool_call("1", always=True)
        else:
            await kit.session.reject_tool_call("1", always=True, rejection_message="never")
        await settle()
        kit.emit(call("guarded", call_id="2"))
        await settle()
        assert [output for output, _ in kit.outputs] == [expected, expected] and asked == ["1"]


@pytest.mark.parametrize("arguments", ["", '{"amount": NaN}', '{"amount": -Infinity}', "[]", "null", '{"amount'])
async def test_arguments_that_an_approval_rule_cannot_read_need_approval(arguments: str) -> None:
    async with opened(agent(guarded(needs_approval=lambda context, given, call_id: False))) as kit:
        kit.emit(call("guarded", arguments))
        await settle()
        assert len(kit.of("tool_approval_required")) == 1 and not kit.outputs


class BrokenDump:
    """Looks like a pydantic model and is none."""

    def model_dump(self) -> dict[str, str]:
        return {}

    def __str__(self) -> str:
        return "as text"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"abc", "b'abc'"),
        (BrokenDump(), "as text"),
        (date(2026, 11, 29), "2026-11-29"),
        ({"on": date(2026, 11, 29)}, '{"on": "2026-11-29"}'),
        (UUID(int=5), str(UUID(int=5))),
        (ValueError("no table"), "no table"),
    ],
)
def test_a_tool_output_without_a_json_form_becomes_its_text(value: Any, text: str) -> None:
    assert tool_output_text(value) == text


async def test_a_handoff_that_returns_no_agent_is_answered_and_reported() -> None:
    async def broken(context: Any, arguments: str) -> Any:
        return 17

    handoff = Handoff("switch", "Switches.", {}, broken, "Kitchen")
    async with opened(RealtimeAgent(name="Desk", handoffs=[handoff])) as kit:
        kit.emit(call("switch"))
        await settle()
        assert kit.session.current_agent.name == "Desk" and len(kit.outputs) == 1
        (event,) = kit.of("error")
        assert isinstance(event.error, UserError) and "must return a RealtimeAgent, not 17" in str(event.error)
