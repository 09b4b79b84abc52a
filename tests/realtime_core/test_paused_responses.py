"""Paused responses: the model hears the caller and makes no response, whatever asks for one."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeRunner
from realtime_core.errors import ServerRejected
from realtime_core.model_events import RealtimeModelAudioEvent, RealtimeModelToolCallEvent
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendPauseResponses,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.testing import ScriptedRealtimeModel
from realtime_core.turn_policy import OurTurns
from tests.support.realtime_peer import Talk, settle

pytestmark = pytest.mark.virtual_time

CALL = RealtimeModelToolCallEvent("lookup", "call_1", "{}", id="item_call")
PAUSE, RESUME = RealtimeModelSendPauseResponses(True), RealtimeModelSendPauseResponses(False)
IDLE = {"type": "server_vad", "idle_timeout_ms": 6000}


async def paused(talk: Talk) -> None:
    talk.send(PAUSE)
    await settle()


def turn(talk: Talk, item_id: str = "item_u") -> None:
    """The caller speaks, and the server takes the turn."""
    talk.peer.emit("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=0)
    talk.peer.emit("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=500)
    talk.peer.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)


@pytest.mark.parametrize(
    "request_",
    [
        RealtimeModelSendUserInput("Hello"),
        RealtimeModelSendToolOutput(CALL, "done"),
        RealtimeModelSendResponseCreate({"instructions": "Say that you are here."}),
        RealtimeModelSendResponseCreate(),
    ],
)
async def test_a_request_waits_until_the_responses_are_resumed(request_: RealtimeModelSendEvent) -> None:
    async with Talk() as talk:
        await paused(talk)
        talk.send(request_)
        await settle(60)
        assert "response.create" not in talk.peer.types()
        talk.send(RESUME)
        await settle()
        assert talk.peer.types().count("response.create") == 1


async def test_the_server_stops_to_answer_turns_and_goes_on_as_before() -> None:
    answers: list[Exception | None] = []
    async with Talk(options={"initial_model_settings": {"turn_detection": IDLE}}) as talk:
        talk.send(RealtimeModelSendPauseResponses(True, answers.append))
        assert answers == [], "the server has not agreed"
        await settle()
        update = talk.peer.sent[-1]["session"]["audio"]["input"]["turn_detection"]
        assert (update["create_response"], update["idle_timeout_ms"], answers) == (False, None, [None])
        talk.send(RealtimeModelSendPauseResponses(False, answers.append))
        await settle()
        update = talk.peer.sent[-1]["session"]["audio"]["input"]["turn_detection"]
        assert (update["create_response"], update["idle_timeout_ms"], answers) == (True, 6000, [None, None])


async def test_the_model_still_hears_the_caller_and_the_turns_of_our_own_policy_wait_too() -> None:
    async with Talk(turn_policy=OurTurns()) as talk:
        await paused(talk)
        talk.send(RealtimeModelSendAudio(b"\0" * 960))
        turn(talk)
        await settle(30)
        assert "input_audio_buffer.append" in talk.peer.types() and "response.create" not in talk.peer.types()
        talk.send(RESUME)
        await settle()
        assert talk.peer.types()[-1] == "response.create"


async def test_a_response_that_crosses_the_pause_is_cancelled_and_not_heard() -> None:
    async with Talk() as talk:
        talk.send(PAUSE)
        talk.peer.respond()
        talk.peer.audio(200)
        await settle()
        assert talk.peer.commands()[-1] == {"type": "response.cancel", "response_id": "resp_1"}
        assert not talk.heard.of("audio")


async def test_speech_of_the_caller_does_not_stop_what_plays_meanwhile() -> None:
    async with Talk() as talk:
        await paused(talk)
        before = len(talk.peer.sent)
        turn(talk)
        await settle()
        assert talk.heard.types()[-3:] == ["speech_started", "speech_stopped", "input_audio_committed"]
        assert not talk.heard.of("audio_interrupted") and len(talk.peer.sent) == before


async def test_a_pause_outlives_its_connection() -> None:
    async with Talk() as talk:
        await paused(talk)
        assert talk.peer.connection is not None
        talk.peer.connection.break_()
        await settle(2)
        assert len(talk.peer.requested) == 2
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle(30)
        assert "response.create" not in talk.peer.types()
        updates = [each["session"].get("audio", {}) for each in talk.peer.sent if each["type"] == "session.update"]
        turns = [each["input"]["turn_detection"] for each in updates if "turn_detection" in each.get("input", {})]
        assert turns[-1]["create_response"] is False
        talk.send(RESUME)
        await settle()
        assert talk.peer.types()[-1] == "response.create"


async def test_a_pause_without_a_connection_needs_no_answer() -> None:
    answers: list[Exception | None] = []
    async with Talk() as talk:
        assert talk.peer.connection is not None
        talk.peer.connection.break_()
        await settle(0.01)
        talk.send(RealtimeModelSendPauseResponses(True, answers.append))
        assert answers == [None]
        await settle(2)
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle(30)
        assert "response.create" not in talk.peer.types()


async def test_a_refused_pause_is_reported_and_later_responses_are_cancelled() -> None:
    answers: list[Exception | None] = []
    async with Talk() as talk:
        accept = talk.peer.on_client

        def refuse(event: dict[str, Any]) -> None:
            if event["type"] == "session.update":
                talk.peer.error("invalid_value", "No.", event_id=event["event_id"])
            else:
                accept(event)

        talk.peer.on_client = refuse
        talk.send(RealtimeModelSendPauseResponses(True, answers.append))
        await settle()
        assert isinstance(answers[0], ServerRejected)
        turn(talk)
        talk.peer.respond()
        talk.peer.audio(200)
        await settle()
        assert talk.peer.types()[-1] == "response.cancel" and not talk.heard.of("audio")


async def test_a_session_drops_the_audio_of_a_model_that_cannot_pause() -> None:
    model = ScriptedRealtimeModel()
    async with await RealtimeRunner(RealtimeAgent(name="Desk"), model=model).run() as session:
        heard: list[bytes] = []
        session.add_handler(lambda event: heard.append(event.audio.data) if event.type == "audio" else None)
        await session.pause_responses()
        await model.emit(RealtimeModelAudioEvent(b"one", "resp_1", "item_1", 0))
        await session.resume_responses()
        await model.emit(RealtimeModelAudioEvent(b"two", "resp_2", "item_2", 0))
        assert heard == [b"two"] and model.sent_events == ()
