"""Settings and agents are in force when the server has taken them, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeRunner, RealtimeSession, function_tool
from realtime_core.errors import ServerRejected, UserError
from realtime_core.local import LocalRealtimeServer
from tests.support.realtime_peer import Peer, settle

pytestmark = pytest.mark.virtual_time

LONG = "x" * 2000


class Server(Peer):
    """It takes all of an update or nothing, and has an opinion on each. `late` means that updates wait for `answer`."""

    def __init__(self, *, says_event_id: bool = True, says_param: bool = True) -> None:
        super().__init__()
        self.session: dict[str, Any] = {}
        self.says_event_id = says_event_id
        self.says_param = says_param
        self.late = False
        self.waiting: list[dict[str, Any]] = []
        self.on_client = self._on_client

    def _on_client(self, event: dict[str, Any]) -> None:
        if event["type"] == "session.update":
            self.waiting.append(event)
            if not self.late:
                self.answer()
        elif event["type"] == "conversation.item.create":
            for kind in ("added", "done"):
                self.emit(f"conversation.item.{kind}", item=event["item"])

    def answer(self) -> None:
        event = self.waiting.pop(0)
        new = {**self.session, **event["session"]}
        if (param := complaint(event["session"])) is None:
            self.session = new
            self.emit("session.updated", session=new)
            return
        self.error(
            "string_above_max_length" if "tools" in param else "invalid_value",
            "Not so.",
            event_id=event["event_id"] if self.says_event_id else None,
            param=param if self.says_param else None,
        )

    def call(self, name: str, call_id: str, arguments: str = "{}", response_id: str = "resp_1") -> None:
        item = {"id": f"item_{call_id}", "type": "function_call", "name": name, "call_id": call_id,
                "arguments": arguments, "status": "completed"}  # fmt: skip
        self.emit("response.output_item.done", response_id=response_id, output_index=0, item=item)

    @property
    def outputs(self) -> list[tuple[str, str]]:
        items = [each["item"] for each in self.sent if each["type"] == "conversation.item.create"]
        return [(each["call_id"], each["output"]) for each in items if each["type"] == "function_call_output"]


def complaint(session: dict[str, Any]) -> str | None:
    for i, tool in enumerate(session.get("tools", ())):
        if len(tool["description"]) > 1024:
            return f"session.tools[{i}].description"
    output = session.get("audio", {}).get("output", {})
    if output.get("voice") == "nobody":
        return "session.audio.output.voice"
    return "session.audio.output.speed" if output.get("speed", 1) > 1.5 else None


@asynccontextmanager
async def opened(agent: RealtimeAgent[Any], server: Server) -> AsyncIterator[tuple[RealtimeSession, list[Any]]]:
    events: list[Any] = []
    session = await RealtimeRunner(agent).run(model_config=server.config)
    session.add_handler(events.append)
    async with session:
        yield session, events


@function_tool
async def check_order(number: str) -> str:
    """Check an order."""
    return f"{number} shipped"


def look_up(description: str) -> Any:
    async def look_up(text: str) -> str:
        return text

    return function_tool(look_up, description_override=description)


def agents() -> tuple[RealtimeAgent[Any], RealtimeAgent[Any], RealtimeAgent[Any]]:
    billing = RealtimeAgent(name="Billing", instructions="You are billing.", tools=[look_up(LONG)])
    kitchen = RealtimeAgent(name="Kitchen", instructions="You are the kitchen.", tools=[look_up("Fine.")])
    desk = RealtimeAgent(
        name="Desk", instructions="You are the desk.", tools=[check_order], handoffs=[billing, kitchen]
    )
    return desk, billing, kitchen


def params(events: list[Any]) -> list[str]:
    return [event.error.param for event in events if event.type == "error"]


ANSWERS = pytest.mark.parametrize(
    ("says_event_id", "says_param"), [(True, True), (False, True), (True, False), (False, False)]
)


@ANSWERS
async def test_a_refused_handoff_leaves_agent_and_server_as_they_were(says_event_id: bool, says_param: bool) -> None:
    server = Server(says_event_id=says_event_id, says_param=says_param)
    async with opened(agents()[0], server) as (session, events):
        server.call("transfer_to_billing", "h1")
        await settle()
        assert session.current_agent.name == "Desk" and server.session["instructions"] == "You are the desk."
        assert params(events) == ["session.tools[0].description" if says_param else ""]
        assert not [event for event in events if event.type == "handoff"]
        ((call_id, output),) = server.outputs
        assert call_id == "h1" and "failed" in output and "still Desk" in output
        server.call("check_order", "c1", '{"number": "7"}')
        await settle()
        assert server.outputs[1:] == [("c1", "7 shipped")]
        server.call("transfer_to_kitchen", "h2")
        await settle()
        assert session.current_agent.name == "Kitchen", "what was refused does not ride along"
        assert server.session["instructions"] == "You are the kitchen." and '"Kitchen"' in server.outputs[2][1]
        assert server.sent.count({"type": "response.create"}) == 0 and len(server.outputs) == 3


@ANSWERS
async def test_a_refused_agent_is_not_in_charge(says_event_id: bool, says_param: bool) -> None:
    desk, billing, kitchen = agents()
    server = Server(says_event_id=says_event_id, says_param=says_param)
    async with opened(desk, server) as (session, events):
        await session.update_agent(billing)
        assert session.current_agent is desk and len(params(events)) == 1
        await session.update_agent(kitchen)
        assert session.current_agent is kitchen and len(params(events)) == 1
        assert server.session["instructions"] == "You are the kitchen."


@ANSWERS
async def test_a_refused_setting_spoils_no_later_update(says_event_id: bool, says_param: bool) -> None:
    desk, _, kitchen = agents()
    server = Server(says_event_id=says_event_id, says_param=says_param)
    async with opened(desk, server) as (session, events):
        await session.update_settings({"voice": "nobody", "tool_choice": "required"})
        await session.update_settings({"speed": 1.1})
        await settle()
        assert params(events) == ["session.audio.output.voice" if says_param else ""]
        assert server.session["audio"]["output"]["speed"] == 1.1 and "tool_choice" not in server.session
        await session.update_agent(kitchen)
        await session.update_settings({"speed": 9})
        await settle()
        assert params(events)[1:] == ["session.audio.output.speed"], "the only setting asked for, whatever is said"
        await session.update_agent(desk)
        assert session.current_agent is desk and len(params(events)) == 2


async def test_the_agent_changes_in_the_step_in_which_the_server_takes_it() -> None:
    """Calls before that are the old agent's, calls after that the new agent's."""
    desk, _, kitchen = agents()
    server = Server()
    async with opened(desk, server) as (session, events):
        server.late = True
        server.call("transfer_to_kitchen", "h1")
        await settle()
        assert session.current_agent is desk and not server.outputs
        server.call("check_order", "c1", '{"number": "7"}')
        server.answer()
        server.call("look_up", "l1", '{"text": "new"}')
        await settle()
        assert session.current_agent is kitchen
        assert dict(server.outputs) == {"c1": "7 shipped", "h1": '{"assistant": "Kitchen"}', "l1": "new"}
        assert [event.to_agent.name for event in events if event.type == "handoff"] == ["Kitchen"]


async def test_two_handoffs_of_one_response_get_one_true_answer_each() -> None:
    desk, _, kitchen = agents()
    server = Server()
    async with opened(desk, server) as (session, _):
        server.call("transfer_to_billing", "h1")
        server.call("transfer_to_kitchen", "h2")
        server.call("transfer_to_kitchen", "h3")
        await settle()
        assert session.current_agent is kitchen
        result = dict(server.outputs)
        assert "failed" in result["h1"] and result["h2"] == '{"assistant": "Kitchen"}' and "ignoring" in result["h3"]
        assert len(server.outputs) == 3


async def test_an_agent_put_in_charge_meanwhile_wins_over_a_handoff() -> None:
    desk, _, _ = agents()
    bar = RealtimeAgent(name="Bar", instructions="You are the bar.")
    server = Server()
    async with opened(desk, server) as (session, _):
        server.late = True
        updating = asyncio.create_task(session.update_agent(bar))
        await settle()
        server.call("transfer_to_kitchen", "h1")
        await session.interrupt()
        await settle()
        server.late = False
        server.answer()
        await updating
        await settle()
        assert session.current_agent is bar and server.session["instructions"] == "You are the bar."
        assert [call_id for call_id, _ in server.outputs] == ["h1"] and "ignoring" in server.outputs[0][1]


async def test_an_unrequested_session_updated_settles_nothing() -> None:
    desk, billing, _ = agents()
    server = Server()
    async with opened(desk, server) as (session, events):
        server.emit("session.updated", session=server.session)
        server.late = True
        updating = asyncio.create_task(session.update_agent(billing))
        await settle()
        server.emit("session.updated", session=server.session)
        await settle()
        assert session.current_agent is desk and not updating.done()
        server.answer()
        await updating
        assert session.current_agent is desk and len(params(events)) == 1


async def test_a_server_that_never_answers_is_reported_and_the_caller_is_answered() -> None:
    desk, _, kitchen = agents()
    server = Server()
    async with opened(desk, server) as (session, events):
        server.late = True
        server.call("transfer_to_kitchen", "h1")
        await settle(11.0)
        assert session.current_agent is desk and "failed" in dict(server.outputs)["h1"] and len(params(events)) == 1
        server.answer()  # late: what it has taken is taken back
        await settle()
        server.answer()
        await settle()
        assert server.session["instructions"] == "You are the desk." and session.current_agent is desk
        server.late = False
        await session.update_agent(kitchen)
        assert session.current_agent is kitchen


@pytest.mark.parametrize("target", ["kitchen", "billing"])
async def test_a_handoff_in_a_lost_session_is_decided_by_the_next(target: str) -> None:
    desk, _, _ = agents()
    server = Server()
    async with opened(desk, server) as (session, events):
        server.late = True
        server.call(f"transfer_to_{target}", "h1")
        await settle()
        server.waiting.clear()
        server.late = False
        assert server.connection is not None
        server.session = {}
        server.connection.break_()
        await settle(2.0)
        assert server.opened == 2 and session.status == "connected", "what is refused costs no session"
        taken = target == "kitchen"
        assert session.current_agent.name == ("Kitchen" if taken else "Desk")
        assert server.session["instructions"] == ("You are the kitchen." if taken else "You are the desk.")
        assert len(params(events)) == (0 if taken else 1)
        notes = [e["item"]["content"][0]["text"] for e in server.sent if e["type"] == "conversation.item.create"]
        assert len([text for text in notes if "transfer_to" in text and "has returned" in text]) == 1


async def test_no_change_waits_for_an_answer_after_the_end() -> None:
    desk, _, kitchen = agents()
    for end in ("closed by the server", "closed by the user"):
        server = Server()
        async with opened(desk, server) as (session, _):
            server.late = True
            updating = asyncio.create_task(session.update_agent(kitchen))
            await settle()
            if end == "closed by the server":
                assert server.connection is not None
                server.connection.close(1000)
            else:
                await session.close()
            await asyncio.wait_for(updating, 1.0)
            assert session.current_agent is desk


async def test_a_running_tool_holds_the_servers_answers_although_other_settings_are_refused() -> None:
    """A refused turn detection does not keep the server from answering once the tool has returned: no silent line."""
    running = asyncio.Event()

    @function_tool
    async def slow() -> str:
        await running.wait()
        return "done"

    server = Server()
    async with opened(RealtimeAgent(name="Desk", tools=[slow]), server) as (session, events):
        server.emit("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
        server.call("slow", "c1")
        await settle()

        def detection() -> Any:
            return server.session["audio"]["input"]["turn_detection"]["create_response"]

        assert detection() is False
        server.late = True
        await session.update_settings({"turn_detection": {"type": "server_vad"}, "speed": 9})
        running.set()
        await settle()
        server.late = False
        while server.waiting:
            server.answer()
            await settle()
        await settle()
        assert detection() is True and len(params(events)) == 1


async def test_connect_raises_what_the_first_configuration_is_refused_for() -> None:
    _, billing, _ = agents()
    for error in ({"says_event_id": False}, {}):
        server = Server(**error)
        session = await RealtimeRunner(billing).run(model_config=server.config)
        with pytest.raises(ServerRejected) as raised:
            await session.enter()
        assert raised.value.param == "session.tools[0].description"
        with pytest.raises(UserError):
            await session.send_message("Hello?")


async def test_the_embedded_server_refuses_as_the_service_does() -> None:
    desk, _, _ = agents()
    events: list[Any] = []
    async with LocalRealtimeServer() as server:
        session = await RealtimeRunner(desk).run(model_config=server.model_config)
        session.add_handler(events.append)
        async with session:
            await session.update_agent(desk.handoffs[0])  # type: ignore[arg-type]
            assert session.current_agent is desk
            await session.update_settings({"voice": "nobody"})
            await session.update_settings({"speed": 9})
            await session.update_settings({"turn_detection": {"type": "server_vad", "threshold": 2}})
            await settle(0.5)
            assert params(events) == [
                "session.tools[0].description", "session.audio.output.voice", "session.audio.output.speed",
                "session.audio.input.turn_detection.threshold",
            ]  # fmt: skip
            await session.update_agent(desk.handoffs[1])  # type: ignore[arg-type]
            assert session.current_agent is desk.handoffs[1] and len(params(events)) == 4
