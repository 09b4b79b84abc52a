"""Agents, settings, handoffs and hooks: rows 2, 32 and 43 to 50 of the behaviour table."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_core import (
    ModelBehaviorError,
    RealtimeAgent,
    RealtimeAgentHooks,
    RealtimeRunHooks,
    RunContextWrapper,
    UserError,
    function_tool,
    realtime_handoff,
)
from realtime_core.agent_settings import output_bytes_per_ms
from realtime_core.model_inputs import RealtimeModelSendSessionUpdate, RealtimeModelSendToolOutput
from tests.support.session_kit import Kit, audio, call, ended, opened, said, settle, started

pytestmark = pytest.mark.virtual_time

CONTEXT: RunContextWrapper[Any] = RunContextWrapper(None)


@function_tool
async def echo(text: str = "x") -> str:
    return text


def settings_of(kit: Kit) -> dict[str, Any]:
    """The settings that were sent last."""
    updates = [event for event in kit.sent if isinstance(event, RealtimeModelSendSessionUpdate)]
    return dict(updates[-1].session_settings if updates else kit.model.connect_calls[0]["initial_model_settings"])


def errors(kit: Kit) -> list[Any]:
    return [event.error for event in kit.of("error")]


# Agents and their instructions (row 46)


async def test_instructions_are_text_or_functions_of_context_and_agent() -> None:
    def plain(context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
        return f"{agent.name} for {context.context}"

    async def coroutine(context: Any, agent: Any) -> str:
        return plain(context, agent) + "!"

    for instructions, text in [("Hi", "Hi"), (plain, "A for Ada"), (coroutine, "A for Ada!"), (None, "")]:
        agent = RealtimeAgent(name="A", instructions=instructions)  # type: ignore[arg-type]
        async with opened(agent, context="Ada") as kit:
            assert settings_of(kit)["instructions"] == text


async def test_clone_changes_the_given_fields() -> None:
    agent = RealtimeAgent(name="A", instructions="one", tools=[echo])
    clone = agent.clone(instructions="two")
    assert (clone.name, clone.instructions, clone.tools) == ("A", "two", agent.tools)
    assert agent.instructions == "one"


async def test_an_agent_needs_a_name_and_instructions_that_are_some() -> None:
    for fields in ({"name": ""}, {"name": 3}, {"name": "A", "instructions": 3}):
        with pytest.raises(UserError):
            RealtimeAgent(**fields)


# Settings (rows 44, 47)


async def test_the_precedence_of_settings() -> None:
    agent = RealtimeAgent(name="A", instructions="agent", prompt={"id": "p"}, voice="coral", tools=[echo])
    run: Any = {"model_settings": {"voice": "ash", "speed": 1.1, "instructions": "run", "tool_choice": "auto"}}
    initial: Any = {"initial_model_settings": {"speed": 1.2, "instructions": "initial"}}
    async with opened(agent, run_config=run, model_config=initial) as kit:
        first = settings_of(kit)
        assert (first["voice"], first["speed"], first["instructions"]) == ("coral", 1.2, "initial")
        assert (first["tool_choice"], first["prompt"], first["tools"]) == ("auto", {"id": "p"}, [echo])
        await kit.session.update_agent(RealtimeAgent(name="B", instructions="B's own"))
        second = settings_of(kit)
        assert (second["voice"], second["speed"], second["instructions"]) == ("ash", 1.2, "B's own")
        assert (second["tools"], second["handoffs"]) == ([], [])
        assert kit.session.current_agent.name == "B"
        assert "handoff" not in kit.types


async def test_settings_changed_while_running_hold_for_later_agents() -> None:
    async with opened() as kit:
        await kit.session.update_settings({"speed": 0.9})
        await kit.session.update_agent(RealtimeAgent(name="B"))
        assert settings_of(kit)["speed"] == 0.9


async def test_tracing_can_be_disabled() -> None:
    async with opened(run_config={"tracing_disabled": True}) as kit:
        assert settings_of(kit)["tracing"] is None
    async with opened() as kit:
        assert "tracing" not in settings_of(kit)


@pytest.mark.parametrize(
    "given", [{"voice": "ash"}, {"audio": {"output": {"voice": "ash", "format": "pcm16"}, "input": {}}}]
)
async def test_the_voice_of_an_agent_is_frozen_once_it_was_heard(given: Any) -> None:
    def voice(kit: Kit) -> Any:
        settings = settings_of(kit)
        return ((settings.get("audio") or {}).get("output") or settings).get("voice")

    other = RealtimeAgent(name="B", voice="coral")
    async with opened(run_config={"model_settings": given}) as kit:
        await kit.session.update_agent(other)
        assert voice(kit) == "coral"
        await kit.session.update_agent(RealtimeAgent(name="A"))
        kit.emit(audio())
        await kit.session.update_agent(other)
        assert voice(kit) == "ash"


async def test_no_voice_is_requested_after_the_servers_own_was_heard() -> None:
    async with opened() as kit:
        kit.emit(audio())
        await kit.session.update_agent(RealtimeAgent(name="B", voice="coral"))
        assert "voice" not in settings_of(kit)


async def test_a_failing_update_keeps_the_agent() -> None:
    def fails(*args: Any) -> str:
        raise ValueError("no text")

    async with opened(desk := RealtimeAgent(name="Desk")) as kit:
        with pytest.raises(ValueError, match="no text"):
            await kit.session.update_agent(RealtimeAgent(name="B", instructions=fails))
        assert (kit.session.current_agent, kit.sent) == (desk, [])


async def test_when_one_of_several_callables_fails_the_others_do_not_run_on() -> None:
    ends: list[str] = []

    async def slow(context: Any, agent: Any) -> bool:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append("cancelled")
        return True

    async def fails(context: Any, agent: Any) -> bool:
        raise ValueError("no")

    tools: list[Any] = [function_tool(lambda: 1, name_override=f.__name__, is_enabled=f) for f in (slow, fails)]
    with pytest.raises(ValueError, match="no"):
        async with opened(RealtimeAgent(name="A", instructions=lambda context, agent: "x", tools=tools)):
            pass
    assert (ends, len(asyncio.all_tasks())) == (["cancelled"], 1)


async def test_tools_that_the_server_runs_go_through() -> None:
    mcp: Any = {"type": "mcp", "server_label": "x"}
    async with opened(model_config={"initial_model_settings": {"tools": [mcp]}}) as kit:
        assert settings_of(kit)["tools"] == [mcp]
        kit.emit(call("x"))
        await settle()
        assert [e.output for e in kit.sent if isinstance(e, RealtimeModelSendToolOutput)] == ["Tool x not found"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 48),
        ({"output_audio_format": "pcm16"}, 48),
        ({"output_audio_format": "g711_ulaw"}, 8),
        ({"audio_format": "pcmu"}, 8),
        ({"audio": {"output": {"format": {"type": "audio/pcma"}}}, "output_audio_format": "pcm16"}, 8),
        ({"audio": {"output": {"format": SimpleNamespace(type="audio/pcmu")}}}, 8),
        ({"audio": {"output": {"format": None}}, "output_audio_format": "g711_alaw"}, 8),
    ],
)
async def test_bytes_in_a_millisecond(settings: Any, expected: int) -> None:
    assert output_bytes_per_ms(settings) == expected


# Handoffs (row 43)


async def test_names_and_descriptions() -> None:
    billing = RealtimeAgent(name="Billing Desk-2", handoff_description="Bills.")
    plain = realtime_handoff(billing)
    assert (plain.tool_name, plain.agent_name) == ("transfer_to_billing_desk_2", "Billing Desk-2")
    assert plain.tool_description == "Handoff to the Billing Desk-2 agent to handle the request. Bills."
    assert plain.input_json_schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    named = realtime_handoff(billing, tool_name_override="n", tool_description_override="d")
    assert (named.tool_name, named.tool_description) == ("n", "d")


async def test_a_handoff_switches_the_agent_then_answers_then_responds() -> None:
    billing = RealtimeAgent(name="Billing", instructions="Bills only.", tools=[echo])
    desk = RealtimeAgent(name="Desk", handoffs=[billing])
    async with opened(desk) as kit:
        assert [handoff.tool_name for handoff in settings_of(kit)["handoffs"]] == ["transfer_to_billing"]
        event = call("transfer_to_billing")
        kit.emit(event)
        await settle()
        update, output = kit.sent
        assert isinstance(update, RealtimeModelSendSessionUpdate)
        assert update.session_settings["instructions"] == "Bills only."
        assert update.session_settings["tools"] == [echo]
        assert output == RealtimeModelSendToolOutput(event, '{"assistant": "Billing"}', start_response=True)
        (outcome,) = kit.of("handoff")
        assert (outcome.from_agent, outcome.to_agent, kit.session.current_agent) == (desk, billing, billing)
        assert "tool_start" not in kit.types
        assert kit.session.history[0].output == '{"assistant": "Billing"}'


async def test_on_handoff_is_called_with_the_input_the_model_gives() -> None:
    seen: list[Any] = []

    async def on_handoff(context: RunContextWrapper[Any], reason: dict[str, str]) -> None:
        seen.append((context.context, reason))

    handoff = realtime_handoff(RealtimeAgent(name="B"), on_handoff=on_handoff, input_type=Reason)
    assert handoff.input_json_schema["properties"]["why"]["type"] == "string"
    assert handoff.input_json_schema["additionalProperties"] is False
    async with opened(RealtimeAgent(name="A", handoffs=[handoff]), context=7) as kit:
        kit.emit(call("transfer_to_b", '{"why": "bill"}'))
        await settle()
        assert seen == [(7, Reason(why="bill"))]


class Reason(dict[str, str]):
    """A type that pydantic can read, without a model class."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        fields = {"why": core_schema.typed_dict_field(core_schema.str_schema())}
        return core_schema.no_info_after_validator_function(cls, core_schema.typed_dict_schema(fields))


@pytest.mark.parametrize("arguments", ["{", '{"why": 3}', ""])
async def test_input_that_does_not_fit_leaves_the_agent_and_is_reported(arguments: str) -> None:
    handoff = realtime_handoff(RealtimeAgent(name="B"), on_handoff=lambda context, reason: None, input_type=Reason)
    async with opened(desk := RealtimeAgent(name="A", handoffs=[handoff])) as kit:
        kit.emit(call("transfer_to_b", arguments))
        await settle()
        assert kit.session.current_agent is desk
        assert isinstance(errors(kit)[0], ModelBehaviorError)
        ((told, respond),) = kit.outputs
        assert str(errors(kit)[0]) in told and respond, "the model can correct its call"


async def test_callbacks_must_fit_their_input() -> None:
    agent = RealtimeAgent(name="B")
    for wrong in (
        {"input_type": Reason},
        {"on_handoff": lambda: None},
        {"on_handoff": lambda context: None, "input_type": Reason},
        {"on_handoff": 3},
    ):
        with pytest.raises(UserError):
            realtime_handoff(agent, **wrong)


async def test_a_handoff_whose_settings_fail_keeps_the_agent_and_says_so() -> None:
    """Deliberate difference: the reference sends nothing at all then."""

    def fails(*args: Any) -> str:
        raise ValueError("no text")

    broken = RealtimeAgent(name="B", instructions=fails)
    async with opened(desk := RealtimeAgent(name="A", handoffs=[broken])) as kit:
        kit.emit(call("transfer_to_b"))
        await settle()
        assert (kit.session.current_agent, kit.of("handoff")) == (desk, [])
        assert kit.outputs == [("An error occurred while running the tool.", True)]


async def test_two_handoffs_at_once_are_one() -> None:
    one, two = RealtimeAgent(name="One"), RealtimeAgent(name="Two")
    async with opened(RealtimeAgent(name="A", handoffs=[one, two])) as kit:
        kit.emit(call("transfer_to_one", call_id="1"), call("transfer_to_two", call_id="2"))
        await settle()
        assert kit.session.current_agent is one
        assert [output for output, _ in kit.outputs] == [
            '{"assistant": "One"}',
            "Multiple handoffs detected, ignoring this one.",
        ]


async def test_an_agent_may_be_put_in_charge_while_a_handoff_happens() -> None:
    b, c = RealtimeAgent(name="B"), RealtimeAgent(name="C")

    async def on_handoff(context: RunContextWrapper[Any]) -> None:
        await context.context.session.update_agent(c)

    holder = SimpleNamespace()
    desk = RealtimeAgent(name="A", handoffs=[realtime_handoff(b, on_handoff=on_handoff)])
    async with opened(desk, context=holder) as kit:
        holder.session = kit.session
        kit.emit(call("transfer_to_b"))
        await settle()
        assert kit.session.current_agent is c and not kit.of("handoff")
        assert kit.outputs == [("Multiple handoffs detected, ignoring this one.", True)]


async def test_a_callback_that_never_returns_is_given_up() -> None:
    async def on_handoff(context: RunContextWrapper[Any]) -> None:
        await asyncio.Event().wait()

    target = RealtimeAgent(name="B")
    desk = RealtimeAgent(name="A", handoffs=[realtime_handoff(target, on_handoff=on_handoff)])
    async with opened(desk, run_config={"tool_execution": {"timeout_seconds": 2}}) as kit:
        kit.emit(call("transfer_to_b"))
        await settle(2.5)
        assert kit.session.current_agent is desk
        assert kit.outputs == [("An error occurred while running the tool.", True)]
        assert [str(each.error) for each in kit.of("error")] == ["Tool 'transfer_to_b' timed out after 2 seconds."]


async def test_handoffs_may_be_disabled_and_must_not_share_a_name_with_a_tool() -> None:
    b = RealtimeAgent(name="B")
    tool = function_tool(lambda: 1, name_override="transfer_to_b")
    agent = RealtimeAgent(name="A", tools=[tool], handoffs=[realtime_handoff(b, is_enabled=lambda ctx, agent: False)])
    async with opened(agent) as kit:
        assert settings_of(kit)["handoffs"] == []
    with pytest.raises(UserError, match="transfer_to_b"):
        async with opened(RealtimeAgent(name="A", tools=[tool], handoffs=[b])):
            pass
    with pytest.raises(UserError, match="must be a RealtimeAgent"):
        async with opened(RealtimeAgent(name="A", handoffs=["B"])):  # type: ignore[list-item]
            pass


async def test_handoffs_of_other_packages_are_accepted_by_shape() -> None:
    target = RealtimeAgent(name="B")

    async def on_invoke_handoff(context: Any, arguments: str) -> Any:
        return target

    foreign: Any = SimpleNamespace(
        tool_name="go",
        tool_description="",
        input_json_schema={},
        on_invoke_handoff=on_invoke_handoff,
        get_transfer_message=lambda agent: json.dumps(agent.name),
    )
    async with opened(RealtimeAgent(name="A", handoffs=[foreign])) as kit:
        kit.emit(call("go"))
        await settle()
        assert (kit.session.current_agent, kit.outputs) == (target, [('"B"', True)])


# Hooks (row 48: declared in the reference, and never called)


class LoggingHooks(RealtimeRunHooks[Any]):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        await asyncio.sleep(0.01)
        self.log.append(f"run: start {agent.name}")

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.log.append(f"run: end {agent.name}: {output}")

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.log.append(f"run: {from_agent.name} to {to_agent.name}")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append(f"run: tool {tool.name}")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.log.append(f"run: tool {tool.name} gave {result}")


class AgentTold(RealtimeAgentHooks[Any]):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_start(self, context: Any, agent: Any) -> None:
        self.log.append(f"{agent.name}: start")

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.log.append(f"{agent.name}: end {output}")

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.log.append(f"{agent.name}: from {source.name}")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append(f"{agent.name}: tool {tool.name}")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.log.append(f"{agent.name}: tool gave {result}")


async def test_hooks_are_called_in_order() -> None:
    log: list[str] = []
    b = RealtimeAgent(name="B", hooks=AgentTold(log))
    a = RealtimeAgent(name="A", hooks=AgentTold(log), tools=[echo], handoffs=[b])
    async with opened(a, run_config={"hooks": LoggingHooks(log)}) as kit:
        await settle(0.1)
        kit.emit(started(), said("Hello "), said("there."), ended())
        await settle(0.1)
        kit.emit(call("echo", call_id="1"))
        await settle(0.1)
        kit.emit(call("transfer_to_b", call_id="2"))
        await settle(0.1)
    assert log == [
        "run: start A",
        "A: start",
        "run: end A: Hello there.",
        "A: end Hello there.",
        "run: tool echo",
        "A: tool echo",
        "run: tool echo gave x",
        "A: tool gave x",
        "run: A to B",
        "B: from A",
        "run: start B",
        "B: start",
    ]


async def test_a_tool_that_the_closing_cancels_has_not_ended() -> None:
    @function_tool
    async def slow() -> None:
        await asyncio.sleep(60)

    log: list[str] = []
    async with opened(RealtimeAgent(name="A", tools=[slow]), run_config={"hooks": LoggingHooks(log)}) as kit:
        await settle(0.1)
        kit.emit(call("slow"))
        await settle(0.1)
    assert log == ["run: start A", "run: tool slow"]


async def test_a_hook_that_raises_is_reported_and_the_others_are_called() -> None:
    class Broken(RealtimeAgentHooks[Any]):
        async def on_start(self, context: Any, agent: Any) -> None:
            raise ValueError("hook")

        def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:  # type: ignore[override]
            raise ValueError("tool hook")

    async with opened(RealtimeAgent(name="A", hooks=Broken(), tools=[echo])) as kit:
        kit.emit(call("echo"))
        await settle()
        assert sorted(str(error) for error in errors(kit)) == ["hook", "tool hook"]
        assert kit.outputs == [("x", True)]
