"""A session whose socket is reset: over real sockets, against the embedded server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import (
    ConnectFailed,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    ReconnectPolicy,
    Sources,
    function_tool,
)
from realtime_core.connection import Connection
from realtime_core.connection.websocket import WebSocketConnection
from realtime_core.local import LocalRealtimeServer, parse_script

pytestmark = pytest.mark.real_time

MENU = (
    "Tonight we have bread, soup, fish, lamb, cheese, fruit, and a very long list of wines from north and south. " * 4
)
SCRIPT = f"""
[[turn]]
text = "table"
tool = "book"
arguments = {{ day = "Friday" }}
say = "Booked: {{result}}."
[[turn]]
text = "kitchen"
tool = "transfer_to_kitchen"
say = "This is the kitchen."
[[turn]]
text = "menu"
say = "{MENU}"
[[turn]]
text = "number 7"
say = "It is number 7."
[otherwise]
say = "At your service."
"""


class Line:
    """A session on a real socket that can be cut, and all that it has said."""

    def __init__(self, server: LocalRealtimeServer, agent: RealtimeAgent[Any]) -> None:
        self._options: Any = {**server.model_config, "tap": self._tap}
        self._agent = agent
        self.sockets: list[WebSocketConnection] = []
        self.events: list[Any] = []
        self.model: OpenAIRealtimeWebSocketModel | None = None

    def _tap(self, connection: Connection) -> Connection:
        assert isinstance(connection, WebSocketConnection)
        self.sockets.append(connection)
        return connection

    async def __aenter__(self) -> Line:
        self.session: RealtimeSession = await RealtimeRunner(self._agent, model=self.model).run(
            model_config=self._options
        )
        self.session.add_handler(self.events.append)
        await self.session.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    def reset(self) -> None:
        self.sockets[-1]._transport.abort()

    def of(self, type: str) -> list[Any]:
        return [each for each in self.events if each.type == type]

    async def until(self, type: str, count: int = 1) -> Any:
        async with asyncio.timeout(60):
            while len(self.of(type)) < count:  # noqa: ASYNC110 - whatever comes, in its own time
                await asyncio.sleep(0.01)
        return self.of(type)[count - 1]

    async def back(self) -> None:
        """Wait until there is another connection."""
        async with asyncio.timeout(60):
            while len(self.sockets) < 2 or self.session.status != "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def server() -> LocalRealtimeServer:
    return LocalRealtimeServer(parse_script(SCRIPT), speed=20, sources=Sources())


async def test_in_the_middle_of_an_answer() -> None:
    async with server() as local, Line(local, RealtimeAgent(name="Desk")) as line:
        await line.session.send_message("menu")
        await line.until("audio", 5)
        line.reset()
        ended = await line.until("agent_end")
        assert ended.status == "failed"
        await line.back()
        await line.session.send_message("Are you there?")
        await line.until("agent_end", 2)
        assert not line.of("error")


async def test_while_a_tool_runs() -> None:
    calls: list[str] = []
    go_on = asyncio.Event()

    @function_tool
    async def book(day: str) -> str:
        calls.append(day)
        await go_on.wait()
        return "number 7"

    async with server() as local, Line(local, RealtimeAgent(name="Desk", tools=[book])) as line:
        await line.session.send_message("A table, please.")
        await line.until("tool_start")
        line.reset()
        await line.back()
        go_on.set()
        await line.until("audio_end")
        await line.until("tool_end")
        assert calls == ["Friday"] and not line.of("error")
        outputs = [item.output for item in line.session.history if item.type == "function_call"]
        assert outputs == ["number 7"]


async def test_during_a_handoff() -> None:
    kitchen = RealtimeAgent(name="Kitchen", instructions="You cook.")
    async with server() as local, Line(local, RealtimeAgent(name="Desk", handoffs=[kitchen])) as line:
        line.session.add_handler(lambda event: line.reset() if event.type == "handoff" else None)
        await line.session.send_message("The kitchen, please.")
        await line.until("handoff")
        await line.back()
        await line.until("audio_end")
        assert line.session.current_agent is kitchen and not line.of("error")
        assert len(line.of("handoff")) == 1


async def test_a_server_that_is_gone_ends_the_iteration_with_its_exception() -> None:
    """The server is gone: the queued events are delivered, then the iteration raises, and no consumer waits for
    ever."""
    local = server()
    async with local:
        line = Line(local, RealtimeAgent(name="Desk"))
        line.model = OpenAIRealtimeWebSocketModel(reconnect=ReconnectPolicy(attempts=2, first_delay_s=0.01))
        await line.__aenter__()
    types: list[str] = []
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        async with asyncio.timeout(60):
            async for event in line.session:
                types.append(event.type)  # noqa: PERF401 - what came before the error counts
    assert types[-1] == "raw_model_event" and line.session.status == "closed"
    assert line.events[-1].type == "session_ended"
