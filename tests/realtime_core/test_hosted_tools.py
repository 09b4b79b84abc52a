"""Tools that the server runs (hosted MCP): approvals, calls and the responses after them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core import (
    HostedTool,
    HostedToolFailed,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeAgentHooks,
    RealtimeRunner,
    RealtimeSession,
    RealtimeToolCallItem,
    ReconnectPolicy,
    Sources,
)
from realtime_core.events import is_sdk_event
from realtime_core.model_events import OWN_MODEL_EVENTS, RealtimeModelMcpApprovalRequestEvent
from realtime_core.model_inputs import RealtimeModelSendMcpApproval
from realtime_core.testing import virtual_time
from tests.support.realtime_peer import Peer, Talk, settle
from tests.support.session_kit import opened
from tests.support.session_kit import settle as settle_session

pytestmark = pytest.mark.virtual_time

ITEM = {"id": "item_mcp", "type": "mcp_call", "server_label": "shop", "name": "find", "arguments": "{}"}
REQUEST = {"id": "item_ask", "type": "mcp_approval_request", "server_label": "shop", "name": "find", "arguments": "{}"}


def hosted(peer: Peer, what: str) -> None:
    peer.emit(f"response.mcp_call.{what}", item_id="item_mcp", output_index=0)


def turn(peer: Peer) -> None:
    peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    peer.emit("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=500)
    peer.emit("input_audio_buffer.committed", item_id="item_u")


@pytest.mark.parametrize("outcome", ["completed", "failed"])
@pytest.mark.parametrize("done_first", [True, False])
async def test_the_result_is_spoken_about(outcome: str, done_first: bool) -> None:
    async with Talk() as talk:
        talk.peer.respond()
        hosted(talk.peer, "in_progress")
        if done_first:
            talk.peer.done(output=[ITEM])
        hosted(talk.peer, outcome)
        await settle()
        assert (talk.peer.types()[-1] == "response.create") is done_first
        if not done_first:
            talk.peer.done(output=[ITEM])
            await settle()
        assert talk.peer.types() == ["session.update", "response.create"]


async def test_a_response_that_continues_after_the_result_is_the_answer() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        hosted(talk.peer, "in_progress")
        hosted(talk.peer, "completed")
        talk.peer.audio(100)
        talk.peer.done(output=[ITEM, {"type": "message", "content": [{"type": "output_audio"}]}])
        await settle(1.0)
        assert talk.peer.types() == ["session.update"]


async def test_a_turn_waits_for_the_result() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        hosted(talk.peer, "in_progress")
        talk.peer.done(output=[ITEM])
        turn(talk.peer)
        await settle(5.0)
        held = talk.peer.sent[-1]["session"]["audio"]["input"]["turn_detection"]
        assert held["create_response"] is False and "response.create" not in talk.peer.types()
        hosted(talk.peer, "completed")
        await settle()
        assert talk.peer.types()[-2:] == ["session.update", "response.create"]


async def test_a_hosted_call_ends_with_its_session() -> None:
    async with Talk() as talk:
        hosted(talk.peer, "in_progress")
        await settle()
        assert talk.peer.connection is not None
        talk.peer.connection.break_()
        await settle(1.0)
        turn(talk.peer)
        await settle(1.0)
        assert talk.peer.types() == ["session.update"], "nobody waits for what will never come"


async def test_an_mcp_server_without_its_tools_is_reported() -> None:
    async with Talk() as talk:
        talk.peer.emit("mcp_list_tools.failed", item_id="item_list")
        await settle()
        assert talk.heard.one("error").error.code == "mcp_list_tools_failed"


@pytest.mark.parametrize("approve", [True, False])
async def test_an_approval_is_requested_once_and_answered(approve: bool) -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.emit("conversation.item.done", item=REQUEST)
        talk.peer.emit("response.output_item.done", response_id="resp_1", item=REQUEST)
        talk.peer.done(output=[REQUEST])
        await settle()
        request = talk.heard.one("mcp_approval_request")
        assert (request.id, request.server_label, request.name, request.arguments) == ("item_ask", "shop", "find", "{}")
        talk.send(RealtimeModelSendMcpApproval("item_ask", approve, "why"))
        await settle()
        answer = talk.peer.commands("response.create")[0]["item"]
        assert answer.pop("id").startswith("item_")
        assert answer == {
            "type": "mcp_approval_response", "approval_request_id": "item_ask", "approve": approve, "reason": "why",
        }  # fmt: skip
        assert (talk.peer.types()[-1] == "response.create") is not approve, "else the result is spoken about"


async def test_the_session_asks_as_for_any_tool() -> None:
    agent = RealtimeAgent(name="Desk", tools=[{"type": "mcp", "server_label": "shop"}])

    def request(id: str) -> RealtimeModelMcpApprovalRequestEvent:
        return RealtimeModelMcpApprovalRequestEvent(id, "shop", "find", '{"q": 1}')

    async with opened(agent) as kit:
        kit.emit(request("1"), request("2"))
        await settle_session()
        first, _ = kit.of("tool_approval_required")
        assert (first.agent, first.tool, first.call_id) == (agent, HostedTool("find", "shop"), "1")
        await kit.session.reject_tool_call("1", rejection_message="Not now.")
        await kit.session.approve_tool_call("2", always=True)
        await settle_session()
        kit.emit(request("3"))
        await settle_session()
        answers: list[Any] = [each for each in kit.sent if isinstance(each, RealtimeModelSendMcpApproval)]
        assert answers == [
            RealtimeModelSendMcpApproval("1", False, "Not now."),
            RealtimeModelSendMcpApproval("2", True),
            RealtimeModelSendMcpApproval("3", True),
        ]
        assert len(kit.of("tool_approval_required")) == 2


# What the session tells of the calls


CALLED = ITEM | {"arguments": '{"q": 1}'}


@dataclass
class Desk:
    """A session whose server runs tools, and the events of the session."""

    session: RealtimeSession
    peer: Peer
    events: list[Any] = field(default_factory=list)
    hooks: list[tuple[str, str, Any]] = field(default_factory=list)

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    @property
    def call(self) -> RealtimeToolCallItem:
        (item,) = [each for each in self.session.history if isinstance(each, RealtimeToolCallItem)]
        return item

    def item(self, item: dict[str, Any], *kinds: str) -> None:
        for kind in kinds:
            self.peer.emit(f"conversation.item.{kind}", previous_item_id=None, item=item)

    def output(self, item: dict[str, Any], kind: str) -> None:
        self.peer.emit(f"response.output_item.{kind}", response_id="resp_1", output_index=0, item=item)


@asynccontextmanager
async def desk(**reconnect: Any) -> AsyncIterator[Desk]:
    class Hooks(RealtimeAgentHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            kit.hooks.append(("start", tool.name, None))

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            kit.hooks.append(("end", tool.name, result))

    agent = RealtimeAgent(name="Desk", tools=[{"type": "mcp", "server_label": "shop"}], hooks=Hooks())
    peer = Peer()
    model = OpenAIRealtimeWebSocketModel(sources=Sources(1), reconnect=ReconnectPolicy(**reconnect))
    session = await RealtimeRunner(agent, model=model).run(model_config=peer.config)
    kit = Desk(session, peer)
    session.add_handler(kit.events.append)
    async with session:
        yield kit


async def test_a_hosted_call_is_reported_as_any_tool_and_is_in_the_history() -> None:
    async with desk() as d:
        d.peer.respond()
        d.output(ITEM | {"arguments": ""}, "added")
        d.item(ITEM | {"arguments": ""}, "added")
        hosted(d.peer, "in_progress")
        await settle()
        assert not d.of("tool_start") and not d.session.history, "its arguments are not complete"
        d.peer.emit("response.mcp_call_arguments.done", item_id="item_mcp", output_index=0, arguments='{"q": 1}')
        await settle(2.0)
        (start,) = d.of("tool_start")
        assert (start.call_id, start.tool, start.arguments, start.agent.name) == (
            "item_mcp", HostedTool("find", "shop"), '{"q": 1}', "Desk",
        )  # fmt: skip
        assert (d.call.status, d.call.output, d.call.server_label) == ("in_progress", None, "shop")
        hosted(d.peer, "completed")
        d.item(CALLED | {"output": "Found two."}, "done")
        d.peer.done(output=[CALLED | {"output": "Found two."}])
        await settle()
        (end,) = d.of("tool_end")
        assert (end.call_id, end.tool, end.output, end.error, end.arguments) == (
            "item_mcp", HostedTool("find", "shop"), "Found two.", None, '{"q": 1}',
        )  # fmt: skip
        assert end.duration_s == pytest.approx(2.0, abs=0.1)
        item = d.call
        assert (item.item_id, item.call_id, item.name, item.arguments) == ("item_mcp", "item_mcp", "find", '{"q": 1}')
        assert (item.status, item.output, item.server_label) == ("completed", "Found two.", "shop")
        assert d.hooks == [("start", "find", None), ("end", "find", "Found two.")]
        assert d.peer.types()[-1] == "response.create"
        assert not any(isinstance(event.data, OWN_MODEL_EVENTS) for event in d.of("raw_model_event")
                       if is_sdk_event(event))  # fmt: skip


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"type": "tool_execution_error", "content": [{"type": "text", "text": "Sold out."}]}, "Sold out."),
        ({"type": "protocol_error", "code": -32000, "message": "No such tool."}, "No such tool."),
        ({"type": "http_error", "code": 502, "message": "Bad gateway"}, "Bad gateway"),
        ("It broke.", "It broke."),
        ({"type": "of_next_year"}, '{"type": "of_next_year"}'),
    ],
)
async def test_a_failure_is_reported_with_the_servers_text(error: Any, text: str) -> None:
    async with desk() as d:
        d.peer.respond()
        d.item(CALLED, "added")
        hosted(d.peer, "failed")
        d.item(CALLED | {"error": error}, "done")
        await settle()
        (end,) = d.of("tool_end")
        assert isinstance(end.error, HostedToolFailed) and str(end.error) == end.output == text
        assert (d.call.status, d.call.output) == ("completed", text)
        assert not d.of("error"), "the session goes on"


PIECES: list[Callable[[Desk], None]] = [
    lambda d: d.output(ITEM | {"arguments": ""}, "added"),
    lambda d: d.item(ITEM | {"arguments": ""}, "added"),
    lambda d: d.peer.emit("response.mcp_call_arguments.done", item_id="item_mcp", output_index=0, arguments='{"q": 1}'),
    lambda d: hosted(d.peer, "in_progress"),
    lambda d: hosted(d.peer, "completed"),
    lambda d: d.output(CALLED | {"output": "Found."}, "done"),
    lambda d: d.item(CALLED | {"output": "Found."}, "done"),
    lambda d: d.peer.done(output=[CALLED | {"output": "Found."}]),
]


@given(st.permutations(range(len(PIECES))), st.sets(st.sampled_from(range(len(PIECES) - 2))))
@settings(max_examples=extent(30, 2000))
def test_a_call_is_reported_once_in_any_order_of_its_events(order: list[int], lost: set[int]) -> None:
    async def run() -> None:
        async with desk() as d:
            d.peer.respond()
            for i in (*order, *order):
                if i not in lost:
                    PIECES[i](d)
            await settle()
            assert [(e.type, e.call_id, e.arguments) for e in d.events if e.type in ("tool_start", "tool_end")] == [
                ("tool_start", "item_mcp", '{"q": 1}'), ("tool_end", "item_mcp", '{"q": 1}'),
            ]  # fmt: skip
            assert (d.call.status, d.call.output) == ("completed", "Found.")
            assert d.peer.types().count("response.create") == 1

    virtual_time.run(run())


async def test_a_call_whose_result_never_comes_ends_with_the_answer_about_it() -> None:
    async with desk() as d:
        d.peer.respond()
        d.item(CALLED, "added")
        hosted(d.peer, "completed")
        d.peer.done(output=[CALLED])
        await settle()
        assert d.of("tool_start") and not d.of("tool_end")
        d.peer.respond("resp_2")
        d.peer.done("resp_2", output=[{"type": "message", "content": [{"type": "output_audio"}]}])
        await settle()
        (end,) = d.of("tool_end")
        assert (end.output, end.error, d.call.status, d.call.output) == ("", None, "completed", None)


async def test_a_call_that_runs_when_the_connection_is_lost_has_failed() -> None:
    async with desk(first_delay_s=0.01) as d:
        d.item(CALLED, "added")
        hosted(d.peer, "in_progress")
        await settle()
        assert d.peer.connection is not None
        d.peer.connection.break_()
        await settle(1.0)
        (end,) = d.of("tool_end")
        assert isinstance(end.error, HostedToolFailed) and "lost" in str(end.error)


async def test_a_call_that_runs_when_the_session_ends_is_reported_as_unfinished() -> None:
    async with desk(attempts=0) as d:
        d.item(CALLED, "added")
        await settle()
        assert d.peer.connection is not None
        d.peer.connection.close(1000)
        await settle()
        assert len(d.of("tool_start")) == len(d.of("tool_end")) == 1
        assert d.of("tool_end")[0].error is not None


async def test_an_approved_call_is_reported_after_its_approval() -> None:
    async with desk() as d:
        d.peer.respond()
        d.item(REQUEST, "added", "done")
        d.peer.done(output=[REQUEST])
        await settle()
        (requested,) = d.of("tool_approval_required")
        assert not d.of("tool_start") and not d.session.history, "a request is no call"
        await d.session.approve_tool_call(requested.call_id)
        d.item(CALLED | {"approval_request_id": "item_ask", "output": "Found."}, "added", "done")
        await settle()
        assert len(d.of("tool_start")) == len(d.of("tool_end")) == 1
        assert d.call.output == "Found."


async def test_a_call_that_is_deleted_while_it_runs_ends_and_does_not_come_back() -> None:
    async with desk() as d:
        d.peer.respond()
        d.item(CALLED, "added")
        hosted(d.peer, "in_progress")
        d.peer.emit("conversation.item.deleted", item_id="item_mcp")
        hosted(d.peer, "completed")
        d.item(CALLED | {"output": "Found."}, "done")
        d.peer.done(output=[CALLED | {"output": "Found."}])
        d.peer.respond("resp_2")
        d.peer.done("resp_2", output=[{"type": "message", "content": [{"type": "output_audio"}]}])
        await settle()
        assert len(d.of("tool_start")) == len(d.of("tool_end")) == 1
        assert not d.session.history


async def test_a_call_that_is_only_retrieved_has_run_before() -> None:
    async with desk() as d:
        d.peer.emit("conversation.item.retrieved", item=CALLED | {"output": "Found."})
        await settle(1.0)
        assert d.call.output == "Found."
        assert not d.of("tool_start") and "response.create" not in d.peer.types()


@pytest.mark.parametrize("memory", ["summary", "items"])
async def test_a_new_session_knows_the_call_and_makes_no_response(memory: str) -> None:
    def accept(event: dict[str, Any]) -> None:
        d.peer.accept(event)
        if event["type"] == "conversation.item.create":
            d.item(event["item"], "added", "done")

    async with desk(memory=memory, first_delay_s=0.01) as d:
        d.peer.on_client = accept
        d.peer.respond()
        d.item(CALLED | {"output": "Found."}, "added", "done")
        d.peer.done(output=[CALLED | {"output": "Found."}, {"type": "message", "content": [{"type": "output_audio"}]}])
        await settle(1.0)
        assert d.peer.connection is not None
        d.peer.connection.break_()
        await settle(2.0)
        assert d.peer.opened == 2
        (reported,) = [event["item"] for event in d.peer.sent if event["type"] == "conversation.item.create"]
        if memory == "items":
            assert reported == CALLED | {"output": "Found."}
        else:
            assert 'Tool find({"q": 1}): Found.' in reported["content"][0]["text"]
        assert "response.create" not in d.peer.types()
        assert len(d.of("tool_start")) == len(d.of("tool_end")) == 1 and d.call.output == "Found."


@pytest.mark.parametrize("kind", ["completed", "in_progress", "failed"])
async def test_a_notice_that_names_no_call_changes_nothing(kind: str) -> None:
    async with desk() as d:
        d.item({"id": "u", "type": "message", "role": "user", "content": []}, "added")
        d.peer.emit(f"response.mcp_call.{kind}")
        d.peer.emit("response.mcp_call_arguments.done", arguments="{}")
        await settle()
        assert [item.item_id for item in d.session.history] == ["u"] and not d.of("tool_start")
