"""The server session by itself: without event loop, socket, clock or log."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from realtime_core.errors import ServerRejected, UserError
from realtime_core.model_events import RealtimeModelEvent, RealtimeModelToolCallEvent
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.server_session import ServerSession, SessionPorts
from realtime_core.openai_realtime.session_config import SessionConfig
from realtime_core.playback import ClockPlayer
from realtime_core.sources import Sources
from realtime_core.turn_policy import ServerTurns


class Bench:
    """A server session with its ports: `sent` are the client events, `emitted` the model events."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.time = 0.0
        self.sent: list[dict[str, Any]] = []
        self.emitted: list[RealtimeModelEvent] = []
        self.listener: Callable[[RealtimeModelEvent], None] = lambda event: None
        policy = ServerTurns()
        self.ports = SessionPorts(
            policy=policy,
            player=ClockPlayer(lambda: self.time),
            sources=Sources(1),
            emit=self._emit,
            log=logging.getLogger("test"),
            capabilities=OpenAIRealtimeWebSocketModel.capabilities,
            emit_raw=False,
        )
        self.session = self.new_session()
        if is_open:
            self.open()

    def new_session(self) -> ServerSession:
        config = SessionConfig({}, turns=self.ports.policy.turn_detection)
        return ServerSession(lambda text: self.sent.append(json.loads(text)), self.ports, config)

    def _emit(self, event: RealtimeModelEvent) -> None:
        self.emitted.append(event)
        self.listener(event)

    def receive(self, type: str, **fields: Any) -> None:
        self.session.receive(json.dumps({"type": type, **fields}), self.time)

    def open(self) -> None:
        self.receive("session.created", session={"id": "sess_1"})
        self.session.configure(self.time)
        self.receive("session.updated", session=self.sent[-1]["session"])
        assert self.session.configured
        self.sent.clear()
        self.emitted.clear()

    def respond(self, ms: int) -> None:
        """The server makes a response with audio."""
        self.receive("response.created", response={"id": "resp_1"})
        part = {"response_id": "resp_1", "item_id": "item_a", "content_index": 0}
        self.receive("response.output_audio.delta", **part, delta=base64.b64encode(bytes(48 * ms)).decode())

    def call(self) -> RealtimeModelToolCallEvent:
        """The server calls a tool."""
        self.receive("response.created", response={"id": "resp_1"})
        item = {"type": "function_call", "id": "item_c", "call_id": "call_1", "name": "book", "arguments": "{}"}
        self.receive("response.output_item.done", response_id="resp_1", item=item)
        self.receive("response.done", response={"id": "resp_1", "status": "completed", "output": [item]})
        return RealtimeModelToolCallEvent("book", "call_1", "{}", id="item_c")

    def types(self) -> list[str]:
        return [event["type"] for event in self.sent]


def test_a_session_opens_when_the_server_has_taken_its_configuration() -> None:
    bench = Bench(is_open=False)
    assert not bench.session.created and not bench.sent
    bench.receive("session.created", session={"id": "sess_1", "expires_at": 99})
    assert bench.session.created and bench.session.expires_at == 99 and not bench.session.configured
    bench.session.configure(0.0)
    assert bench.types() == ["session.update"] and not bench.session.configured
    bench.receive("session.updated", session=bench.sent[0]["session"])
    assert bench.session.configured and bench.session.at_rest(bench.time)


def test_an_error_before_the_configuration_is_taken_rejects_the_session() -> None:
    bench = Bench(is_open=False)
    bench.receive("session.created", session={})
    bench.session.configure(0.0)
    bench.receive("error", error={"type": "invalid_request_error", "code": "bad", "message": "No."})
    bench.receive("error", error={"type": "invalid_request_error", "code": "other", "message": "No."})
    assert isinstance(bench.session.rejection, ServerRejected) and bench.session.rejection.code == "bad"
    assert not bench.session.configured and not bench.emitted


def test_an_interruption_is_one_step() -> None:
    bench = Bench()
    bench.respond(1000)
    bench.time = 0.3
    bench.receive("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    assert bench.sent == [
        {
            "type": "conversation.item.truncate",
            "event_id": bench.sent[0]["event_id"],
            "item_id": "item_a",
            "content_index": 0,
            "audio_end_ms": 300,
        }
    ]
    assert [event.type for event in bench.emitted][-2:] == ["speech_started", "audio_interrupted"]
    assert not bench.session.at_rest(bench.time) and bench.session.turn_is_open(bench.time)


def test_a_listener_may_send_while_an_event_is_emitted() -> None:
    bench = Bench()

    def interrupt(event: RealtimeModelEvent) -> None:
        if event.type == "audio":
            bench.session.send(RealtimeModelSendInterrupt(), bench.time)

    bench.listener = interrupt
    bench.respond(1000)
    assert bench.types() == ["conversation.item.truncate", "response.cancel"]
    assert bench.sent[0]["audio_end_ms"] == 0
    assert [event.type for event in bench.emitted] == ["turn_started", "audio", "audio_interrupted"]


INPUTS_IN_RETURN: dict[str, tuple[RealtimeModelSendEvent, str]] = {
    "message": (RealtimeModelSendUserInput("Hello", respond=False), "conversation.item.create"),
    "request": (RealtimeModelSendResponseCreate({}), "response.create"),
    "settings": (RealtimeModelSendSessionUpdate({"instructions": "Be short."}), "session.update"),
    "raw": (RealtimeModelSendRawMessage({"type": "input_audio_buffer.clear"}), "input_audio_buffer.clear"),
    "audio": (RealtimeModelSendAudio(bytes(960)), "input_audio_buffer.append"),
    "commit": (RealtimeModelSendAudio(b"", commit=True), "input_audio_buffer.commit"),
}


@pytest.mark.parametrize("kind", INPUTS_IN_RETURN)
def test_an_input_of_a_listener_waits_until_the_step_is_done(kind: str) -> None:
    bench = Bench()
    event, wanted = INPUTS_IN_RETURN[kind]
    bench.respond(1000)
    bench.time = 0.3
    sent_meanwhile: list[str] = []

    def answer(emitted: RealtimeModelEvent) -> None:
        if emitted.type == "speech_started":
            bench.session.send(event, bench.time)
            sent_meanwhile.extend(bench.types())

    bench.listener = answer
    bench.receive("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    assert wanted not in sent_meanwhile, "the step was not done"
    assert [event.type for event in bench.emitted][-2:] == ["speech_started", "audio_interrupted"]
    bench.receive("response.done", response={"id": "resp_1", "status": "cancelled", "output": []})
    bench.receive("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=500)
    bench.receive("input_audio_buffer.committed", item_id="item_u")
    bench.time += 30
    bench.session.on_time(bench.time)
    assert wanted in bench.types(), "the input is lost"


def test_inputs_of_a_listener_keep_their_order() -> None:
    bench = Bench()

    def answer(event: RealtimeModelEvent) -> None:
        if event.type == "audio":
            bench.session.append(bytes(960))
            bench.session.send(RealtimeModelSendAudio(bytes(960), commit=True), bench.time)
            bench.session.append(bytes(960))

    bench.listener = answer
    bench.respond(20)
    kinds = [type.removeprefix("input_audio_buffer.") for type in bench.types()]
    assert kinds == ["append", "append", "commit", "append"]


UNUSABLE: list[RealtimeModelSendEvent] = [
    RealtimeModelSendUserInput(17),  # type: ignore[arg-type]
    RealtimeModelSendResponseCreate({"metadata": object()}),
    RealtimeModelSendRawMessage({"type": "session.update", "other_data": {"session": {"x": {1, 2}}}}),
]


@pytest.mark.parametrize("event", UNUSABLE, ids=lambda event: type(event).__name__)
def test_an_unusable_input_of_a_listener_is_reported_and_the_session_continues(event: RealtimeModelSendEvent) -> None:
    bench = Bench()
    bench.listener = lambda emitted: bench.session.send(event, 0.0) if emitted.type == "turn_started" else None
    bench.respond(20)
    assert [event.type for event in bench.emitted] == ["turn_started", "error", "audio"]
    with pytest.raises((UserError, TypeError)):
        bench.session.send(event, 0.0)
    bench.receive("response.done", response={"id": "resp_1", "status": "completed", "output": []})


def test_an_input_of_a_wrong_type_is_refused_at_once_in_a_listener_too() -> None:
    bench = Bench()
    errors: list[UserError] = []

    def answer(event: RealtimeModelEvent) -> None:
        try:
            bench.session.send("hello", 0.0)  # type: ignore[arg-type]
        except UserError as error:
            errors.append(error)

    bench.listener = answer
    bench.respond(20)
    assert len(errors) == len(bench.emitted) == 2


def test_a_listener_that_causes_events_for_ever_is_stopped() -> None:
    bench = Bench()
    call = bench.call()

    def answer_twice(event: RealtimeModelEvent) -> None:
        for _ in range(2):
            bench.session.send(RealtimeModelSendToolOutput(call, "x", start_response=False), bench.time)

    bench.listener = answer_twice
    with pytest.raises(UserError, match="must not answer each event"):
        bench.session.send(RealtimeModelSendToolOutput(call, "x", start_response=False), 0.0)


def test_answers_wait_while_a_tool_runs_and_the_caller_speaks() -> None:
    bench = Bench()
    call = bench.call()
    bench.receive("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    assert bench.types() == ["session.update"]
    detection = bench.sent[0]["session"]["audio"]["input"]["turn_detection"]
    assert detection["create_response"] is False, "the server must not answer"
    bench.receive("session.updated", session=bench.sent[0]["session"])
    bench.receive("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=500)
    bench.receive("input_audio_buffer.committed", item_id="item_u")
    assert "response.create" not in bench.types()
    bench.session.send(RealtimeModelSendToolOutput(call, "done"), bench.time)
    output = next(event for event in bench.sent if event["type"] == "conversation.item.create")
    bench.receive("conversation.item.added", item=output["item"])
    assert bench.types().count("response.create") == 1, "one response answers the tool and the turn"


def test_time_is_an_input() -> None:
    bench = Bench()
    bench.call()
    bench.receive("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    bench.receive("input_audio_buffer.committed", item_id="item_u")
    while "response.create" not in bench.types():
        deadline = bench.session.deadline
        assert deadline is not None, "no answer is due"
        bench.time = max(bench.time, deadline)
        bench.session.on_time(bench.time)
    assert bench.time == pytest.approx(20.0, abs=0.01), "answers wait for a tool for 20 s at most"


def test_a_session_that_takes_over_knows_the_running_tools() -> None:
    bench = Bench()
    call = bench.call()
    lost = bench.session
    lost.end(bench.time, continues=True)
    assert lost.ended
    bench.session = bench.new_session()
    bench.open()
    bench.session.succeed(lost, bench.time, knows_calls=False)
    bench.session.send(RealtimeModelSendToolOutput(call, "done"), bench.time)
    (created,) = [event["item"] for event in bench.sent if event["type"] == "conversation.item.create"]
    assert created["role"] == "system", "the new server does not know the call"
    assert "done" in created["content"][0]["text"]
