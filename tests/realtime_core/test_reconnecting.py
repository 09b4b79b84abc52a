"""A conversation over several connections: the memory of the new session, inputs that wait, and giving up."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from realtime_core.audio.resample import Upsampler3
from realtime_core.connection.memory import MemoryConnection
from realtime_core.errors import ConnectFailed, ConnectionLost, ServerRejected, SessionExpired
from realtime_core.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    RealtimeItem,
    RealtimeToolCallItem,
    UserMessageItem,
)
from realtime_core.model_events import RealtimeModelToolCallEvent
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.openai_realtime import DEFAULT_MODEL_SETTINGS
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from realtime_core.sources import Sources
from realtime_core.turn_policy import OurTurns
from tests.support.realtime_peer import Peer, Talk, settle

pytestmark = pytest.mark.virtual_time

HEARD = AssistantAudio(
    transcript="Your table is booked. Tonight we have", heard_ms=900, heard_transcript="Your table is"
)
HISTORY: list[RealtimeItem] = [
    UserMessageItem(item_id="u1", content=[InputAudio(transcript="A table for two")]),
    RealtimeToolCallItem(
        item_id="c1", call_id="call_1", name="book", arguments='{"n":2}', output="ok", status="completed"
    ),
    AssistantMessageItem(item_id="a1", content=[HEARD]),
]


def conversation() -> Sequence[RealtimeItem]:
    return HISTORY


def lose(peer: Peer, code: int = 1006) -> None:
    assert peer.connection is not None
    if code == 1006:
        peer.connection.break_()
    else:
        peer.connection.close(code, "lost")


def texts(commands: Sequence[dict[str, Any]]) -> list[str]:
    items = [each["item"] for each in commands if each["type"] == "conversation.item.create"]
    return [part["text"] for item in items for part in item.get("content", ())]


async def test_a_new_session_gets_what_was_heard_and_makes_no_response() -> None:
    async with Talk(options={"conversation": conversation}) as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        await settle(0.5)
        lose(talk.peer)
        await settle(1.0)
        assert talk.heard.types() == [
            "turn_started", "audio", "audio_done", "turn_ended", "response_failed", "connection_status",
            "connection_status",
        ]  # fmt: skip
        assert not talk.heard.one("response_failed").retrying, "half an answer was heard"
        ended = talk.heard.one("turn_ended")
        assert (ended.response_id, ended.status, ended.reason) == ("resp_1", "failed", "connection_lost")
        assert [each.status for each in talk.heard.of("connection_status")] == ["reconnecting", "connected"]
        assert talk.peer.opened == 2
        first, second = (each[0]["session"] for each in talk.peer.sessions)
        assert first == second, "the whole configuration again"
        (note,) = talk.peer.commands()
        assert (note["item"]["type"], note["item"]["role"]) == ("message", "system")
        (text,) = texts([note])
        assert "User: A table for two" in text and "You: Your table is\n" in text and "Tonight" not in text
        assert 'Tool book({"n":2}): ok' in text


async def test_the_note_is_no_item_of_the_users_history() -> None:
    async with Talk(options={"conversation": conversation}) as talk:
        lose(talk.peer)
        await settle(1.0)
        (note,) = talk.peer.commands()
        talk.peer.emit("conversation.item.added", item=note["item"])
        await settle()
        assert not talk.heard.of("item_updated")


async def test_replay_as_items() -> None:
    policy = ReconnectPolicy(memory="items")
    async with Talk(options={"conversation": conversation}, reconnect=policy) as talk:
        lose(talk.peer)
        await settle(1.0)
        items = [each["item"] for each in talk.peer.commands()]
        assert [(each["type"], each.get("role")) for each in items] == [
            ("message", "user"), ("function_call", None), ("function_call_output", None), ("message", "assistant"),
        ]  # fmt: skip
        assert items[-1]["content"] == [{"type": "output_text", "text": "Your table is"}]


async def test_an_unanswered_request_is_repeated_in_the_new_session() -> None:
    async with Talk(options={"conversation": conversation}) as talk:
        talk.send(RealtimeModelSendUserInput("Hello"))  # neither confirmed nor answered
        await settle()
        lose(talk.peer)
        await settle(1.0)
        commands = talk.peer.commands()
        assert [each["type"] for each in commands] == ["conversation.item.create"] * 2 + ["response.create"]
        assert texts(commands)[1] == "Hello"


async def test_a_turn_that_the_server_took_and_did_not_answer_is_answered_by_the_new_session() -> None:
    async with Talk(options={"conversation": conversation}) as talk:
        turn(talk.peer)
        await settle(0.1)
        lose(talk.peer, 1011)  # as it does when it fails to make the answer
        await settle(1.0)
        assert [each["type"] for each in talk.peer.commands()] == ["conversation.item.create", "response.create"]
        talk.peer.respond(metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(100)
        talk.peer.done()
        await settle(0.1)
        lose(talk.peer)
        await settle(1.0)
        assert [each["type"] for each in talk.peer.commands()] == ["conversation.item.create"], "it was answered"


def said(peer: Peer) -> bytes:
    appended = [each["audio"] for each in peer.sent if each["type"] == "input_audio_buffer.append"]
    return b"".join(base64.b64decode(each) for each in appended)


async def speak(talk: Talk, seconds: float, sample: bytes) -> None:
    for _ in range(round(seconds * 50)):
        talk.send(RealtimeModelSendAudio(sample * 480))
        await settle(0.02)


async def test_the_speech_of_a_phone_is_said_again_as_it_was_said() -> None:
    """The transport stores it as mu-law, and upsamples it again."""
    up, ulaw = Upsampler3(), Random(1).randbytes(160 * 150)
    async with Talk() as talk:
        talk.peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        for at in range(0, len(ulaw), 160):
            piece = ulaw[at : at + 160]
            talk.send(RealtimeModelSendAudio(up.push_ulaw(piece), ulaw=piece))
            await settle(0.02)
        before = said(talk.peer)
        lose(talk.peer)
        await settle(1.0)
        assert said(talk.peer) == before and len(before) == 6 * len(ulaw)


async def test_what_the_caller_was_saying_is_said_again_and_answered_once() -> None:
    async with Talk() as talk:
        await speak(talk, 5.0, b"..")
        talk.peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=4900)
        await speak(talk, 2.0, b"ab")
        lose(talk.peer)
        await speak(talk, 1.0, b"cd")
        words = said(talk.peer)
        assert words.count(b"ab") == words.count(b"cd") * 2 == 48000, "nothing is lost, in the gap neither"
        assert words.startswith(b".." * 23000) and len(words) < 2 * (24000 * 4 + 960), "and a second before"
        talk.peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await speak(talk, 1.0, b"ef")
        turn(talk.peer)
        await settle(0.1)
        lose(talk.peer)
        await settle(1.0)
        assert said(talk.peer).count(b"ef") == 24000 and "response.create" not in talk.peer.types()
        turn(talk.peer)
        talk.peer.respond("resp_2")
        talk.peer.audio(100, response_id="resp_2")
        talk.peer.done("resp_2")
        await settle(3.0)
        assert "response.create" not in talk.peer.types(), "the server has answered"
        await speak(talk, 2.0, b"..")
        lose(talk.peer)
        await settle(1.0)
        assert said(talk.peer) == b"", "what was answered is not said again"


async def test_a_turn_that_is_not_taken_again_is_answered_nevertheless() -> None:
    async with Talk() as talk:
        await speak(talk, 1.0, b"ab")
        turn(talk.peer)
        await settle(0.1)
        lose(talk.peer)
        await settle(3.0)
        assert talk.peer.types()[-1] == "response.create"


async def test_an_answer_that_had_begun_is_not_requested_again() -> None:
    async with Talk() as talk:
        talk.send(RealtimeModelSendUserInput("Hello"))
        await settle()
        talk.peer.emit("conversation.item.added", item=talk.peer.sent[1]["item"])
        talk.peer.respond(metadata=talk.peer.sent[-1]["response"]["metadata"])
        talk.peer.audio(100)
        await settle()
        lose(talk.peer)
        await settle(1.0)
        assert talk.peer.commands() == []


async def test_what_is_sent_in_the_gap_waits_in_order_and_audio_is_bounded() -> None:
    policy = ReconnectPolicy(gap_audio_s=0.1)
    async with Talk(reconnect=policy) as talk:
        talk.peer.refusals = [ConnectFailed("down"), ConnectFailed("down")]
        lose(talk.peer)
        await settle()
        for number in range(20):  # 20 times 20 ms, of which 100 ms are kept
            talk.send(RealtimeModelSendAudio(bytes([number]) * 960))
        talk.send(RealtimeModelSendUserInput("Are you there?"))
        talk.send(RealtimeModelSendSessionUpdate({"instructions": "New ones."}))
        await settle(10.0)
        commands = talk.peer.commands()
        assert [each["type"] for each in commands] == [
            *["input_audio_buffer.append"] * 5, "conversation.item.create", "response.create",
        ]  # fmt: skip
        assert [base64.b64decode(each["audio"])[0] for each in commands[:5]] == [15, 16, 17, 18, 19]
        assert "instructions" not in talk.peer.sent[0]["session"], "what the server may refuse costs no session"
        assert talk.peer.sent[1]["session"]["instructions"] == "New ones."
        assert talk.peer.opened == 2 and len(talk.peer.requested) == 4


async def test_settings_that_change_while_the_new_session_begins() -> None:
    async with Talk(options={"initial_model_settings": {"instructions": "Old."}}) as talk:
        talk.peer.accepts = False
        lose(talk.peer)
        await settle(1.0)
        assert talk.peer.opened == 2 and talk.peer.sent[0]["session"]["instructions"] == "Old."
        talk.send(RealtimeModelSendSessionUpdate({"instructions": "New."}))
        talk.peer.accepts = True
        talk.peer.accept(talk.peer.sent[0])
        await settle()
        assert talk.peer.sent[1]["session"]["instructions"] == "New."


async def test_an_agent_that_was_held_goes_on_when_the_server_is_lost() -> None:
    async with Talk(turn_policy=OurTurns()) as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        talk.peer.audio_done()
        await settle(0.2)
        talk.peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await settle(0.1)
        lose(talk.peer)
        await settle(0.5)
        talk.send(RealtimeModelSendInterrupt())
        assert talk.heard.one("audio_interrupted").audio_end_ms == pytest.approx(700, abs=5)


async def test_an_interrupt_in_the_gap_silences_at_once() -> None:
    async with Talk() as talk:
        talk.peer.respond()
        talk.peer.audio(1000)
        await settle(0.25)
        talk.peer.refusals = [ConnectFailed("down")] * 3
        lose(talk.peer)
        await settle()
        talk.send(RealtimeModelSendInterrupt())
        assert talk.heard.one("audio_interrupted").items[0].heard_ms == pytest.approx(251, abs=3)
        await settle(10.0)
        assert talk.peer.commands() == []


CALL = RealtimeModelToolCallEvent("lookup", "call_9", '{"q":1}', id="item_call")


def call(peer: Peer) -> None:
    item = {"id": "i", "type": "function_call", "name": "lookup", "call_id": "call_9", "arguments": '{"q":1}'}
    peer.emit("response.output_item.done", response_id="resp_1", item={**item, "status": "completed"})


def turn(peer: Peer) -> None:
    peer.emit("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    peer.emit("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=500)
    peer.emit("input_audio_buffer.committed", item_id="item_u")


def server_responds(peer: Peer) -> bool:
    """Returns whether the peer should answer turns, according to the last settings that it got."""
    updates = [each["session"].get("audio", {}) for each in peer.sent if each["type"] == "session.update"]
    result = [audio["input"]["turn_detection"] for audio in updates if "turn_detection" in audio.get("input", {})]
    return bool(result[-1]["create_response"])


async def test_a_tool_that_returns_in_the_new_session_is_reported_as_a_note() -> None:
    async with Talk() as talk:
        call(talk.peer)
        await settle()
        lose(talk.peer)
        await settle()
        talk.send(RealtimeModelSendToolOutput(CALL, "42"))
        await settle(1.0)
        note, create = talk.peer.commands()
        assert texts([note]) == ['The tool lookup({"q":1}), called earlier, has returned: 42']
        assert create["type"] == "response.create"
        assert talk.heard.of("item_updated")[-1].item.output == "42"


async def test_a_turn_that_waited_for_a_tool_waits_in_the_new_session_too() -> None:
    async with Talk() as talk:
        call(talk.peer)
        turn(talk.peer)
        await settle(0.1)
        assert not server_responds(talk.peer)
        lose(talk.peer)
        await settle(5.0)
        assert not server_responds(talk.peer)
        assert talk.peer.commands() == [], "an answer now would invent the result, or call the tool again"
        talk.send(RealtimeModelSendToolOutput(CALL, "42"))
        await settle()
        assert server_responds(talk.peer), "or nobody would ever be answered again"
        assert [each["type"] for each in talk.peer.commands()] == ["conversation.item.create", "response.create"]


async def test_a_turn_in_the_new_session_waits_for_a_tool_of_the_old_one() -> None:
    async with Talk() as talk:
        call(talk.peer)
        await settle()
        lose(talk.peer)
        await settle(1.0)
        turn(talk.peer)
        await settle(1.0)
        assert not server_responds(talk.peer) and talk.peer.commands() == []
        talk.send(RealtimeModelSendToolOutput(CALL, "42"))
        await settle()
        assert server_responds(talk.peer)
        assert [each["type"] for each in talk.peer.commands()] == ["conversation.item.create", "response.create"]


async def test_a_tool_that_never_returns_holds_up_two_sessions_no_longer_than_one() -> None:
    async with Talk() as talk:
        call(talk.peer)
        turn(talk.peer)
        await settle(15.0)
        lose(talk.peer)
        await settle(4.0)
        assert "response.create" not in talk.peer.types()
        await settle(2.0)
        assert talk.peer.types()[-1] == "response.create"


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 1013])
async def test_codes_that_say_nothing_against_a_new_session(code: int) -> None:
    async with Talk() as talk:
        lose(talk.peer, code)
        await settle(1.0)
        assert talk.peer.opened == 2 and "exception" not in talk.heard.types()


@pytest.mark.parametrize("code", [1002, 1003, 1008, 4000])
async def test_codes_that_do(code: int) -> None:
    async with Talk() as talk:
        lose(talk.peer, code)
        await settle(1.0)
        assert talk.peer.opened == 1
        failure = talk.heard.one("exception").exception
        assert isinstance(failure, ConnectionLost) and failure.close.code == code


async def test_expiry_is_no_end() -> None:
    async with Talk(options={"conversation": conversation}) as talk:
        talk.peer.error("session_expired", "Your session hit the maximum duration of 60 minutes.")
        await settle(2.0)
        assert talk.peer.opened == 2 and len(texts(talk.peer.commands())) == 1
        assert "error" not in talk.heard.types()


async def test_expiry_is_the_end_without_reconnecting() -> None:
    async with Talk(reconnect=ReconnectPolicy(attempts=0)) as talk:
        talk.peer.error("session_expired")
        await settle(2.0)
        assert isinstance(talk.heard.one("exception").exception, SessionExpired)


async def test_attempts_are_spaced_and_end() -> None:
    async with Talk(reconnect=ReconnectPolicy(attempts=5)) as talk:
        talk.peer.refusals = [ConnectFailed("down")] * 99
        started = asyncio.get_running_loop().time()
        lose(talk.peer)
        while "exception" not in talk.heard.types():
            await settle(0.01)
        took = asyncio.get_running_loop().time() - started
        assert (0.25 + 0.5 + 1 + 2 + 4) / 2 <= took <= 0.25 + 0.5 + 1 + 2 + 4 + 0.1
        assert len(talk.peer.requested) == 6
        assert [each.status for each in talk.heard.of("connection_status")] == ["reconnecting", "disconnected"]
        assert isinstance(talk.heard.one("exception").exception, ConnectFailed)


async def test_a_server_that_takes_every_session_and_drops_it_is_given_up() -> None:
    class Dropping(Peer):
        def accept(self, event: dict[str, Any]) -> None:
            super().accept(event)
            assert self.connection is not None
            if event["type"] == "session.update":
                asyncio.get_running_loop().call_later(0.05, self.connection.close, 1011, "server error")

    async with Talk(Dropping(), reconnect=ReconnectPolicy(attempts=3)) as talk:
        await settle(60.0)
        assert talk.peer.opened == 1 + 3
        assert isinstance(talk.heard.one("exception").exception, ConnectionLost)


async def test_a_session_that_lasted_begins_the_attempts_anew() -> None:
    async with Talk(reconnect=ReconnectPolicy(attempts=1, settled_after_s=10.0)) as talk:
        for _ in range(3):
            await settle(12.0)
            lose(talk.peer)
        await settle(1.0)
        assert talk.peer.opened == 4 and not talk.heard.of("exception")


async def test_a_refused_key_is_not_tried_again() -> None:
    async with Talk() as talk:
        refused = ConnectFailed("401")
        refused.status = 401
        talk.peer.refusals = [refused]
        lose(talk.peer)
        await settle(5.0)
        assert talk.heard.one("exception").exception is refused and len(talk.peer.requested) == 2


async def test_a_refused_configuration_is_not_tried_again() -> None:
    async with Talk() as talk:
        talk.peer.on_client = lambda event: talk.peer.error("unknown_parameter", event_id=event["event_id"])
        lose(talk.peer)
        await settle(5.0)
        assert isinstance(talk.heard.one("exception").exception, ServerRejected) and talk.peer.opened == 2


async def test_close_while_it_reconnects() -> None:
    talk = Talk()
    await talk.model.connect(talk.options)
    talk.peer.refusals = [ConnectFailed("down")] * 99
    lose(talk.peer)
    await settle(0.5)
    started = asyncio.get_running_loop().time()
    await talk.model.close()
    assert asyncio.get_running_loop().time() - started <= 1.0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def expiring(seconds: float) -> Peer:
    """A server whose first session ends so many seconds from now, and later ones in an hour."""
    now = Sources(1).now().timestamp()
    return Peer(created={"expires_at": int(now + seconds)})


async def test_a_session_is_replaced_in_a_pause_before_it_expires() -> None:
    policy = ReconnectPolicy(rollover_margin_s=60)
    peer = expiring(600)
    async with Talk(peer, options={"conversation": conversation}, reconnect=policy) as talk:
        peer.created = {**peer.created, "expires_at": peer.created["expires_at"] + 3600}
        old = peer.connection
        await settle(535)
        assert peer.opened == 1
        peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await settle(20)
        assert peer.opened == 1, "not while the caller speaks"
        peer.emit("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=0)
        peer.emit("input_audio_buffer.committed", item_id="u")
        peer.respond()
        peer.audio(2000)
        peer.audio_done()
        peer.done(output=[{"type": "message", "content": [{"type": "output_audio"}]}])
        await settle(1.9)
        assert peer.opened == 1, "not while the agent is heard"
        await settle(2.0)
        assert peer.opened == 2 and peer.connection is not old
        assert len(texts(peer.commands())) == 1
        talk.send(RealtimeModelSendAudio(b"\0\0"))
        await settle()
        assert peer.types()[-1] == "input_audio_buffer.append"
        await settle(600)
        assert peer.opened == 2 and "exception" not in talk.heard.types()


async def test_the_old_session_serves_until_the_new_one_is_ready() -> None:
    policy = ReconnectPolicy(rollover_margin_s=60)
    peer = expiring(600)
    async with Talk(peer, reconnect=policy) as talk:
        peer.refusals = [ConnectFailed("down")]
        await settle(545)
        assert len(peer.requested) == 2 and peer.opened == 1
        talk.send(RealtimeModelSendResponseCreate({"instructions": "Still here?"}))
        await settle()
        assert peer.types()[-1] == "response.create"
        assert not talk.heard.of("connection_status")


async def test_a_conversation_continues_while_the_new_session_begins() -> None:
    peer = expiring(600)
    async with Talk(peer, reconnect=ReconnectPolicy(rollover_margin_s=60)) as talk:
        old = peer.connection
        assert old is not None
        peer.created = {**peer.created, "expires_at": peer.created["expires_at"] + 3600}
        peer.accepts = False
        await settle(542)
        assert peer.opened == 2
        new, peer.connection = peer.connection, old
        peer.emit("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await settle()
        peer.connection, peer.accepts = new, True
        peer.accept(peer.sent[0])
        await settle(2.0)
        assert not talk.heard.of("connection_status"), "the talk stays where it is"
        peer.connection = old
        peer.emit("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=0)
        peer.emit("input_audio_buffer.committed", item_id="u")
        await settle(2.0)
        assert peer.opened == 3
        assert [each.status for each in talk.heard.of("connection_status")] == ["reconnecting", "connected"]


async def test_a_session_is_not_replaced_between_a_turn_and_its_answer() -> None:
    async with Talk(expiring(600), reconnect=ReconnectPolicy(rollover_margin_s=60)) as talk:
        await settle(539.7)
        turn(talk.peer)
        await settle(0.9)
        talk.peer.respond()
        talk.peer.audio(100)
        await settle(0.1)
        assert talk.peer.opened == 1 and talk.heard.of("audio")


async def test_a_server_whose_clock_is_off_is_not_believed() -> None:
    async with Talk(expiring(-5000)) as talk:
        await settle(1000)
        assert talk.peer.opened == 1


async def test_an_attached_call_keeps_its_conversation() -> None:
    transcribed = Peer(created={"audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}})
    async with Talk(transcribed, options={"conversation": conversation, "call_id": "rtc_1"}) as talk:
        assert talk.peer.requested[0][0].endswith("?call_id=rtc_1")
        assert "session.update" not in talk.peer.types(), "nothing was asked for"
        lose(talk.peer)
        await settle(1.0)
        assert talk.peer.opened == 2 and talk.peer.sent == []


async def test_an_attached_call_without_a_transcription_gets_the_default_one() -> None:
    """Without it, the history would not contain the caller's words. A transcription that is switched off stays off."""
    async with Talk(options={"call_id": "rtc_1"}) as talk:
        (update,) = talk.peer.sent
        default = DEFAULT_MODEL_SETTINGS["input_audio_transcription"]
        assert update["session"] == {"type": "realtime", "audio": {"input": {"transcription": default}}}
    off = {"call_id": "rtc_1", "initial_model_settings": {"input_audio_transcription": None}}
    async with Talk(options=off) as talk:
        sent = [each["session"]["audio"]["input"] for each in talk.peer.sent if each["type"] == "session.update"]
        assert sent in ([], [{"transcription": None}])


async def test_a_socket_that_is_stalled_drops_the_oldest_audio() -> None:
    async with Talk(reconnect=ReconnectPolicy(gap_audio_s=1.0)) as talk:
        transport = talk.model._transport
        assert transport is not None and transport._link is not None
        connection = transport._link.connection
        assert isinstance(connection, MemoryConnection)
        connection.stall(1.0)
        for _ in range(50 * 30):
            talk.send(RealtimeModelSendAudio(bytes(960)))
        assert transport.dropped_audio_bytes > 0 and connection.buffered_bytes < 300_000
        await settle(1.1)
        talk.send(RealtimeModelSendAudio(b"\1\1"))
        await settle()
        appended = [each for each in talk.peer.sent if each["type"] == "input_audio_buffer.append"]
        assert base64.b64decode(appended[-1]["audio"]) == b"\1\1"
        kept = sum(len(base64.b64decode(each["audio"])) for each in appended)
        assert kept + transport.dropped_audio_bytes == 50 * 30 * 960 + 2
