"""The model against a scripted server: the client events it sends, and the events it emits."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeRunner
from realtime_core.connection import Close
from realtime_core.errors import ConnectFailed, ConnectionLost, ServerRejected, UserError
from realtime_core.model import DONE, Done, RealtimeModelListener
from realtime_core.model_events import RealtimeModelEvent, RealtimeModelToolCallEvent
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendResponseCancel,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from realtime_core.turn_policy import Actions, OurTurns
from tests.support.realtime_peer import Peer, Recorder, Talk, settle

pytestmark = pytest.mark.virtual_time

CALL = RealtimeModelToolCallEvent("lookup", "call_1", "{}", id="item_call")


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


async def test_connect_sends_the_configuration_and_waits_until_it_is_taken() -> None:
    talk = Talk(options={"initial_model_settings": {"instructions": "Be brief.", "tools": []}})
    await talk.model.connect(talk.options)
    (update,) = talk.peer.sent
    assert update["event_id"] == "evt_1"
    assert update["session"] == {
        "type": "realtime",
        "instructions": "Be brief.",
        "tools": [],
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-live-transcribe"},
                "turn_detection": {"type": "semantic_vad", "create_response": True, "interrupt_response": True},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash"},
        },
    }
    assert talk.heard.types() == ["connection_status", "connection_status"]
    assert [each["type"] for each in talk.heard.raw] == ["session.created", "session.updated"]
    assert talk.peer.requested == [("wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1", {})]
    await talk.model.close()


async def test_connect_raises_the_servers_complaint_and_leaves_nothing_open() -> None:
    talk = Talk(Peer(accepts=False))
    talk.peer.on_client = lambda event: talk.peer.error(
        "unknown_parameter", "Unknown parameter: 'session.colour'.", event_id=event["event_id"], param="session.colour"
    )
    with pytest.raises(ServerRejected, match=r"session\.colour") as raised:
        await talk.model.connect(talk.options)
    assert raised.value.code == "unknown_parameter"
    assert (
        str(ServerRejected("Invalid value: 'bob'.", param="session.voice")) == "Invalid value: 'bob'. (session.voice)"
    )
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    talk.peer.on_client, talk.peer.accepts = talk.peer.accept, True
    await talk.model.connect(talk.options)  # the same model may try again
    await talk.model.close()


async def test_connect_does_not_wait_for_ever() -> None:
    started = asyncio.get_running_loop().time()
    talk = Talk(Peer(accepts=False), transport_config={"session_timeout": 4.0})
    with pytest.raises(ConnectFailed, match="within 4 s"):
        await talk.model.connect(talk.options)
    assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=1.1)


async def test_the_key_function_is_called_once_for_each_connection() -> None:
    requested: list[int] = []

    def key() -> str:
        requested.append(1)
        return "sk-1"

    async with Talk(options={"api_key": key}) as talk:
        assert len(requested) == 1 and talk.peer.requested[0][1] == {"Authorization": "Bearer sk-1"}
        assert talk.peer.connection is not None
        talk.peer.connection.break_()
        await settle(1.0)
        assert len(requested) == 2


async def test_a_server_that_hangs_up_instead() -> None:
    talk = Talk(Peer(accepts=False))

    def hang_up(event: dict[str, Any]) -> None:
        if talk.peer.connection is not None:
            talk.peer.connection.close(1008, "no such model")

    talk.peer.on_client = hang_up
    with pytest.raises(ConnectFailed, match="1008, no such model"):
        await talk.model.connect(talk.options)


def refused_with(status: int | None) -> ConnectFailed:
    failure = ConnectFailed(f"status {status}")
    failure.status = status
    return failure


@pytest.mark.parametrize("status", [None, 429, 500, 503])
async def test_the_first_connection_is_tried_again_after_a_failure_that_may_pass(status: int | None) -> None:
    peer = Peer()
    peer.refusals = [refused_with(status), refused_with(status)]
    async with Talk(peer):
        assert len(peer.requested) == 3 and peer.opened == 1


@pytest.mark.parametrize("code", [1001, 1006, 1013])
async def test_the_first_connection_is_tried_again_after_a_close_that_may_pass(code: int) -> None:
    peer = Peer()

    def hang_up_once(event: dict[str, Any]) -> None:
        assert peer.connection is not None
        if peer.opened > 1:
            peer.accept(event)
        elif code == 1006:
            peer.connection.break_()
        else:
            peer.connection.close(code, "try again later")

    peer.on_client = hang_up_once
    async with Talk(peer):
        assert peer.opened == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_the_first_connection_is_not_tried_again_in_vain(status: int) -> None:
    peer = Peer()
    peer.refusals = [refused_with(status)]
    with pytest.raises(ConnectFailed, match=str(status)):
        await Talk(peer).model.connect(peer.config)
    assert len(peer.requested) == 1


async def test_the_first_connection_is_given_up_while_the_caller_still_waits() -> None:
    peer = Peer()
    peer.refusals = [refused_with(503)] * 99
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConnectFailed, match="503"):
        await Talk(peer).model.connect(peer.config)
    assert len(peer.requested) >= 4 and asyncio.get_running_loop().time() - began <= 2.5
    peer.requested.clear()
    with pytest.raises(ConnectFailed, match="503"):
        await Talk(peer, reconnect=ReconnectPolicy(attempts=0)).model.connect(peer.config)
    assert len(peer.requested) == 1


class WithoutTranscriber(Peer):
    """A server that does not have the transcription model of the settings."""

    def accept(self, event: dict[str, Any]) -> None:
        transcription = event.get("session", {}).get("audio", {}).get("input", {}).get("transcription")
        if event["type"] == "session.update" and transcription:
            self.error("invalid_value", event_id=event["event_id"], param="session.audio.input.transcription.model")
        else:
            super().accept(event)


async def test_a_server_without_our_transcription_model_gets_a_session_without(caplog: Any) -> None:
    async with Talk(WithoutTranscriber()) as talk:
        assert talk.peer.opened == 2
        assert talk.peer.sent[0]["session"]["audio"]["input"]["transcription"] is None
    assert "is not transcribed" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"input_audio_transcription": {"model": "mine"}},
        {"audio": {"input": {"transcription": {"model": "mine"}}}},
    ],
)
async def test_a_transcription_model_that_the_user_has_chosen_is_not_left_out(settings: dict[str, Any]) -> None:
    peer = WithoutTranscriber()
    with pytest.raises(ServerRejected, match="transcription"):
        await Talk(peer).model.connect({**peer.config, "initial_model_settings": settings})  # type: ignore[typeddict-item]
    assert peer.opened == 1


async def test_a_safety_identifier_goes_beside_the_key() -> None:
    for given in ({"api_key": "sk-1"}, {"headers": {"api-key": "azure"}}):
        async with Talk(options={**given, "safety_identifier": "caller-17"}) as talk:
            headers = talk.peer.requested[0][1]
            assert headers["OpenAI-Safety-Identifier"] == "caller-17" and len(headers) == 2


@pytest.mark.parametrize("identifier", ["", "a\r\nb", "ü", "x" * 513])
async def test_a_safety_identifier_that_is_no_header_is_refused(identifier: str) -> None:
    with pytest.raises(UserError, match="safety_identifier"):
        await Talk(options={"api_key": "sk-1", "safety_identifier": identifier}).model.connect(
            {**Peer().config, "api_key": "sk-1", "safety_identifier": identifier}
        )


async def test_cancelling_connect_leaves_nothing_open() -> None:
    talk = Talk(Peer(accepts=False))
    connecting = asyncio.create_task(talk.model.connect(talk.options))
    await settle(1.0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await settle(2.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_model_has_one_session_at_a_time() -> None:
    async with Talk() as talk:
        with pytest.raises(UserError, match="connected already"):
            await talk.model.connect(talk.options)
    with pytest.raises(UserError, match="connect"):
        _ = OpenAIRealtimeWebSocketModel().send_event(RealtimeModelSendAudio(b""))


async def test_a_message_is_created_and_answered() -> None:
    async with Talk() as talk:
        await talk.model.send_event(RealtimeModelSendUserInput("Hello"))
        await settle()
        item, create = talk.peer.commands()
        assert item["item"]["content"] == [{"type": "input_text", "text": "Hello"}]
        assert item["item"]["role"] == "user" and item["item"]["id"].startswith("item_")
        assert create["type"] == "response.create"
        talk.send(RealtimeModelSendUserInput("By the way", respond=False))
        await settle()
        assert len(talk.peer.commands()) == 3


async def test_odd_parts_of_a_message_are_left_out() -> None:
    async with Talk() as talk:
        content: Any = [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": "data:,", "detail": "low"},
            {"type": "input_image"},
            {"type": "input_text", "text": None},
            "Look",
        ]
        talk.send(RealtimeModelSendUserInput({"type": "message", "role": "system", "content": content}, respond=False))
        await settle()
        (item,) = talk.peer.commands()
        assert item["item"]["role"] == "system" and item["item"]["content"] == content[:2]


async def test_a_message_may_be_given_as_elsewhere() -> None:
    async with Talk() as talk:
        given: Any = {"role": "user", "content": "Hi"}
        talk.send(RealtimeModelSendUserInput(given, respond=False))
        await settle()
        (item,) = talk.peer.commands()
        assert item["item"]["content"] == [{"type": "input_text", "text": "Hi"}]
        with pytest.raises(UserError, match="not 5"):
            talk.send(RealtimeModelSendUserInput(5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"type": "input_audio", "audio": "AAAA"}),
        ("assistant", {"type": "output_text", "text": "We are open."}),
        ("user", {"type": "input_text", "text": ""}),
    ],
)
async def test_every_part_that_the_protocol_takes_is_sent(role: str, part: dict[str, Any]) -> None:
    async with Talk() as talk:
        given: Any = {"type": "message", "role": role, "content": [part]}
        talk.send(RealtimeModelSendUserInput(given, respond=False))
        await settle()
        (item,) = talk.peer.commands()
        assert item["item"]["role"] == role and item["item"]["content"] == [part]


@pytest.mark.parametrize("content", [[], [{"type": "input_video", "url": "x"}], [{"type": "input_text"}], [3]])
async def test_a_message_of_which_nothing_can_be_sent_is_refused(content: Any) -> None:
    async with Talk() as talk:
        given: Any = {"type": "message", "role": "user", "content": content}
        with pytest.raises(UserError, match="input_text"):
            talk.send(RealtimeModelSendUserInput(given))
        await settle()
        assert talk.peer.commands() == [], "the agent is not asked to answer nothing"


async def test_audio_goes_out_at_once() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendAudio(b"\x01\x02", commit=True))
        await settle()
        assert talk.peer.commands() == [
            {"type": "input_audio_buffer.append", "audio": "AQI="},
            {"type": "input_audio_buffer.commit"},
        ]
        talk.peer.emit("input_audio_buffer.committed", item_id="item_u")
        await settle()
        assert talk.peer.types()[-1] == "response.create"


async def test_audio_that_comes_in() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(200)
        talk.peer.emit(
            "response.output_audio_transcript.delta",
            response_id="resp_1",
            item_id="item_a",
            content_index=0,
            delta="Hi",
        )
        talk.peer.audio_done()
        usage = {"input_tokens": 3, "output_tokens": 4, "input_token_details": {"audio_tokens": 3}}
        talk.peer.done(usage=usage, output=[{"type": "message", "content": [{"type": "output_audio"}]}])
        await settle()
        assert talk.heard.types() == [
            "turn_started", "audio", "transcript_delta", "audio_done", "usage", "turn_ended",
        ]  # fmt: skip
        audio = talk.heard.one("audio")
        assert (len(audio.data), audio.response_id, audio.item_id) == (9600, "resp_1", "item_a")
        spent = talk.heard.one("usage")
        assert (spent.usage.total_tokens, spent.input_tokens_details.audio_tokens) == (7, 3)


async def test_barge_in_is_one_step_and_the_server_cancels() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        talk.peer.audio_done()
        talk.peer.audio(1000, item_id="item_b")
        await settle(0.4)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        talk.peer.audio(200, item_id="item_b")
        talk.peer.done(status="cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})
        await settle()
        assert talk.peer.commands() == [
            {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 400},
            {"type": "conversation.item.truncate", "item_id": "item_b", "content_index": 0, "audio_end_ms": 0},
        ]
        assert talk.heard.types() == [
            "turn_started", "audio", "audio_done", "audio", "speech_started", "audio_interrupted", "turn_ended",
        ]  # fmt: skip
        interrupted = talk.heard.one("audio_interrupted")
        assert (interrupted.item_id, interrupted.audio_end_ms, interrupted.response_id) == ("item_a", 400, "resp_1")
        assert [each.item_id for each in interrupted.items] == ["item_a", "item_b"]
        assert talk.heard.one("turn_ended").reason == "turn_detected"


async def test_barge_in_where_the_server_does_not_cancel() -> None:
    settings = {"turn_detection": {"type": "server_vad", "interrupt_response": False}}
    async with Talk(options={"initial_model_settings": settings}) as talk:
        talk.peer.respond()
        await settle()
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        talk.peer.audio(200)
        await settle()
        assert talk.peer.commands() == [{"type": "response.cancel", "response_id": "resp_1"}]
        assert talk.heard.types() == ["turn_started", "speech_started"], "nothing was cut, nothing is heard"


async def test_a_policy_lets_the_agent_finish_and_then_answers_the_turn() -> None:
    class Undisturbed(OurTurns):
        def speech_started(self, now: float, *, agent_active: bool) -> Actions:
            return ()

    async with Talk(turn_policy=Undisturbed()) as talk:
        talk.peer.respond()
        talk.peer.audio(200)
        await settle()
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        talk.peer.audio(200)
        talk.peer.emit("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=1900)
        talk.peer.emit("input_audio_buffer.committed", item_id="item_u", previous_item_id="item_a")
        await settle()
        assert talk.peer.commands() == [] and talk.heard.of("audio_interrupted") == []
        assert len(talk.heard.of("audio")) == 2
        talk.peer.done()
        await settle()
        assert [each["type"] for each in talk.peer.commands()] == ["response.create"]


@pytest.mark.parametrize(
    ("lacks", "commands"),
    [
        ({}, ["conversation.item.truncate", "response.cancel"]),
        ({"truncates": False}, ["response.cancel"]),
        ({"cancels": False}, ["conversation.item.truncate"]),
        ({"full_duplex": True}, []),
    ],
    ids=["all", "no truncation", "no cancellation", "full duplex"],
)
async def test_barge_in_asks_the_model_only_for_what_it_can_do(lacks: dict[str, bool], commands: list[str]) -> None:
    settings = {"turn_detection": {"type": "server_vad", "interrupt_response": False}}
    talk = Talk(options={"initial_model_settings": settings})
    talk.model.capabilities = dataclasses.replace(talk.model.capabilities, **lacks)
    async with talk:
        talk.peer.respond()
        talk.peer.audio(2000)
        await settle(0.5)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        talk.peer.audio(200)
        await settle()
        assert [each["type"] for each in talk.peer.commands()] == commands
        plays_on = bool(lacks.get("full_duplex"))
        assert len(talk.heard.of("audio_interrupted")) == (0 if plays_on else 1)
        assert len(talk.heard.of("audio")) == (2 if plays_on else 1), "the rest of a response that was cut is dropped"


async def test_speech_into_the_silence_interrupts_nothing() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(100)
        talk.peer.audio_done()
        talk.peer.done(output=[{"type": "message", "content": [{"type": "output_audio"}]}])
        await settle(5.0)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        await settle()
        assert talk.peer.commands() == [] and not talk.heard.of("audio_interrupted")


async def test_a_part_that_its_response_left_open_ends_with_it() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(100)
        talk.peer.done(status="incomplete", status_details={"reason": "max_output_tokens"})
        await settle(1.0)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        await settle()
        assert talk.peer.commands() == [] and not talk.heard.of("audio_interrupted")
        failed = talk.heard.one("response_failed")
        assert (failed.status, failed.reason, failed.retrying) == ("incomplete", "max_output_tokens", False)


async def test_audio_that_comes_after_its_end_plays_and_ends() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(100)
        talk.peer.audio_done()
        talk.peer.done()
        talk.peer.audio(100)
        await settle(1.0)
        assert talk.heard.types().count("audio") == 2
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await settle()
        assert not talk.heard.of("audio_interrupted"), "all of it was heard long ago"


async def test_a_response_that_is_reported_twice_happens_once() -> None:
    async with Talk() as talk:
        usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        talk.peer.respond()
        talk.peer.respond()
        talk.peer.audio(100)
        talk.peer.done(usage=usage)
        talk.peer.done(usage=usage)
        await settle()
        assert talk.heard.types() == ["turn_started", "audio", "audio_done", "usage", "turn_ended"]


async def test_a_response_that_goes_silent_is_replaced() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle()
        talk.peer.respond("resp_1", metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.emit("response.output_item.added", response_id="resp_1", item={"id": "item_a"})
        await settle(14.0)
        talk.peer.emit("response.content_part.added", response_id="resp_1", item_id="item_a", part={})
        await settle(14.0)
        assert talk.heard.types() == ["turn_started", "other"]
        await settle(2.5)
        assert talk.peer.types()[-2:] == ["response.cancel", "response.create"]
        ended, failed = talk.heard.of("turn_ended", "response_failed")
        assert (ended.status, ended.reason) == ("failed", "stalled")
        assert (failed.reason, failed.retrying) == ("stalled", True)
        talk.peer.audio(100)
        talk.peer.done("resp_1", "cancelled")
        talk.peer.respond("resp_2", metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(100, "item_b", "resp_2")
        talk.peer.done("resp_2")
        await settle()
        assert [each.response_id for each in talk.heard.of("audio", "turn_ended")] == ["resp_1", "resp_2", "resp_2"]


async def test_interrupt_always_cancels() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        await settle(0.25)
        talk.send(RealtimeModelSendInterrupt())
        talk.send(RealtimeModelSendInterrupt())
        talk.peer.audio(1000)
        await settle()
        assert talk.peer.commands() == [
            {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 250},
            {"type": "response.cancel", "response_id": "resp_1"},
        ]
        assert talk.heard.types() == ["turn_started", "audio", "audio_interrupted"]
        talk.peer.error("response_cancel_not_active", event_id=talk.peer.sent[-1]["event_id"])
        await settle()
        assert not talk.heard.of("error") and talk.model.ignored_errors["response_cancel_not_active"] == 1


async def test_interrupts_with_a_scope() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        await settle(0.25)
        talk.send(RealtimeModelSendInterrupt(response_id="resp_0"))
        await settle()
        assert talk.peer.commands() == []
        talk.send(RealtimeModelSendInterrupt(response_id="resp_1", cancel_response_only=True))
        await settle()
        assert [each["type"] for each in talk.peer.commands()] == ["response.cancel"]
        talk.peer.done(status="cancelled")
        await settle()
        talk.send(RealtimeModelSendInterrupt(response_id="resp_1", playback_only=True))
        await settle()
        assert [each["type"] for each in talk.peer.commands()] == ["response.cancel", "conversation.item.truncate"]
        assert talk.heard.of("audio_interrupted")


async def test_cancelling_a_response_lets_play_what_was_received() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(100)
        await settle()
        talk.send(RealtimeModelSendResponseCancel())
        talk.peer.audio(100)
        await settle()
        assert len(talk.heard.of("audio")) == 2 and not talk.heard.of("audio_interrupted")


async def test_a_request_that_a_barge_in_overtakes_is_cancelled_unheard() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle()
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        talk.peer.respond(metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(200)
        await settle()
        assert talk.peer.commands()[-1] == {"type": "response.cancel", "response_id": "resp_1"}
        assert not talk.heard.of("audio")


async def test_tool_calls_and_their_outputs() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        item = {"id": "item_call", "type": "function_call", "name": "lookup", "call_id": "call_1", "arguments": "{}"}
        talk.peer.emit("response.output_item.added", response_id="resp_1", item={**item, "status": "in_progress"})
        talk.peer.emit("response.output_item.done", response_id="resp_1", item={**item, "status": "incomplete"})
        talk.peer.emit("response.output_item.done", response_id="resp_1", item={**item, "status": "completed"})
        talk.peer.done(output=[item])
        await settle()
        call = talk.heard.one("function_call")
        assert (call.name, call.call_id, call.arguments, call.response_id) == ("lookup", "call_1", "{}", "resp_1")
        talk.send(RealtimeModelSendToolOutput(call, "42"))
        await settle()
        output, create = talk.peer.commands()
        assert {**output["item"], "id": ""} == {
            "id": "", "type": "function_call_output", "call_id": "call_1", "output": "42",
        }  # fmt: skip
        assert create["type"] == "response.create"
        before, after = [each.item for each in talk.heard.of("item_updated")]
        assert (before.status, before.output, after.status, after.output) == ("in_progress", None, "completed", "42")


async def test_a_call_that_only_the_end_of_its_response_reports() -> None:
    def item(call_id: str, status: str = "completed") -> dict[str, Any]:
        return {"id": f"item_{call_id}", "type": "function_call", "call_id": call_id, "name": "f", "status": status}

    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.emit("response.output_item.done", response_id="resp_1", item=item("1"))
        talk.peer.done(output=[item("1"), item("2"), item("3", "incomplete")])
        await settle()
        assert [each.call_id for each in talk.heard.of("function_call")] == ["1", "2"]
        assert talk.heard.types()[-1] == "turn_ended"


async def test_a_silent_tool_output_asks_for_no_response() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendToolOutput(CALL, "42", start_response=False))
        await settle()
        assert [each["type"] for each in talk.peer.commands()] == ["conversation.item.create"]


def _call(peer: Peer) -> None:
    item = {"id": "item_call", "type": "function_call", "name": "lookup", "call_id": "call_1", "arguments": "{}"}
    peer.respond("resp_call")
    peer.emit("response.output_item.done", response_id="resp_call", item={**item, "status": "completed"})
    peer.done("resp_call", output=[item])


def _turn(peer: Peer) -> None:
    peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    peer.emit("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=500)
    peer.emit("input_audio_buffer.committed", item_id="item_u")


async def test_while_a_tool_runs_a_turn_waits_for_its_result() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        _turn(talk.peer)
        await settle(5.0)
        update = talk.peer.sent[-1]
        assert update["session"]["audio"] == {
            "input": {"turn_detection": {"type": "semantic_vad", "create_response": False, "interrupt_response": True}}
        }
        talk.send(RealtimeModelSendResponseCreate({"instructions": "Say: one moment."}))
        await settle()
        assert talk.peer.types()[-1] == "response.create", "a filler need not wait"
        talk.peer.respond("resp_filler", metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(100, response_id="resp_filler")
        talk.peer.done("resp_filler")
        talk.peer.emit("conversation.item.added", item={"id": "item_u", "type": "message", "role": "user"})
        await settle()
        talk.send(RealtimeModelSendToolOutput(CALL, "42"))
        await settle()
        assert talk.peer.types()[-3:] == ["conversation.item.create", "session.update", "response.create"]
        turn_detection = talk.peer.sent[-2]["session"]["audio"]["input"]["turn_detection"]
        assert turn_detection["create_response"] is True


async def test_a_turn_during_a_tool_is_answered_without_hold_for_tools() -> None:
    async with Talk(hold_for_tools=False) as talk:
        _call(talk.peer)
        _turn(talk.peer)
        await settle(5.0)
        assert talk.peer.types() == ["session.update"]


async def test_a_tool_that_never_returns_does_not_silence_the_agent() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        _turn(talk.peer)
        await settle(19.0)
        assert "response.create" not in talk.peer.types()
        await settle(2.0)
        assert talk.peer.types()[-1] == "response.create"


async def test_a_committed_turn_is_over_without_an_end_of_speech() -> None:
    async with Talk() as talk:
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        talk.peer.emit("input_audio_buffer.committed", item_id="item_u")
        _call(talk.peer)
        await settle()
        assert talk.peer.types() == ["session.update"], "the caller does not speak: nothing is held"


async def test_a_refused_tool_output_is_sent_as_a_note() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        await settle()
        talk.send(RealtimeModelSendToolOutput(CALL, "42"))
        await settle()
        refused, create = talk.peer.sent[-2:]
        talk.peer.error("invalid_tool_call_id", event_id=refused["event_id"])
        await settle()
        note = talk.peer.sent[-1]["item"]
        assert (note["role"], note["content"][0]["text"]) == ("system", "A tool that you have called has returned: 42")
        talk.peer.respond("resp_blind", metadata=create["response"]["metadata"])
        await settle()
        assert talk.peer.commands()[-1] == {"type": "response.cancel", "response_id": "resp_blind"}
        talk.peer.done("resp_blind", "cancelled")
        await settle()
        assert talk.peer.types()[-1] == "response.create"


async def test_an_output_that_is_no_unicode_is_sent_nevertheless() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        await settle()
        talk.send(RealtimeModelSendToolOutput(CALL, "caf\udce9"))
        await settle()
        output, create = talk.peer.commands()
        assert (output["item"]["output"], create["type"]) == ("caf?", "response.create")


async def test_a_refused_silent_tool_output_is_sent_as_a_silent_note() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        await settle()
        talk.send(RealtimeModelSendToolOutput(CALL, "x" * 9000, start_response=False))
        await settle()
        talk.peer.error("string_above_max_length", event_id=talk.peer.sent[-1]["event_id"])
        await settle(1.0)
        (text,) = (part["text"] for part in talk.peer.sent[-1]["item"]["content"])
        assert 3000 < len(text) < 5000
        assert "response.create" not in talk.peer.types()


async def test_a_tool_output_that_is_sent_raw_answers_its_call() -> None:
    async with Talk() as talk:
        _call(talk.peer)
        _turn(talk.peer)
        await settle(1.0)
        item = {"type": "function_call_output", "call_id": CALL.call_id, "output": "42"}
        message: Any = {"type": "conversation.item.create", "other_data": {"item": item}}
        talk.send(RealtimeModelSendRawMessage(message))
        await settle()
        assert talk.peer.types()[-3:] == ["conversation.item.create", "session.update", "response.create"]


async def test_settings_are_sent_as_differences_with_the_formats() -> None:
    async with Talk(options={"initial_model_settings": {"instructions": "A", "voice": "ash"}}) as talk:
        talk.send(RealtimeModelSendSessionUpdate({"instructions": "A", "voice": "ash"}))
        await settle()
        assert len(talk.peer.sent) == 1, "nothing differs"
        talk.peer.respond()
        talk.peer.audio(20)
        await settle()
        talk.send(RealtimeModelSendSessionUpdate({"instructions": "B", "voice": "coral"}))
        await settle()
        pcm = {"format": {"type": "audio/pcm", "rate": 24000}}
        assert talk.peer.sent[-1]["session"] == {
            "type": "realtime",
            "instructions": "B",
            "audio": {"input": pcm, "output": pcm},
        }


async def test_raw_messages() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendRawMessage({"type": "conversation.item.delete", "other_data": {"item_id": "x"}}))
        talk.send(
            RealtimeModelSendRawMessage({"type": "session.update", "other_data": {"session": {"instructions": "R"}}})
        )
        talk.send(RealtimeModelSendRawMessage({"type": "response.create"}))
        talk.send(RealtimeModelSendRawMessage({"type": "response.create", "other_data": {"response": {"input": []}}}))
        await settle()
        assert talk.peer.types()[1:] == ["conversation.item.delete", "session.update", "response.create"]
        assert len({each["event_id"] for each in talk.peer.sent}) == 4
        talk.peer.respond(metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(20)
        talk.peer.done()
        await settle()
        assert talk.peer.sent[-1]["response"]["input"] == []
        talk.send(RealtimeModelSendSessionUpdate({"instructions": "R"}))
        await settle()
        assert talk.peer.types().count("session.update") == 2, "what was set by hand is known"


async def test_the_fields_of_a_raw_message_may_stand_beside_its_type() -> None:
    async with Talk() as talk:
        message: Any = {"type": "conversation.item.delete", "item_id": "x", "event_id": "mine"}
        talk.send(RealtimeModelSendRawMessage(message))
        await settle()
        assert talk.peer.sent[-1] == message


@pytest.mark.parametrize("message", [None, "response.create", {}, {"type": None}, {"other_data": {}}])
async def test_a_raw_message_without_a_type_is_refused(message: Any) -> None:
    async with Talk() as talk:
        with pytest.raises(UserError, match="`type`"):
            talk.send(RealtimeModelSendRawMessage(message))


async def test_the_client_can_decide_turns_and_interruptions() -> None:
    options = {"initial_model_settings": {"turn_detection": {"type": "server_vad"}}}
    async with Talk(turn_policy=OurTurns(0.3, silence_s=0.5), options=options) as talk:
        detection = talk.peer.sent[0]["session"]["audio"]["input"]["turn_detection"]
        assert detection == {"type": "server_vad", "create_response": False, "interrupt_response": False}
        talk.peer.respond()
        talk.peer.audio(3000)
        await settle(1.0)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="noise", audio_start_ms=0)
        await settle(0.6)
        talk.peer.emit("input_audio_buffer.speech_stopped", item_id="noise", audio_end_ms=100)
        talk.peer.emit("input_audio_buffer.committed", item_id="noise")
        await settle(0.4)
        assert talk.peer.commands() == []
        talk.peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await settle(0.9)
        truncate, cancel = talk.peer.commands()
        assert truncate["audio_end_ms"] == pytest.approx(1400, abs=5), "the time of the hold was not heard"
        assert cancel["type"] == "response.cancel"
        talk.peer.done(status="cancelled")
        talk.peer.emit("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=100)
        talk.peer.emit("input_audio_buffer.committed", item_id="item_u")
        await settle()
        assert talk.peer.commands()[-1]["type"] == "response.create"
        assert talk.heard.types().index("audio_interrupted") > talk.heard.types().index("speech_started")


@pytest.mark.parametrize("empty", ["", None])
async def test_an_empty_transcript_does_not_erase_a_known_one(empty: str | None) -> None:
    peer = Peer()
    async with await RealtimeRunner(RealtimeAgent(name="Desk")).run(model_config=peer.config) as session:
        for kind, text in (("delta", "Hel"), ("completed", "Hello."), ("delta", " Hello."), ("completed", empty)):
            field = "delta" if kind == "delta" else "transcript"
            name = f"conversation.item.input_audio_transcription.{kind}"
            peer.emit(name, item_id="u", content_index=0, **{field: text})
        peer.emit("conversation.item.input_audio_transcription.delta", item_id="v", content_index=0, delta="Yes")
        peer.emit("conversation.item.input_audio_transcription.completed", item_id="v", transcript=empty)
        await settle(0.1)
        assert [item.text for item in session.history] == ["Hello.", "Yes"]


async def test_other_server_events_become_model_events() -> None:
    async with Talk() as talk:
        emit = talk.peer.emit
        emit("conversation.item.input_audio_transcription.delta", item_id="u", delta="He")
        emit("conversation.item.input_audio_transcription.completed", item_id="u", transcript="Hello", content_index=0)
        emit("conversation.item.input_audio_transcription.failed", item_id="v", error={"code": "x"})
        emit("input_audio_buffer.timeout_triggered", item_id="u", audio_start_ms=1, audio_end_ms=2)
        emit("input_audio_buffer.dtmf_event_received", event="5")
        emit("rate_limits.updated", rate_limits=[{"name": "tokens"}])
        emit("conversation.item.deleted", item_id="u")
        emit("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=5)
        emit("conversation.item.added", item={"id": "s", "type": "message", "role": "ghost"})
        emit("response.invented")
        assert talk.peer.connection is not None
        talk.peer.connection.send("no JSON")
        await settle()
        assert talk.heard.types() == [
            "input_audio_transcription_delta",
            "input_audio_transcription_completed",
            "input_audio_transcription_failed",
            "input_audio_timeout_triggered",
            "dtmf",
            "rate_limits",
            "item_deleted",
            "item_truncated",
            "other_item",
            "other",
            "other",
        ]
        assert talk.model.ignored_errors["malformed"] == 1
        assert talk.peer.commands() == [], "nothing is ever retrieved"


async def test_items_come_with_their_order_and_status() -> None:
    async with Talk() as talk:
        item = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.peer.emit("conversation.item.added", item=item, previous_item_id="before")
        talk.peer.emit("conversation.item.done", item={**item, "status": "completed"}, previous_item_id="before")
        await settle()
        first, second = talk.heard.of("item_updated")
        assert (first.previous_item_id, first.item.item_id, second.item.status) == ("before", "u", "completed")


async def test_errors_are_reported_and_races_are_not() -> None:
    async with Talk() as talk:
        talk.peer.error("cannot_update_voice", "Cannot update a conversation's voice.")
        talk.peer.error("input_audio_buffer_commit_empty")
        talk.peer.error("invalid_value", "Audio content of 90ms is already shorter than 100ms")
        await settle()
        error = talk.heard.one("error").error
        assert isinstance(error, ServerRejected) and error.code == "cannot_update_voice"
        assert sum(talk.model.ignored_errors.values()) == 2


async def test_a_collision_without_a_code_is_requested_again() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle()
        event_id = talk.peer.sent[-1]["event_id"]
        talk.peer.respond("resp_of_the_server")
        message = "Conversation already has an active response in progress: resp_of_the_server."
        talk.peer.error("", message, event_id=event_id)
        await settle()
        talk.peer.audio(100, response_id="resp_of_the_server")
        talk.peer.done("resp_of_the_server")
        await settle()
        assert talk.peer.types()[-1] == "response.create" and not talk.heard.of("error", "response_failed")


async def test_out_of_band_responses_make_no_turn_and_are_no_part_of_the_conversation() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendResponseCreate({"conversation": "none", "output_modalities": ["text"]}))
        await settle()
        metadata = talk.peer.sent[-1]["response"]["metadata"]
        talk.peer.respond("resp_side", metadata=metadata, conversation_id=None)
        part = {"response_id": "resp_side", "item_id": "side", "content_index": 0}
        talk.peer.emit("response.output_text.delta", **part, delta="label")
        talk.peer.emit("response.output_audio_transcript.delta", **part, delta="label")
        talk.peer.emit("response.output_audio_transcript.done", **part, transcript="label")
        output = [{"type": "message", "content": [{"type": "output_text", "text": "label"}]}]
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        talk.peer.done("resp_side", output=output, usage=usage)
        await settle()
        assert talk.heard.types() == ["other", "usage", "other"]
        last: Any = talk.heard.events[-1]
        assert last.data["response"]["output"] == output


async def test_without_raw_events_nothing_else_changes() -> None:
    async with Talk() as talk:
        talk.model.emit_raw = False
        talk.heard.raw.clear()
        talk.peer.respond()
        talk.peer.audio(200)
        talk.peer.done()
        await settle()
        assert talk.heard.raw == [] and talk.heard.one("audio").data == bytes(9600)


class Slow(RealtimeModelListener):
    def __init__(self) -> None:
        self.types: list[str] = []

    async def on_event(self, event: RealtimeModelEvent) -> None:
        await asyncio.sleep(0.01)
        self.types.append(event.type)
        if event.type == "turn_started":
            raise RuntimeError("the listener's own fault")


async def test_listeners_that_await_get_everything_in_order(caplog: pytest.LogCaptureFixture) -> None:
    talk, slow = Talk(), Slow()
    talk.model.add_listener(slow)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    async with talk:
        talk.model.emit_raw = False
        talk.peer.respond()
        for _ in range(2000):
            talk.peer.audio(1)
        talk.peer.done()
        await settle(1.0)
        assert len(talk.heard.events) < 1200, "the source waits for the slowest listener"
        await settle(60.0)
        result = [each for each in slow.types if each not in ("connection_status", "raw_server_event")]
        assert result == talk.heard.types()
        assert complaints == ["Slow.on_event failed for 'turn_started'"]


async def test_a_listener_that_takes_some_events_at_once_still_gets_them_in_order() -> None:
    class Sometimes(Slow):
        def on_event(self, event: RealtimeModelEvent) -> Coroutine[Any, Any, None]:
            if event.type == "audio":
                return super().on_event(event)
            self.types.append(event.type)
            return DONE

    talk, listener = Talk(), Sometimes()
    talk.model.add_listener(listener)
    async with talk:
        talk.model.emit_raw = False
        listener.types.clear()
        talk.peer.audio(20)
        talk.peer.audio_done()
        await settle(1.0)
        assert listener.types == ["audio", "audio_done"]


async def test_the_end_by_the_server_is_reported() -> None:
    async with Talk() as talk:
        assert talk.peer.connection is not None
        talk.peer.connection.close(1000, "bye")
        await settle()
        assert talk.heard.types() == ["connection_status", "end_of_stream"]
        status = talk.heard.events[0]
        assert getattr(status, "close", None) == Close(1000, "bye", "peer")
        talk.send(RealtimeModelSendAudio(b"late"))
        talk.send(RealtimeModelSendUserInput("late"))
        await talk.model.close()
        await talk.model.connect(talk.options)


async def test_a_lost_connection_is_reported_without_reconnecting() -> None:
    async with Talk(reconnect=ReconnectPolicy(attempts=0)) as talk:
        assert talk.peer.connection is not None
        talk.peer.connection.break_()
        await settle()
        assert talk.heard.types() == ["connection_status", "exception"]
        assert isinstance(talk.heard.one("exception").exception, ConnectionLost)


async def test_close_says_nothing_and_takes_a_second_at_most() -> None:
    talk = Talk()
    await talk.model.connect(talk.options)
    assert talk.peer.connection is not None
    talk.peer.connection.pause()  # never reads the CLOSE, so never answers it
    talk.heard.events.clear()
    started = asyncio.get_running_loop().time()
    await talk.model.close()
    assert asyncio.get_running_loop().time() - started <= 1.0
    await talk.model.close()
    assert talk.heard.events == []


async def test_a_failing_listener_of_the_package_is_reported_as_an_exception() -> None:
    class Broken(Recorder):
        def on_event(self, event: RealtimeModelEvent) -> Done:
            if event.type == "turn_started":
                raise ValueError("a defect")
            return super().on_event(event)

    talk, broken = Talk(), Broken()
    talk.model.add_listener(broken)
    async with talk:
        talk.peer.respond()
        await settle(2.0)
        assert isinstance(talk.heard.one("exception").exception, ValueError)
