"""The names and calls that users of the OpenAI Agents SDK know exist here and do the same."""

from __future__ import annotations

import asyncio
import importlib
import json
from dataclasses import fields
from typing import Any, get_args

import pytest

import realtime_core
from realtime_core import (
    DEFAULT_MODEL_SETTINGS,
    Handoff,
    InputText,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeAgentStartEvent,
    RealtimeEventInfo,
    RealtimeModelListener,
    RealtimeModelOwnEvent,
    RealtimeModelSendAudio,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RunContextWrapper,
    ToolContext,
    Usage,
    UserError,
    UserMessageItem,
    function_tool,
    get_api_key,
    realtime_handoff,
)
from realtime_core.audio_formats import to_realtime_audio_format
from realtime_core.errors import ConnectFailed
from realtime_core.events import RealtimeSessionEvent
from realtime_core.extensions.handoff_prompt import RECOMMENDED_PROMPT_PREFIX, prompt_with_handoff_instructions
from realtime_core.handoffs import collect_enabled_handoffs, filter_enabled_handoffs
from realtime_core.local import LocalRealtimeServer
from realtime_core.model import Done
from realtime_core.model_events import RealtimeModelEvent
from realtime_core.model_inputs import RealtimeModelSendEvent
from realtime_core.openai_realtime.session_object import session_object
from realtime_core.testing import RealtimeConnectCall, RealtimeScriptError, RealtimeStep, ScriptedRealtimeModel
from realtime_core.tool_approvals import REJECTION_MESSAGE
from realtime_core.turn_policy import OurTurns
from tests.support.session_kit import audio, opened

pytestmark = pytest.mark.virtual_time
CONTEXT: RunContextWrapper[Any] = RunContextWrapper("Ada")

# Modules that the SDK has outside its realtime package


@pytest.mark.parametrize(
    "module", ["guardrail", "tool_guardrails", "tool", "tool_context", "run_config", "exceptions", "decorators"]
)
def test_a_module_named_as_in_the_sdk_has_our_own_objects(module: str) -> None:
    named = importlib.import_module(f"realtime_core.{module}")
    for name in named.__all__:
        ours = {"tool": "function_tool", "AgentsException": "RealtimeCoreError"}.get(name, name)
        assert getattr(named, name) is getattr(realtime_core, ours), name


def test_importing_a_module_named_as_a_function_leaves_the_names_alone() -> None:
    importlib.import_module("realtime_core.tool")
    assert realtime_core.function_tool is function_tool
    assert "tool" not in realtime_core.__all__


def test_instructions_for_handoffs() -> None:
    assert "transfer_to_" in RECOMMENDED_PROMPT_PREFIX
    assert prompt_with_handoff_instructions("Be brief.") == f"{RECOMMENDED_PROMPT_PREFIX}\n\nBe brief."


def test_the_message_of_a_rejected_tool_call_is_in_the_session_module() -> None:
    assert importlib.import_module("realtime_core.session").REJECTION_MESSAGE is REJECTION_MESSAGE


# Events made by hand


def test_our_own_fields_of_events_of_the_sdk_are_given_by_name() -> None:
    for cls in (
        *get_args(RealtimeSessionEvent),
        *set(get_args(RealtimeModelEvent)) - set(get_args(RealtimeModelOwnEvent)),
    ):
        names = [field.name for field in fields(cls)]
        after = fields(cls)[names.index("type") + 1 :]
        assert [f.name for f in after if not f.kw_only] in ([], ["response_id"]), cls


def test_each_class_of_event_knows_its_type() -> None:
    for cls in (*get_args(RealtimeSessionEvent), *get_args(RealtimeModelEvent)):
        assert isinstance(cls.type, str)


def test_events_take_the_positional_arguments_of_the_sdk() -> None:
    agent, info = RealtimeAgent(name="Desk"), RealtimeEventInfo(CONTEXT)
    assert RealtimeAgentStartEvent(agent, info, "agent_start") == RealtimeAgentStartEvent(agent, info)
    assert RealtimeModelTurnStartedEvent("turn_started", "r1").response_id == "r1"
    assert RealtimeModelTurnEndedEvent("turn_ended", "r1").response_id == "r1"
    assert RealtimeModelTurnEndedEvent().response_id is None


def test_a_tool_context_takes_the_positional_arguments_of_the_sdk() -> None:
    usage = Usage()
    context = ToolContext("Ada", usage, "look_up", "call_1", '{"x": 1}', None, agent=None)
    assert (context.context, context.usage, context.tool_name, context.call_id) == ("Ada", usage, "look_up", "call_1")
    assert (context.tool_arguments, context.qualified_tool_name) == ('{"x": 1}', "look_up")
    for missing in ({"tool_name": "x"}, {"tool_call_id": "x"}):
        with pytest.raises(UserError, match="tool_name and tool_call_id"):
            ToolContext("Ada", **missing)  # type: ignore[arg-type]


# Sending under a condition


async def test_an_input_is_sent_only_if_the_condition_holds() -> None:
    for immediate in (True, False):
        model = ScriptedRealtimeModel(strict=False, immediate=immediate)
        assert await model.send_event_if(RealtimeModelSendAudio(b"\1"), lambda: False) is False
        assert await model.send_event_if(RealtimeModelSendAudio(b"\2"), lambda: True) is True
        assert model.sent_events == (RealtimeModelSendAudio(b"\2"),)


async def test_a_model_that_cannot_send_at_once_sends_nothing_under_a_condition() -> None:
    class Slow(ScriptedRealtimeModel):
        send_event_if = realtime_core.RealtimeModel.send_event_if

    model = Slow(strict=False, immediate=False)
    assert await model.send_event_if(RealtimeModelSendAudio(b"\1"), lambda: True) is False
    assert model.sent_events == ()


async def test_each_limit_of_the_websocket_may_be_none() -> None:
    model = OpenAIRealtimeWebSocketModel(
        transport_config={"ping_interval": None, "ping_timeout": None, "max_size": None}
    )
    async with LocalRealtimeServer() as server:
        await model.connect(server.model_config)
        assert model.effective is not None
        await model.close()


async def test_the_openai_model_sends_under_a_condition_while_it_is_connected() -> None:
    model = OpenAIRealtimeWebSocketModel()
    with pytest.raises(UserError, match="not connected"):
        await model.send_event_if(RealtimeModelSendAudio(b""), lambda: True)
    async with LocalRealtimeServer() as server:
        await model.connect(server.model_config)
        assert await model.send_event_if(RealtimeModelSendAudio(bytes(960)), lambda: True) is True
        assert await model.send_event_if(RealtimeModelSendAudio(bytes(960)), lambda: False) is False
        await model.close()
    assert await model.send_event_if(RealtimeModelSendAudio(bytes(960)), lambda: True) is False


class AuditedModel(OpenAIRealtimeWebSocketModel):
    """A model of the user's: `send_event` is `async def`, as in the SDK."""

    def __init__(self) -> None:
        super().__init__()
        self.audited: list[str] = []

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        self.audited.append(type(event).__name__)
        await super().send_event(event)


async def test_a_subclass_of_the_openai_model_sees_every_input_of_a_session() -> None:
    model = AuditedModel()
    async with LocalRealtimeServer() as server:
        session = realtime_core.RealtimeSession(model, RealtimeAgent(name="Desk"), model_config=server.model_config)
        async with session:
            session.post_audio(bytes(960))
            await session.send_audio(bytes(960))
            await session.interrupt()
    assert model.audited == ["RealtimeModelSendAudio", "RealtimeModelSendAudio", "RealtimeModelSendInterrupt"]


# Handoffs


async def test_enabled_handoffs() -> None:
    async def only_ada(context: RunContextWrapper[Any], agent: Any) -> bool:
        return bool(context.context == "Ada")

    billing, sales, night = (RealtimeAgent(name=name) for name in ("Billing", "Sales", "Night"))
    handoffs: list[Any] = [
        billing,
        realtime_handoff(sales, is_enabled=only_ada),
        realtime_handoff(night, is_enabled=False),
    ]
    desk = RealtimeAgent(name="Desk", handoffs=handoffs)
    found = await collect_enabled_handoffs(desk, CONTEXT)
    assert [handoff.tool_name for handoff in found] == ["transfer_to_billing", "transfer_to_sales"]
    assert await filter_enabled_handoffs(iter(found), RunContextWrapper("Bob"), desk) == found[:1]


@pytest.mark.parametrize("option", [{"input_filter": lambda data: data}, {"nest_handoff_history": True}])
async def test_a_handoff_that_would_filter_the_history_is_refused_when_the_session_begins(option: Any) -> None:
    async def invoke(context: Any, arguments: str) -> Any:
        raise AssertionError("not called")

    handoff: Handoff[Any, Any] = Handoff("transfer_to_sales", "", {}, invoke, "Sales", **option)
    with pytest.raises(UserError, match="transfer_to_sales: input_filter and nest_handoff_history do not work"):
        async with opened(RealtimeAgent(name="Desk", handoffs=[handoff])):
            pass
    allowed: Handoff[Any, Any] = Handoff("transfer_to_sales", "", {}, invoke, "Sales", None, False)
    async with opened(RealtimeAgent(name="Desk", handoffs=[allowed])):
        pass


# Keys, defaults, formats


async def test_the_key_is_given_called_awaited_or_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def later() -> str:
        return "awaited"

    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    assert [await get_api_key(key) for key in ("given", lambda: "called", later, None)] == [
        "given", "called", "awaited", "from the environment",
    ]  # fmt: skip
    monkeypatch.delenv("OPENAI_API_KEY")
    assert await get_api_key(None) is None


async def test_a_key_function_that_fails_fails_the_connection() -> None:
    def broken() -> str:
        raise LookupError("vault")

    with pytest.raises(LookupError):
        await get_api_key(broken)
    with pytest.raises(ConnectFailed, match="vault"):
        await OpenAIRealtimeWebSocketModel().connect({"api_key": broken})


def test_a_session_without_settings_has_the_default_settings() -> None:
    for turns in (lambda given: dict(given), OurTurns().turn_detection):
        assert session_object({}, defaults=True, turns=turns) == session_object(
            DEFAULT_MODEL_SETTINGS, defaults=False, turns=turns
        )
    changed = session_object({"audio": {"output": {"voice": "marin"}}}, defaults=True, turns=dict)
    assert changed["audio", "output", "voice"] == "marin"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("pcm16", {"type": "audio/pcm", "rate": 24000}),
        ({"type": "audio/pcm"}, {"type": "audio/pcm", "rate": 24000}),
        ("g711_ulaw", {"type": "audio/pcmu"}),
        ({"type": "audio/pcma"}, {"type": "audio/pcma"}),
        ("opus", None),
        ({"rate": 8000}, None),
        (None, None),
    ],
)
def test_audio_formats(given: Any, made: Any) -> None:
    format = to_realtime_audio_format(given)
    assert format == made and (format is None or format.type == made["type"])
    if made is not None and not isinstance(given, dict):
        settings = {"audio": {"output": {"format": given}}}
        assert session_object(settings, defaults=False, turns=dict)["audio", "output", "format"] == made


def test_an_audio_format_of_the_openai_package() -> None:
    from openai.types.realtime.realtime_audio_formats import AudioPCMU

    test_audio_formats(AudioPCMU(type="audio/pcmu"), {"type": "audio/pcmu"})


# SIP


def sip_agent() -> RealtimeAgent[Any]:
    @function_tool
    def look_up(question: str) -> str:
        """Look something up."""
        return question

    def instructions(context: RunContextWrapper[Any], agent: Any) -> str:
        return f"{agent.name} for {context.context}"

    return RealtimeAgent(
        name="Desk", instructions=instructions, tools=[look_up], handoffs=[RealtimeAgent(name="Sales")]
    )


async def test_the_payload_that_accepts_a_call_is_what_a_session_would_ask_for() -> None:
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        sip_agent(),
        context="Ada",
        run_config={"model_settings": {"voice": "marin", "speed": 1.1}},
        model_config={"initial_model_settings": {"voice": "cedar", "model_name": "gpt-realtime-2.1-mini"}},
        overrides={"max_output_tokens": 500},
    )
    assert payload["type"] == "realtime"
    assert (payload.model, payload.instructions, payload.max_output_tokens) == (
        "gpt-realtime-2.1-mini",
        "Desk for Ada",
        500,
    )
    assert (payload.audio.output.voice, payload.audio.output.speed) == ("cedar", 1.1)
    assert [tool.name for tool in payload.tools] == ["look_up", "transfer_to_sales"]
    assert "format" not in payload.audio.input, "the format is between the server and the phone network"
    assert not hasattr(payload, "tracing")
    dumped = payload.model_dump(exclude_none=True, mode="json")
    assert dumped == payload and type(dumped) is dict
    dumped["audio"]["output"]["voice"] = "ash"
    assert payload.audio.output.voice == "cedar"


async def test_overrides_of_tools_replace_the_agents_and_what_is_disabled_is_left_out() -> None:
    @function_tool(is_enabled=False)
    def off() -> str:
        return ""

    @function_tool
    def on() -> str:
        return ""

    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        sip_agent(), overrides={"tools": [off, on], "handoffs": []}, run_config={"tracing_disabled": True}
    )
    assert [tool["name"] for tool in payload["tools"]] == ["on"]
    assert payload.model_dump()["tracing"] is None
    assert "tracing" not in payload.model_dump(exclude_none=True)


# Items


def test_items_are_copied_and_written_as_json() -> None:
    item = UserMessageItem(item_id="item_1", content=[InputText(text="Grüß Gott")])
    changed = item.model_copy(update={"status": "completed"})
    assert (changed.status, changed.content, item.status) == ("completed", item.content, None)
    assert json.loads(item.model_dump_json(exclude_none=True)) == item.model_dump(exclude_none=True)


# Testing


async def test_sending_returns_when_every_listener_has_returned() -> None:
    class Awaited(RealtimeModelListener):
        def __init__(self) -> None:
            self.events: list[Any] = []

        async def on_event(self, event: Any) -> None:
            await asyncio.sleep(0)
            self.events.append(event)

    steps = [RealtimeStep(RealtimeModelSendAudio, emit=events) for events in ([audio(20), audio(40)], [audio(60)])]
    model, listener = ScriptedRealtimeModel(steps), Awaited()
    model.add_listener(listener)
    await model.connect({})
    await model.send_event(RealtimeModelSendAudio(b""))
    assert listener.events == [audio(20), audio(40)]
    assert isinstance(model.send_event(RealtimeModelSendAudio(b"")), Done)
    assert len(listener.events) == 2, "as over a network, the answer comes later"
    await asyncio.sleep(0.01)
    assert listener.events[2:] == [audio(60)]


def test_a_script_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        RealtimeStep(RealtimeModelSendAudio, emit=[audio()], error=OSError())
    with pytest.raises(ValueError, match="connect_events or connect_error"):
        ScriptedRealtimeModel(connect_events=[audio()], connect_error=OSError())


async def test_a_connect_call_shows_what_was_given_and_no_secret() -> None:
    model = ScriptedRealtimeModel(connect_events=[audio()])
    await model.connect({"api_key": "secret", "headers": {"x": "secret"}, "url": "wss://me:secret@host/v1?key=secret"})
    assert (model.connected, model.closed) == (True, False)
    with pytest.raises(RealtimeScriptError, match="already connected"):
        await model.connect({})
    await model.close()
    assert (model.connected, model.closed) == (False, True)
    await model.connect({"call_id": "rtc_1", "initial_model_settings": (settings := {"voice": "ash"})})  # type: ignore
    settings["voice"] = "changed later"
    first: RealtimeConnectCall = {"api_key_provided": True, "headers_provided": True, "url": "wss://host/v1"}
    second: RealtimeConnectCall = {
        "api_key_provided": False, "headers_provided": False, "call_id": "rtc_1",
        "initial_model_settings": {"voice": "ash"},
    }  # fmt: skip
    assert model.connect_calls == (first, second)
