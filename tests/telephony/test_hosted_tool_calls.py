"""A call in which the model's server runs a tool (hosted MCP): journal, transcript, figures and metrics show it."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core import HostedTool, RealtimeAgent
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.user_code import UserCode
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.journal.transcript import events_of, to_text
from telephony.simulator.handset import Handset
from tests.support.phone_calls import PhoneCall, phone_call

pytestmark = pytest.mark.virtual_time


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


async def call_of(tool: ToolCall, events: list[Any] | None = None, **options: Any) -> PhoneCall:
    script = Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say="It says {result}"), calls=[tool])])
    agent = RealtimeAgent(name="Desk", tools=[{"type": "mcp", "server_label": "shop", "server_url": "https://a.b"}])
    heard = () if events is None else (events.append,)
    return await phone_call(asks, script=script, agent=agent, on_event=heard, **options)


def recorded(call: PhoneCall) -> Any:
    return collect([Record(t, kind, fields) for t, kind, fields in call.records.all])


async def test_a_hosted_tool_is_recorded_and_shown_as_any_other() -> None:
    events: list[Any] = []
    call = await call_of(ToolCall("find", '{"q": "pasta"}', server_label="shop", output="two", takes_s=0.5), events)
    ((_, start),) = call.records.of("tool.start")
    ((_, end),) = call.records.of("tool.end")
    assert (start["name"], start["arguments"]) == ("find", '{"q": "pasta"}')
    assert (end["call_id"], end["output"]) == (start["call_id"], "two") and "error" not in end
    assert 400 < end["ms"] < 700
    kept = recorded(call)
    audio = rebuild(kept)
    assert 'tool find(q="pasta") -> two' in to_text(events_of(kept, audio))
    assert figures_of(kept, audio).counts["tool_calls"] == 1
    tools = [event.tool for event in events if event.type in ("tool_start", "tool_end")]
    assert tools == [HostedTool("find", "shop")] * 2
    history = [event for event in events if event.type == "history_updated"][-1].history
    assert [(item.output, item.server_label) for item in history if item.type == "function_call"] == [("two", "shop")]
    assert any(item.type == "message" and "It says two" in item.text for item in history), "the caller hears of it"


async def test_a_hosted_tool_that_fails_is_shown_as_failed_and_counted() -> None:
    counted: list[UserCode] = []
    tool = ToolCall("find", "{}", server_label="shop", error="Sold out.")
    call = await call_of(tool, on_failure=counted.append)
    ((_, end),) = call.records.of("tool.end")
    assert end["output"] == "Sold out." and end["error"] == "HostedToolFailed: Sold out."
    kept = recorded(call)
    assert "tool find() failed (HostedToolFailed: Sold out.) -> Sold out." in to_text(events_of(kept, rebuild(kept)))
    assert counted == [UserCode.TOOL]
