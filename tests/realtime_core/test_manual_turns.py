"""Turns that the application ends by itself: it commits the audio, and decides when the model responds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeRunner, RealtimeSession
from realtime_core.model_inputs import RealtimeModelSendRawMessage
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from tests.support.realtime_peer import Peer, settle

pytestmark = pytest.mark.virtual_time


class Server(Peer):
    """Adds the item of each committed turn, and answers each `response.create`."""

    def __init__(self) -> None:
        super().__init__()
        self.on_client = self.answer
        self.turns = 0

    def answer(self, event: dict[str, Any]) -> None:
        self.accept(event)
        if event["type"] == "input_audio_buffer.commit":
            self.turns += 1
            item_id = f"u{self.turns}"
            self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
            item = {"id": item_id, "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
            self.emit("conversation.item.added", item=item, previous_item_id=None)
        elif event["type"] == "response.create":
            response_id = f"r{self.types().count('response.create')}"
            self.respond(response_id, metadata=event["response"].get("metadata"))
            self.audio(20, item_id=f"a_{response_id}", response_id=response_id)
            self.done(response_id)

    def responses(self) -> int:
        return self.types().count("response.create")


async def opened(server: Server, settings: Any) -> RealtimeSession:
    runner = RealtimeRunner(RealtimeAgent(name="Desk"), model=OpenAIRealtimeWebSocketModel(), config=settings)
    return await runner.run(model_config=server.config)


async def commit(session: RealtimeSession, how: str) -> None:
    await session.send_audio(bytes(9600), commit=how == "method")
    if how == "raw":
        await session.model.send_event(RealtimeModelSendRawMessage({"type": "input_audio_buffer.commit"}))


OFF: list[Any] = [
    {"model_settings": {"turn_detection": None}},
    {"model_settings": {"audio": {"input": {"turn_detection": None}}}},
]


@pytest.mark.parametrize("how", ["method", "raw"])
@pytest.mark.parametrize("settings", OFF)
async def test_without_turn_detection_the_application_decides_when_the_model_responds(how: str, settings: Any) -> None:
    server = Server()
    async with await opened(server, settings) as session:
        await commit(session, how)
        await settle(30.0)
        assert server.responses() == 0
        await session.model.send_event(RealtimeModelSendRawMessage({"type": "response.create"}))
        await settle(30.0)
        assert server.responses() == 1
        await commit(session, how)
        await session.request_response()
        await settle(30.0)
        assert server.responses() == 2


async def test_turn_detection_that_is_switched_off_later_counts() -> None:
    server = Server()
    async with await opened(server, {}) as session:
        await session.update_settings({"turn_detection": None})
        await settle(1.0)
        await commit(session, "method")
        await settle(30.0)
        assert server.responses() == 0


@pytest.mark.parametrize("how", ["method", "raw"])
async def test_with_turn_detection_a_committed_turn_is_answered_once(how: str) -> None:
    server = Server()
    async with await opened(server, {}) as session:
        await commit(session, how)
        await settle(30.0)
        assert server.responses() == 1


async def test_a_turn_that_the_server_ends_and_may_not_answer_waits_for_the_application() -> None:
    """The documented way to check a transcript before the answer: `create_response` is False."""
    server = Server()
    detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
    async with await opened(server, {"model_settings": {"turn_detection": detection}}) as session:
        server.emit("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
        server.emit("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=900)
        server.emit("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        await settle(30.0)
        assert server.responses() == 0
        await session.model.send_event(RealtimeModelSendRawMessage({"type": "response.create"}))
        await settle(30.0)
        assert server.responses() == 1


@pytest.mark.parametrize("kind", ["message", "raw", "response"])
async def test_an_input_that_waits_is_sent_as_it_was_given(kind: str) -> None:
    """The application may change its dict and use it again."""
    server = Server()
    part = {"type": "input_text", "text": "given"}
    message: Any = {"type": "message", "role": "user", "content": [part]}
    raw: Any = {"type": "conversation.item.create", "other_data": {"item": message}}
    async with await opened(server, {}) as session:
        assert server.connection is not None
        server.connection.break_()
        await settle(0.01)
        if kind == "message":
            await session.send_message(message)
        elif kind == "raw":
            await session.model.send_event(RealtimeModelSendRawMessage(raw))
        else:
            await session.request_response(input=[message])
        part["text"] = "changed"
        await settle(30.0)
        assert (
            server.opened == 2 and '"given"' in json.dumps(server.sent) and '"changed"' not in json.dumps(server.sent)
        )
