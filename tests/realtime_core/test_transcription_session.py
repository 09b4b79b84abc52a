"""A session that only transcribes: the server's rules, the client's state, real sockets, and its faults."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from realtime_core import OpenAIRealtimeWebSocketModel
from realtime_core.connection import Close, Connection
from realtime_core.connection.memory import memory_pair
from realtime_core.errors import (
    ConnectFailed,
    ConnectionLost,
    RealtimeCoreError,
    ServerRejected,
    SessionExpired,
    UserError,
)
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.local.reply import Heard
from realtime_core.local.script import parse_script
from realtime_core.model import RealtimeModelConfig
from realtime_core.openai_realtime.endpoint import resolve_transcription_endpoint
from realtime_core.openai_realtime.server_transcription import Outcome, ServerTranscription
from realtime_core.sources import Sources
from realtime_core.testing import ScriptedRealtimeModel
from tests.support.local_client import Client, human, session, silence

QUERY = "?intent=transcription"
LIVE = {"model": "gpt-live-transcribe"}
COMPLETED = "conversation.item.input_audio_transcription.completed"


def configured(client: Client, **audio_input: Any) -> None:
    wanted = {"turn_detection": None, "transcription": LIVE, **audio_input}
    client.send("session.update", event_id="update", session={"type": "transcription", "audio": {"input": wanted}})


# --- the embedded server ---------------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_committed_turn_gets_its_transcript() -> None:
    from openai.types import realtime as vendor  # the import takes half a second, and other tests do not need it
    from openai.types.realtime.realtime_transcription_session_create_response import (
        RealtimeTranscriptionSessionCreateResponse,
    )

    script = Script(transcribed=[Heard("I will refund it."), Heard(failed=True), Heard("Bitte.", language="de")])
    async with session(script, query=QUERY) as client:
        configured(client)
        updated = await client.wait("session.updated")
        for n in range(1, 5):
            client.append(human())
            client.send("input_audio_buffer.commit")
            await client.wait("input_audio_buffer.committed", n)
        await client.wait(COMPLETED, 3)
    assert [each["transcript"] for each in client.all(COMPLETED)] == [
        "I will refund it.",
        "Bitte.",
        "[1.0 s of speech]",
    ]
    assert client.all(COMPLETED)[1]["languages"] == [{"code": "de"}]
    assert [each["item_id"] for each in client.all("input_audio_buffer.committed")] == [
        each["item_id"] for each in client.events if each["type"].endswith(("on.completed", "on.failed"))
    ]
    judged: dict[str, Any] = {
        COMPLETED: vendor.ConversationItemInputAudioTranscriptionCompletedEvent,
        COMPLETED.replace("completed", "delta"): vendor.ConversationItemInputAudioTranscriptionDeltaEvent,
        COMPLETED.replace("completed", "failed"): vendor.ConversationItemInputAudioTranscriptionFailedEvent,
        "input_audio_buffer.committed": vendor.InputAudioBufferCommittedEvent,
    }
    for type_, judge in judged.items():
        assert client.all(type_)
        for event in client.all(type_):
            judge.model_validate(event, strict=True)
    RealtimeTranscriptionSessionCreateResponse.model_validate(updated["session"], strict=True)


@pytest.mark.virtual_time
async def test_a_model_with_turn_detection_commits_by_itself() -> None:
    async with session(query=QUERY) as client:
        configured(client, transcription={"model": "gpt-4o-transcribe"}, turn_detection={"type": "server_vad"})
        client.append(silence(0.2) + human() + silence(1.0))
        await client.wait(COMPLETED)
    types = client.types()
    assert types.index("input_audio_buffer.speech_started") < types.index("input_audio_buffer.speech_stopped")
    assert not any(each.startswith("response") for each in types), "nobody answers"


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"type": "realtime", "instructions": "Say it."}, "invalid_parameter", ""),
        ({"type": "other"}, "invalid_value", "session.type"),
        ({"audio": {}}, "missing_required_parameter", "session.type"),
        ({"type": "transcription", "tools": []}, "unknown_parameter", "session.tools"),
        ({"type": "transcription", "instructions": "x"}, "unknown_parameter", "session.instructions"),
        ({"type": "transcription", "model": "x"}, "unknown_parameter", "session.model"),
        ({"type": "transcription", "audio": {"output": {}}}, "unknown_parameter", "session.audio.output"),
        ({"type": "transcription", "audio": {"input": {"format": "pcm16"}}}, "invalid_type",
         "session.audio.input.format"),
        ({"type": "transcription", "audio": {"input": {"transcription": LIVE, "turn_detection": {
            "type": "server_vad"}}}}, "invalid_value", "session.audio.input.turn_detection"),
        (None, "invalid_type", "session"),
    ],
)  # fmt: skip
async def test_an_update_that_the_vendor_refuses_changes_nothing(change: Any, code: str, param: str) -> None:
    async with session(query=QUERY) as client:
        client.send("session.update", event_id="update", session=change)
        error = await client.error()
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "update")
        client.send("session.update", session={"type": "transcription"})
        shown = (await client.wait("session.updated"))["session"]
        assert shown == client.last("session.created")["session"]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("type_", "fields", "code"),
    [
        ("response.create", {}, "invalid_value"),
        ("conversation.item.create", {"item": {"type": "message", "role": "user", "content": []}}, "invalid_value"),
        ("conversation.item.truncate", {}, "invalid_value"),
        ("transcription_session.update", {"session": {}}, "invalid_value"),
        ("session.update", {}, "missing_required_parameter"),
        ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty"),
        ("input_audio_buffer.append", {"audio": "?"}, "invalid_value"),
        ("input_audio_buffer.append", {}, "missing_required_parameter"),
    ],
)
async def test_an_event_that_a_transcription_session_does_not_take(
    type_: str, fields: dict[str, Any], code: str
) -> None:
    async with session(query=QUERY) as client:
        client.send(type_, event_id="mine", **fields)
        error = await client.error()
        assert (error["code"], error["event_id"]) == (code, "mine")
        configured(client)
        await client.wait("session.updated")


@pytest.mark.virtual_time
async def test_a_model_in_the_address_ends_the_session() -> None:
    async with LocalRealtimeServer(in_memory=True, sources=Sources(1)) as server:
        connect = server.model_config["transport"]
        client = Client(await connect(f"{server.url}{QUERY}&model=gpt-live-transcribe", {}))
        running = asyncio.create_task(client.run())
        closed = await client.wait_closed()
        await running
    assert [each["error"]["code"] for each in client.events] == ["invalid_model"]
    assert (closed.code, closed.reason) == (4000, "invalid_request_error.invalid_model")


@pytest.mark.virtual_time
async def test_a_transcription_session_expires() -> None:
    async with session(Script(expires_after_s=60.0), query=QUERY) as client:
        closed = await client.wait_closed(within_s=90)
        assert client.last("error")["error"]["code"] == "session_expired" and closed.code == 1001


def test_a_script_has_the_transcripts() -> None:
    script = parse_script('[[transcribed]]\nheard = "Yes."\n[[transcribed]]\nheard_fails = true\n')
    assert list(script.transcribed) == [Heard("Yes."), Heard(None, failed=True)]


# --- the client's state ----------------------------------------------------------------------------------------------


class Peer:
    """A transcription session with a server that the test plays."""

    def __init__(self, transcription: Mapping[str, Any] = LIVE) -> None:
        self.sent: list[dict[str, Any]] = []
        self.settled: dict[int, Outcome] = {}
        self.deltas: list[tuple[str, str]] = []
        self.session = ServerTranscription(
            lambda text: self.sent.append(json.loads(text)),
            transcription,
            settle=self.settled.__setitem__,
            on_delta=lambda item_id, delta: self.deltas.append((item_id, delta)),
        )

    def receive(self, type_: str, **fields: Any) -> None:
        self.session.receive(json.dumps({"type": type_, "event_id": "e", **fields}))

    def ready(self) -> None:
        self.session.configure(0.0)
        self.receive("session.created", session={})
        self.receive("session.updated", session={})

    def completed(self, item_id: str, transcript: str) -> None:
        self.receive(COMPLETED, item_id=item_id, content_index=0, transcript=transcript)


def test_the_configuration_is_the_documented_one() -> None:
    from openai.types.realtime import RealtimeTranscriptionSessionCreateRequest

    peer = Peer({"model": "gpt-live-transcribe", "languages": ["en"], "keywords": ["Trattoria Blu"]})
    peer.session.configure(0.0)
    (update,) = peer.sent
    RealtimeTranscriptionSessionCreateRequest.model_validate(update["session"], strict=True)
    assert update["session"]["type"] == "transcription"
    audio = update["session"]["audio"]["input"]
    assert audio["format"] == {"type": "audio/pcm", "rate": 24000} and audio["turn_detection"] is None
    assert audio["transcription"]["keywords"] == ["Trattoria Blu"]


@pytest.mark.parametrize("prefix", ["session", "transcription_session"])
def test_the_session_is_ready_when_the_server_has_accepted_it(prefix: str) -> None:
    peer = Peer()
    assert not peer.session.created
    peer.receive(f"{prefix}.created", session={})
    assert peer.session.created and not peer.session.configured
    peer.receive(f"{prefix}.updated", session={})
    assert peer.session.configured


def test_a_refused_configuration() -> None:
    peer = Peer()
    peer.receive("session.created", session={})
    peer.receive("error", error={"type": "invalid_request_error", "code": "invalid_model", "message": "No."})
    assert peer.session.rejection is not None and peer.session.rejection.code == "invalid_model"


def test_transcripts_arrive_in_any_order_and_twice() -> None:
    peer = Peer()
    peer.ready()
    peer.session.append(b"\x01\x02")
    assert base64.b64decode(peer.sent[-1]["audio"]) == b"\x01\x02"
    assert [peer.session.commit(), peer.session.commit()] == [0, 1]
    peer.receive("input_audio_buffer.committed", item_id="a", previous_item_id=None)
    peer.receive("input_audio_buffer.committed", item_id="b", previous_item_id="a")
    peer.receive(COMPLETED.replace("completed", "delta"), item_id="b", content_index=0, delta="Two")
    peer.completed("b", "Two")
    assert list(peer.settled) == [1]
    peer.completed("a", "One")
    peer.completed("a", "Changed")
    peer.completed("unknown", "Other")
    texts = {turn: getattr(outcome, "transcript", None) for turn, outcome in peer.settled.items()}
    assert texts == {0: "One", 1: "Two"} and peer.deltas == [("b", "Two")]


def test_each_turn_that_fails_has_its_error() -> None:
    peer = Peer()
    peer.ready()
    for _ in range(4):
        peer.session.commit()
    commits = [each["event_id"] for each in peer.sent if each["type"] == "input_audio_buffer.commit"]
    peer.receive("error", error={"code": "input_audio_buffer_commit_empty", "message": "m", "event_id": commits[0]})
    peer.receive("error", error={"code": "rate_limit_exceeded", "message": "m", "event_id": "another"})
    peer.receive("input_audio_buffer.committed", item_id="b")
    error = {"type": "transcription_error", "code": "audio_unintelligible", "message": "No words."}
    peer.receive(COMPLETED.replace("completed", "failed"), item_id="b", content_index=0, error=error)
    peer.receive("input_audio_buffer.committed", item_id="c")
    peer.session.receive("no JSON")
    peer.receive("conversation.item.input_audio_transcription.completed")
    peer.receive("something.new")
    assert list(peer.settled) == [0, 1]
    peer.session.end(ConnectionLost(Close(1006, "", "network")))
    codes = [getattr(outcome, "code", type(outcome).__name__) for outcome in peer.settled.values()]
    assert codes == ["input_audio_buffer_commit_empty", "audio_unintelligible", "ConnectionLost", "ConnectionLost"]


def test_an_expired_session_is_known() -> None:
    peer = Peer()
    peer.ready()
    peer.receive("error", error={"code": "session_expired", "message": "m"})
    assert peer.session.expired


# --- the address -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, f"wss://api.openai.com/v1/realtime{QUERY}"),
        ({"call_id": "rtc_1"}, f"wss://api.openai.com/v1/realtime{QUERY}"),
        ({"base_url": "http://127.0.0.1:8080/v1/"}, f"ws://127.0.0.1:8080/v1/realtime{QUERY}"),
        ({"base_url": "https://r.openai.azure.com/openai/v1"}, f"wss://r.openai.azure.com/openai/v1/realtime{QUERY}"),
        ({"url": "wss://h/v1/realtime?model=m&region=eu"}, "wss://h/v1/realtime?region=eu&intent=transcription"),
        ({"url": "wss://h/v1/realtime?call_id=rtc_1"}, f"wss://h/v1/realtime{QUERY}"),
    ],
)
def test_the_address_has_the_intent_and_no_model(options: dict[str, Any], url: str) -> None:
    given = RealtimeModelConfig(**{"api_key": "sk-1", **options})  # type: ignore[typeddict-item]
    endpoint = asyncio.run(resolve_transcription_endpoint(given, {}))
    assert endpoint.url == url
    azure = "azure" in url
    assert endpoint.headers == ({"api-key": "sk-1"} if azure else {"Authorization": "Bearer sk-1"})


# --- with the model --------------------------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_speech_is_transcribed_over_a_real_websocket() -> None:
    deltas: list[str] = []
    async with LocalRealtimeServer(Script(transcribed=[Heard("I am sorry.")])) as server:
        model = OpenAIRealtimeWebSocketModel()
        await model.connect(server.model_config)
        try:
            transcribing = await model.transcription_session(lambda item_id, delta: deltas.append(delta))
            assert transcribing.is_open and transcribing.append(human())
            first = await transcribing.commit()
            assert first.transcript == "I am sorry." and first.usage == {"type": "duration", "seconds": 1.02}
            assert "".join(deltas) == "I am sorry."
            with pytest.raises(ServerRejected) as refused:
                await transcribing.commit()
            assert refused.value.code == "input_audio_buffer_commit_empty"
            transcribing.append(human())
            lost = transcribing.commit()
            await transcribing.close()
            with pytest.raises(RealtimeCoreError):
                await lost
            assert not transcribing.is_open and not transcribing.append(b"\0\0")
            with pytest.raises(ConnectFailed, match="not open"):
                await transcribing.commit()
        finally:
            await model.close()


async def opened(server: LocalRealtimeServer, **options: Any) -> OpenAIRealtimeWebSocketModel:
    model = OpenAIRealtimeWebSocketModel(transport_config={"session_timeout": 5.0})
    await model.connect(RealtimeModelConfig(**{**server.model_config, **options}))  # type: ignore[typeddict-item]
    return model


@pytest.mark.virtual_time
async def test_a_session_that_ends_fails_the_turns_that_wait() -> None:
    ends: list[Connection] = []
    async with LocalRealtimeServer(Script(expires_after_s=30.0), in_memory=True, sources=Sources(1)) as server:
        connect = server.model_config["transport"]

        async def transport(url: str, headers: Mapping[str, str]) -> Connection:
            ends.append(await connect(url, headers))
            return ends[-1]

        model = await opened(server, transport=transport)
        try:
            transcribing = await model.transcription_session()
            transcribing.append(human())
            waiting = transcribing.commit()
            ends[-1]._drop()  # type: ignore[attr-defined]
            with pytest.raises(ConnectionLost):
                await waiting
            assert not transcribing.is_open
            await transcribing.close()
            second = await model.transcription_session()
            second.append(human())
            await asyncio.sleep(29.9)
            waiting = second.commit()
            with pytest.raises(SessionExpired):
                await waiting
            await second.close()
        finally:
            await model.close()


@pytest.mark.virtual_time
async def test_a_session_that_the_server_does_not_open() -> None:
    failure: list[str] = []
    async with LocalRealtimeServer(in_memory=True, sources=Sources(1)) as server:
        connect = server.model_config["transport"]

        async def transport(url: str, headers: Mapping[str, str]) -> Connection:
            if QUERY[1:] not in url:
                return await connect(url, headers)  # type: ignore[no-any-return]
            assert "model=" not in url
            match failure.pop():
                case "refused":
                    raise ConnectFailed("The server answered with status 403.")
                case "model":
                    return await connect(f"{url}&model=m", headers)  # type: ignore[no-any-return]
            return memory_pair()[0]  # a server that never answers

        model = await opened(server, transport=transport)
        try:
            for name, error in (("refused", ConnectFailed), ("model", ServerRejected), ("silent", ConnectFailed)):
                failure.append(name)
                with pytest.raises(error):
                    await model.transcription_session()
        finally:
            await model.close()


@pytest.mark.virtual_time
async def test_a_model_without_a_transcription_session() -> None:
    for model in (ScriptedRealtimeModel(), OpenAIRealtimeWebSocketModel()):
        with pytest.raises(UserError):
            await model.transcription_session()
    async with LocalRealtimeServer(in_memory=True, sources=Sources(1)) as server:
        model = await opened(server, initial_model_settings={"input_audio_transcription": None})
        try:
            with pytest.raises(UserError, match="switched off"):
                await model.transcription_session()
        finally:
            await model.close()
