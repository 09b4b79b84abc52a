"""Every end finishes open responses, audio, turns, tools and approvals, and reports each with a reason."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_core import (
    GuardrailFunctionOutput,
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from realtime_core.errors import ConnectionLost, ServerRejected
from realtime_core.model_events import (
    RealtimeModelEndOfStreamEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from realtime_core.sources import Sources
from realtime_core.testing import ScriptedRealtimeModel
from tests.support.realtime_peer import Peer, settle

pytestmark = pytest.mark.virtual_time

PAIRS = [("agent_start", "agent_end"), ("audio", "audio_end"), ("tool_start", "tool_end"),
         ("speech_started", "speech_stopped")]  # fmt: skip


@asynccontextmanager
async def opened(
    peer: Peer, agent: RealtimeAgent[Any], *, attempts: int = 0
) -> AsyncIterator[tuple[RealtimeSession, list[Any]]]:
    events: list[Any] = []
    model = OpenAIRealtimeWebSocketModel(sources=Sources(1), reconnect=ReconnectPolicy(attempts=attempts))
    session = await RealtimeRunner(agent, model=model).run(model_config=peer.config)
    session.add_handler(events.append)
    async with session:
        yield session, events


def end(peer: Peer, how: str) -> None:
    assert peer.connection is not None
    if how == "broken":
        peer.connection.break_()
    elif how == "expired":
        peer.error("session_expired", "Your session hit the maximum duration of 60 minutes.")
    else:
        peer.connection.close(int(how), "so it is")


def call(peer: Peer, name: str, call_id: str = "c1") -> None:
    item = {"id": "i1", "type": "function_call", "name": name, "call_id": call_id, "arguments": "{}"}
    peer.emit("response.output_item.done", response_id="resp_1", output_index=0, item=item)


@pytest.mark.parametrize("how", ["1000", "1001", "1008", "1011", "broken", "expired"])
@pytest.mark.parametrize("attempts", [0, 2])
async def test_a_connection_that_ends_leaves_nothing_open(how: str, attempts: int) -> None:
    running = asyncio.Event()

    @function_tool
    async def slow() -> str:
        await running.wait()
        return "done"

    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk", tools=[slow]), attempts=attempts) as (session, events):
        peer.emit("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=700)
        peer.respond()
        peer.audio(500)
        call(peer, "slow")
        await settle(0.1)
        end(peer, how)
        await settle(5.0)
        goes_on = attempts > 0 and how not in ("1000", "1008")
        assert session.status == ("connected" if goes_on else "disconnected")
        if goes_on:
            running.set()
            await settle(0.1)
        seen = Counter(event.type for event in events)
        for begun, ended in PAIRS:
            assert seen[begun] == seen[ended] == 1, (begun, ended)
        (ended_event,) = [event for event in events if event.type == "agent_end"]
        assert ended_event.status == "failed"
        (failed,) = [event for event in events if event.type == "response_failed"]
        assert failed.reason == "connection_lost"
        tool_end = next(event for event in events if event.type == "tool_end")
        assert tool_end.output == ("done" if goes_on else "The session ended before the tool had returned.")
        if not goes_on:
            assert seen["session_ended"] == 1 and events[-1].type == "session_ended"
            assert any(event.type == "error" and isinstance(event.error, ConnectionLost) for event in events)


async def test_who_iterates_gets_the_ends_before_the_end() -> None:
    peer = Peer()
    async with await RealtimeRunner(RealtimeAgent(name="Desk")).run(model_config=peer.config) as session:
        peer.respond()
        peer.audio(100)
        await settle(0.1)
        end(peer, "1000")
        types = [event.type async for event in session if event.type != "raw_model_event"]
        assert types == ["history_updated", "agent_start", "audio", "audio_end", "agent_end", "error"]


@pytest.mark.parametrize("asked", ["message", "speech", "request", "nothing"])
async def test_a_session_that_ends_before_an_expected_answer_says_why(asked: str) -> None:
    peer = Peer()
    async with await RealtimeRunner(RealtimeAgent(name="Desk")).run(model_config=peer.config) as session:
        match asked:
            case "message":
                await session.send_message("Are you there?")
            case "request":
                await session.request_response("Greet.")
            case "speech":
                peer.emit("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
                peer.emit("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=600)
                peer.emit("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        await settle(0.1)
        end(peer, "1000")
        errors = [event.error async for event in session if event.type == "error"]
        assert [type(error) for error in errors] == ([] if asked == "nothing" else [ConnectionLost])


@pytest.mark.parametrize("how", ["1000", "1011", "response.done"])
async def test_a_message_that_was_cut_off_is_not_in_progress_for_ever(how: str) -> None:
    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk")) as (session, _):
        peer.respond()
        peer.audio(100)
        item = {"id": "item_a", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        peer.emit("conversation.item.added", item=item, previous_item_id=None)
        await settle(0.1)
        seen = {}

        def ended(event: Any) -> None:
            if event.type == "agent_end":
                seen["status"] = [item.status for item in session.history if item.item_id == "item_a"]

        session.add_handler(ended)
        if how == "response.done":
            peer.emit("response.done", response={"id": "resp_1", "status": "cancelled", "output": []})
        else:
            end(peer, how)
        await settle(1.0)
        assert seen["status"] == ["incomplete"], "right when the end is told"


async def test_a_model_that_ends_no_response_has_it_ended_by_the_session() -> None:
    model = ScriptedRealtimeModel(strict=False)
    session = await RealtimeRunner(RealtimeAgent(name="Desk"), model=model).run()
    async with session:
        model.emit_now(RealtimeModelTurnStartedEvent(response_id="r1"), RealtimeModelEndOfStreamEvent())
        types = [event.type async for event in session if event.type != "raw_model_event"]
        assert types == ["history_updated", "agent_start", "agent_end"]


async def test_a_tool_that_waits_for_approval_is_given_up_at_the_end() -> None:
    ran: list[str] = []

    @function_tool(needs_approval=True)
    async def refund() -> str:
        ran.append("refund")
        return "refunded"

    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk", tools=[refund])) as (session, events):
        call(peer, "refund")
        await settle(0.1)
        assert [event.type for event in events].count("tool_approval_required") == 1
        end(peer, "1000")
        await settle(0.1)
        await session.approve_tool_call("c1")
        await settle(0.1)
        waiting = [task for task in asyncio.all_tasks() if "refund" in task.get_name()]
        assert not ran and not waiting


async def test_an_approval_for_a_lost_session_is_not_sent_to_the_next() -> None:
    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk"), attempts=3) as (session, events):
        request = {"id": "m1", "type": "mcp_approval_request", "server_label": "s", "name": "find", "arguments": "{}"}
        peer.emit("conversation.item.done", item=request)
        await settle(0.1)
        end(peer, "broken")
        await settle(2.0)
        await session.approve_tool_call("m1")
        await settle(0.1)
        assert "mcp_approval_response" not in [e["item"]["type"] for e in peer.sent if "item" in e]
        assert [e.error.code for e in events if e.type == "error"] == ["approval_request_lost"]


@pytest.mark.parametrize("code", ["input_audio_buffer_commit_empty", ""])
@pytest.mark.parametrize("says_event_id", [True, False])
async def test_a_refused_commit_of_the_user_is_reported(says_event_id: bool, code: str) -> None:
    class Strict(Peer):
        def accept(self, event: dict[str, Any]) -> None:
            super().accept(event)
            if event["type"] == "input_audio_buffer.commit":
                event_id = event["event_id"] if says_event_id else None
                message = "Error committing input audio buffer: buffer too small."
                self.error(code, message, event_id=event_id)

    peer = Strict()
    async with opened(peer, RealtimeAgent(name="Desk")) as (session, events):
        await session.send_audio(bytes(480), commit=True)
        await settle(0.1)
        (result,) = [event.error for event in events if event.type == "error"]
        assert isinstance(result, ServerRejected) and "too small" in result.message
        # The refused turn is not counted: the next one of the server's own is not taken for it.
        peer.emit("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        await settle(2.0)
        assert "response.create" not in peer.types(), "the server answers it by itself"
    ignored = session.model.ignored_errors  # type: ignore[attr-defined]
    assert not ignored


async def test_an_empty_commit_of_the_server_is_not_reported() -> None:
    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk")) as (_, events):
        peer.error("input_audio_buffer_commit_empty", "buffer too small")
        await settle(0.1)
        assert not [event for event in events if event.type == "error"]


async def test_a_commit_in_a_session_that_is_lost_is_reported() -> None:
    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk"), attempts=3) as (session, events):
        await session.send_audio(bytes(9600), commit=True)
        await settle()
        end(peer, "broken")
        await settle(2.0)
        assert session.status == "connected"
        assert [type(event.error) for event in events if event.type == "error"] == [ConnectionLost]


@pytest.mark.parametrize("kind", ["output_audio", "output_text"])
@pytest.mark.parametrize("where", ["response.done", "response.output_item.done"])
async def test_the_final_text_counts_in_every_event_that_has_it(kind: str, where: str) -> None:
    """In the history, and for guardrails."""
    checked: list[str] = []

    @output_guardrail
    def watch(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        checked.append(text)
        return GuardrailFunctionOutput(None, False)

    peer = Peer()
    async with opened(peer, RealtimeAgent(name="Desk", output_guardrails=[watch])) as (session, _):
        name = "transcript" if kind == "output_audio" else "text"
        item = {"id": "a1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": kind, name: "We are open until eleven."}]}  # fmt: skip
        part = {"response_id": "resp_1", "item_id": "a1", "output_index": 0, "content_index": 0}
        delta = "output_audio_transcript" if kind == "output_audio" else "output_text"
        peer.respond()
        peer.emit(f"response.{delta}.delta", **part, delta="We are open")
        if where != "response.done":
            peer.emit(where, response_id="resp_1", output_index=0, item=item)
            peer.emit(f"response.{delta}.delta", **part, delta=" late")
        peer.done(output=[item])
        await settle(0.1)
        (known,) = session.history
        assert (getattr(known, "status", None), getattr(known, "text", None)) == (
            "completed",
            "We are open until eleven.",
        )
        assert checked[-1] == "We are open until eleven."


async def test_an_event_that_a_model_emits_twice_happens_once() -> None:
    """For other models than ours: the session itself takes each response and each transcript once."""
    heard: list[str] = []

    @input_guardrail
    def listen(context: Any, agent: Any, transcript: str) -> GuardrailFunctionOutput:
        heard.append(transcript)
        return GuardrailFunctionOutput(None, transcript == "bad")

    model = ScriptedRealtimeModel(strict=False)
    session = await RealtimeRunner(RealtimeAgent(name="Desk", input_guardrails=[listen]), model=model).run()
    events: list[Any] = []
    session.add_handler(events.append)
    async with session:
        for event in (
            RealtimeModelInputAudioTranscriptionCompletedEvent("u1", "bad"),
            RealtimeModelTurnStartedEvent(response_id="r1"),
            RealtimeModelTurnEndedEvent(response_id="r1"),
            RealtimeModelInputAudioTranscriptionCompletedEvent("u1", "worse"),
            RealtimeModelInputAudioTranscriptionCompletedEvent("u2", "bad"),
        ):
            model.emit_now(event, event)
        await settle(0.1)
        assert sorted(heard) == ["bad", "bad", "worse"], "a corrected transcript is checked, and so is another turn"
        seen = Counter(event.type for event in events)
        assert (seen["agent_start"], seen["agent_end"], seen["guardrail_tripped"]) == (1, 1, 2)
