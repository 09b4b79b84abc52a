"""Tools that the server runs (hosted MCP): somebody has to ask for the answer, and may be asked before."""

from __future__ import annotations

from typing import Any

import pytest
from realtime_peer import Peer, Talk, settle
from session_kit import opened
from session_kit import settle as settle_session

from realtime_core import HostedTool, RealtimeAgent
from realtime_core.model_events import RealtimeModelMcpApprovalRequestEvent
from realtime_core.model_inputs import RealtimeModelSendMcpApproval

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


async def test_a_response_that_goes_on_after_the_result_is_the_answer() -> None:
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


async def test_a_server_whose_tools_cannot_be_had_is_told_of() -> None:
    async with Talk() as talk:
        talk.peer.emit("mcp_list_tools.failed", item_id="item_list")
        await settle()
        assert talk.heard.one("error").error.code == "mcp_list_tools_failed"


@pytest.mark.parametrize("approve", [True, False])
async def test_an_approval_is_asked_for_once_and_answered(approve: bool) -> None:
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
