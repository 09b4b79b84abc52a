"""The model against the embedded server: real speech in virtual time, and real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core.connection import Connection
from realtime_core.connection.memory import Faults
from realtime_core.connection.websocket import WebSocketConnection
from realtime_core.errors import ConnectFailed, ServerRejected
from realtime_core.items import InputText, UserMessageItem
from realtime_core.local import LocalRealtimeServer, parse_script
from realtime_core.model import DONE
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.sources import Sources
from realtime_core.turn_policy import OurTurns, TurnPolicy
from tests.support.local_client import human
from tests.support.realtime_peer import Recorder

LONG = (
    "Tonight we have bread, soup, fish, lamb, cheese, fruit, and a very long list of wines from north and south. " * 4
)
SCRIPT = f'''
greeting = {{ say = "Hello, this is Trattoria Blu." }}
[[turn]]
heard = "A table, please."
tool = "book"
arguments = {{ day = "Friday" }}
say = "Booked: {{result}}."
[[turn]]
text = "menu"
say = "{LONG}"
[[turn]]
text = "reset"
say = "{LONG}"
close = 1006
at_s = 2.0
[[turn]]
text = "nothing"
empty = true
[[turn]]
text = "write"
text_only = true
say = "Only text."
[[turn]]
text = "fail"
fail = "server_error"
[[turn]]
text = "stall"
say = "Bread, soup, fish and wine."
stall_s = 3.0
at_s = 0.4
[otherwise]
say = "At your service."
'''


class Caller:
    """A model on the embedded server, and a caller who speaks to it."""

    def __init__(self, server: LocalRealtimeServer, *, sources: Sources | None = None, **model: Any) -> None:
        self.heard = Recorder()
        self.model = OpenAIRealtimeWebSocketModel(sources=sources or Sources(), **model)
        self.model.add_listener(self.heard)
        self.options: Any = {
            **server.model_config,
            "conversation": lambda: [UserMessageItem(item_id="u", content=[InputText(text="Earlier.")])],
            "initial_model_settings": {"turn_detection": {"type": "server_vad"}},
        }

    async def __aenter__(self) -> Caller:
        await self.model.connect(self.options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.model.close()

    def send(self, event: Any) -> None:
        assert self.model.send_event(event) is DONE

    def write(self, text: str) -> None:
        self.send(RealtimeModelSendUserInput(text))

    async def say(self, audio: bytes) -> None:
        for at in range(0, len(audio), 960):
            self.send(RealtimeModelSendAudio(audio[at : at + 960]))
            await asyncio.sleep(0.02)

    async def until(self, type: str, count: int = 1, within_s: float = 60) -> Any:
        async with asyncio.timeout(within_s):
            while len(self.heard.of(type)) < count:  # noqa: ASYNC110 - the loop's time is what the test goes by
                await asyncio.sleep(0.01)
        return self.heard.of(type)[count - 1]

    def said(self) -> list[str]:
        return [each.transcript for each in self.heard.of("transcript_done")]


def in_memory(sources: Sources, **options: Any) -> LocalRealtimeServer:
    return LocalRealtimeServer(parse_script(SCRIPT), in_memory=True, sources=sources, **options)


@pytest.mark.virtual_time
@pytest.mark.parametrize("policy", [None, OurTurns(0.1, silence_s=0.5)], ids=["server", "ours"])
async def test_a_barge_in_with_real_speech(sources: Sources, policy: TurnPolicy | None) -> None:
    faults = Faults(delay_s=0.03, jitter_s=0.02, random=sources.random)
    async with (
        in_memory(sources, faults=faults) as server,
        Caller(server, sources=sources, turn_policy=policy) as caller,
    ):
        caller.write("the menu, please")
        await caller.until("audio", 10)
        await caller.say(bytes(48 * 2000))
        await caller.say(human())
        await caller.say(bytes(48 * 3000))
        interrupted = caller.heard.one("audio_interrupted")
        confirmed = await caller.until("item_truncated")
        assert confirmed.audio_end_ms == interrupted.audio_end_ms == interrupted.truncations[0].audio_end_ms
        received = sum(len(each.data) for each in caller.heard.of("audio") if each.item_id == interrupted.item_id)
        assert 2000 < interrupted.audio_end_ms <= received // 48
        call = await caller.until("function_call")
        assert call.name == "book"
        after = caller.heard.events.index(interrupted)
        assert all(
            getattr(e, "item_id", "") != interrupted.item_id for e in caller.heard.events[after:] if e.type == "audio"
        )
        assert not caller.heard.of("error") and not caller.model.ignored_errors


@pytest.mark.virtual_time
async def test_a_tool_call_and_a_turn_meanwhile(sources: Sources) -> None:
    async with in_memory(sources) as server, Caller(server, sources=sources) as caller:
        await caller.say(human())
        await caller.say(bytes(48 * 1500))
        call = await caller.until("function_call")
        await caller.say(human())
        await caller.say(bytes(48 * 2000))
        assert len(caller.heard.of("input_audio_committed")) == 2
        assert len(caller.heard.of("turn_started")) == 1, "nobody answers while the tool runs"
        caller.send(RealtimeModelSendToolOutput(call, "number 7"))
        await caller.until("turn_ended", 2)
        await asyncio.sleep(5)
        assert caller.said() == ["Booked: number 7."]
        effective = caller.model.effective
        assert effective is not None and effective.create_response, "as before"


@pytest.mark.virtual_time
@pytest.mark.parametrize(("what", "reason"), [("nothing", "empty"), ("write", "text_only"), ("fail", "server_error")])
async def test_what_fails_is_tried_once_more_and_reported(sources: Sources, what: str, reason: str) -> None:
    async with in_memory(sources) as server, Caller(server, sources=sources) as caller:
        caller.write(what)
        first = await caller.until("response_failed")
        assert (first.reason, first.retrying) == (reason, True)
        await caller.until("turn_ended", 2)
        second = caller.heard.of("response_failed")[1:]
        assert caller.heard.of("audio"), "the second response speaks"
        assert second == []


@pytest.mark.virtual_time
async def test_a_server_that_stalls(sources: Sources) -> None:
    async with in_memory(sources) as server, Caller(server, sources=sources) as caller:
        caller.write("stall")
        await caller.until("audio", 2)
        for _ in range(100):
            caller.send(RealtimeModelSendAudio(bytes(960)))
            await asyncio.sleep(0.02)
        await caller.until("turn_ended")
        assert caller.said() == ["Bread, soup, fish and wine."]
        assert [each.status for each in caller.heard.of("connection_status")] == ["connecting", "connected"]


@pytest.mark.virtual_time
async def test_a_reset_in_the_middle_of_an_answer(sources: Sources) -> None:
    async with in_memory(sources) as server, Caller(server, sources=sources) as caller:
        caller.write("reset")
        await caller.until("connection_status", 4)  # connecting, connected, reconnecting, connected
        ended = caller.heard.of("turn_ended")[-1]
        assert (ended.status, ended.reason) == ("failed", "connection_lost")
        await asyncio.sleep(20)
        assert len(caller.heard.of("turn_started")) == 1, "nobody asked for more"
        caller.write("the menu, please")
        await caller.until("audio_done")
        assert not caller.heard.of("exception", "error")


@pytest.mark.virtual_time
async def test_a_session_that_expires_while_the_agent_speaks(sources: Sources) -> None:
    script = parse_script(SCRIPT.replace("greeting", "expires_after_s = 20\ngreeting", 1))
    server = LocalRealtimeServer(script, in_memory=True, sources=sources)
    async with server, Caller(server, sources=sources) as caller:
        await asyncio.sleep(5)
        for _ in range(6):
            caller.write("the menu, please")
            await asyncio.sleep(10)
        statuses = [each.status for each in caller.heard.of("connection_status")]
        assert statuses.count("connected") >= 3 and statuses[-1] == "connected"
        assert not caller.heard.of("exception", "error")


@pytest.mark.virtual_time
async def test_a_hundred_things_at_once_are_answered(sources: Sources) -> None:
    """Interrupts, messages and requests as they come: in the end there is rest, and no complaint."""
    random = sources.random
    server = in_memory(sources, faults=Faults(delay_s=0.05, jitter_s=0.05, random=random))
    async with server, Caller(server, sources=sources) as caller:
        for _ in range(100):
            match random.randrange(4):
                case 0:
                    caller.send(RealtimeModelSendInterrupt())
                case 1:
                    caller.send(RealtimeModelSendResponseCreate({"instructions": "menu"}))
                case 2:
                    await caller.say(human()[: 48 * 600])
                    await caller.say(bytes(48 * 700))
                case _:
                    caller.write("menu")
            await asyncio.sleep(random.random() * 2)
        await asyncio.sleep(60)
        assert not caller.heard.of("error", "exception")
        assert set(caller.model.ignored_errors) <= {
            "response_cancel_not_active",
            "conversation_already_has_active_response",
        }
        started, ended = len(caller.heard.of("turn_started")), len(caller.heard.of("turn_ended"))
        assert started == ended > 30


@pytest.mark.virtual_time
async def test_ten_minutes_keep_nothing(sources: Sources) -> None:
    async with in_memory(sources) as server, Caller(server, sources=sources) as caller:
        caller.model.emit_raw = False
        for _ in range(20):
            caller.write("the menu, please")
            await asyncio.sleep(30)
            caller.heard.events.clear()
        transport = caller.model._transport
        assert transport is not None and transport._link is not None
        server_session = transport._link.session
        assert len(server_session.audio.ledger) <= 2 and not server_session.audio.open
        assert server_session.at_rest(asyncio.get_running_loop().time())
        assert not server_session.items.unconfirmed and not server_session.responses._acknowledged


@pytest.mark.real_time
async def test_over_a_real_socket() -> None:
    async with LocalRealtimeServer(parse_script(SCRIPT), speed=50) as server, Caller(server) as caller:
        caller.send(RealtimeModelSendResponseCreate({"instructions": "Greet."}))
        await caller.until("turn_ended")
        caller.write("menu")
        await caller.until("audio", 30)
        caller.send(RealtimeModelSendInterrupt())
        confirmed = await caller.until("item_truncated")
        assert confirmed.audio_end_ms == caller.heard.one("audio_interrupted").audio_end_ms
        assert not caller.heard.of("error", "exception")
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started <= 1.1


@pytest.mark.real_time
async def test_a_real_socket_that_is_reset_in_mid_answer() -> None:
    connections: list[Connection] = []

    def tap(connection: Connection) -> Connection:
        connections.append(connection)
        return connection

    async with LocalRealtimeServer(parse_script(SCRIPT), speed=20) as server:
        caller = Caller(server)
        caller.options["tap"] = tap
        async with caller:
            caller.write("menu")
            await caller.until("audio", 5)
            (socket,) = connections
            assert isinstance(socket, WebSocketConnection)
            transport = socket._transport
            assert transport is not None
            transport.abort()
            await caller.until("connection_status", 4)
            caller.write("menu")
            await caller.until("turn_ended", 2)
            assert not caller.heard.of("error", "exception") and len(connections) == 2


@pytest.mark.real_time
async def test_a_rejected_configuration_over_a_real_socket() -> None:
    async with LocalRealtimeServer() as server:
        caller = Caller(server)
        caller.options["initial_model_settings"] = {"turn_detection": {"type": "server_vad", "threshold": 7}}
        with pytest.raises(ServerRejected, match="threshold") as raised:
            await caller.model.connect(caller.options)
        assert raised.value.param.startswith("session.")
        caller.options["initial_model_settings"] = {}
        await caller.model.connect(caller.options)
        caller.send(RealtimeModelSendRawMessage({"type": "session.update", "other_data": {"session": {"speed": 9}}}))
        await caller.until("error", within_s=5)
        await caller.model.close()


@pytest.mark.real_time
async def test_an_address_without_a_server() -> None:
    model = OpenAIRealtimeWebSocketModel()
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        await model.connect({"url": "ws://127.0.0.1:9/", "api_key": "k"})
    assert asyncio.all_tasks() == {asyncio.current_task()}
