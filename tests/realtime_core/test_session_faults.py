"""Sessions whose connections break: each continues or ends with a typed reason. No tool runs twice, and no consumer
hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeSession, function_tool, realtime_handoff
from realtime_core.connection.memory import MemoryConnection
from realtime_core.errors import ConnectFailed, ConnectionLost, ServerRejected
from realtime_core.items import RealtimeToolCallItem
from realtime_core.local import LocalRealtimeServer, parse_script
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.recovery import ReconnectPolicy

pytestmark = pytest.mark.virtual_time
# ruff: noqa: ASYNC110 - in virtual time polling costs nothing

SCRIPT = """
[[turn]]
text = "menu"
say = "First the soup, then the pasta, then the fish, then the cheese, then the cake, and coffee at the very end."
[[turn]]
text = "book"
tool = "book"
say = "So: {result}."
[[turn]]
text = "bill"
tool = "transfer_to_billing"
say = "Here is billing."
[[turn]]
text = "again"
say = "Here I am."
"""


@dataclass
class Line:
    """A session, its connections, and all that both sides' consumers saw."""

    session: RealtimeSession
    links: list[MemoryConnection]
    events: list[Any] = field(default_factory=list)
    iterated: list[Any] = field(default_factory=list)
    raised: list[Exception] = field(default_factory=list)
    allowed: bool = True

    async def until(self, type: str, count: int = 1) -> Any:
        async with asyncio.timeout(60):
            while len(found := [e for e in self.events if e.type == type]) < count:
                await asyncio.sleep(0.02)
        return found[count - 1]

    async def reconnected(self) -> None:
        async with asyncio.timeout(60):
            while [e.status for e in self.events if e.type == "connection_status"][-2:] != [
                "reconnecting",
                "connected",
            ]:
                await asyncio.sleep(0.02)

    async def iterate(self) -> None:
        try:
            async for event in self.session:
                self.iterated.append(event)
        except Exception as error:  # noqa: BLE001
            self.raised.append(error)


@asynccontextmanager
async def on_the_line(agent: RealtimeAgent[Any], *, attempts: int = 8, **script_options: Any) -> AsyncIterator[Line]:
    options = "".join(f"{name} = {value}\n" for name, value in script_options.items())
    async with LocalRealtimeServer(parse_script(options + SCRIPT), in_memory=True) as server:
        config: Any = dict(server.model_config)
        links: list[MemoryConnection] = []

        async def transport(url: str, headers: Mapping[str, str]) -> MemoryConnection:
            if not line.allowed:
                raise ConnectFailed("nobody there")
            links.append(await server.model_config["transport"](url, headers))
            return links[-1]

        config["transport"] = transport
        model = OpenAIRealtimeWebSocketModel(reconnect=ReconnectPolicy(attempts=attempts))
        line = Line(session := RealtimeSession(model, agent, None, config), links)
        session.add_handler(line.events.append)
        async with session:
            iteration = asyncio.create_task(line.iterate())
            yield line
        async with asyncio.timeout(1):
            await iteration


def billing_desk(runs: list[str]) -> RealtimeAgent[Any]:
    @function_tool
    async def book() -> str:
        """Book a table."""
        runs.append("book")
        await asyncio.sleep(2)
        return "table four"

    async def on_handoff(context: Any) -> None:
        runs.append("handoff")
        await asyncio.sleep(2)

    billing = RealtimeAgent(name="Billing", instructions="Bills only.")
    return RealtimeAgent(name="Desk", tools=[book], handoffs=[realtime_handoff(billing, on_handoff=on_handoff)])


async def test_a_reset_in_the_middle_of_an_answer() -> None:
    async with on_the_line(billing_desk([])) as line:
        await line.session.send_message("The menu, please.")
        await line.until("audio")
        await asyncio.sleep(1)
        line.links[-1].break_()
        await line.reconnected()
        assert line.session.status == "connected"
        end = await line.until("agent_end")
        assert end.status in ("completed", "failed")
        await line.session.send_message("Are you there again?")
        await line.until("agent_end", 2)
        assert line.session.history[-1].text == "Here I am."
        assert [item.text for item in line.session.history if item.type == "message" and item.role == "user"] == [
            "The menu, please.",
            "Are you there again?",
        ]


async def test_a_reset_during_a_tool() -> None:
    runs: list[str] = []
    async with on_the_line(billing_desk(runs)) as line:
        await line.session.send_message("Please book.")
        await line.until("tool_start")
        line.links[-1].break_()
        await line.reconnected()
        end = await line.until("tool_end")
        await asyncio.sleep(5)
        assert (runs, end.output) == (["book"], "table four")
        calls = [item for item in line.session.history if isinstance(item, RealtimeToolCallItem)]
        assert [(call.status, call.output) for call in calls] == [("completed", "table four")]
        assert [e.agent.name for e in line.events if e.type == "agent_start"][1:], "the result is spoken about"


async def test_a_reset_during_a_handoff() -> None:
    runs: list[str] = []
    async with on_the_line(billing_desk(runs)) as line:
        await line.session.send_message("My bill.")
        async with asyncio.timeout(10):
            while not runs:
                await asyncio.sleep(0.02)
        line.links[-1].break_()
        await line.reconnected()
        await line.until("handoff")
        await asyncio.sleep(5)
        assert (runs, line.session.current_agent.name) == (["handoff"], "Billing")
        assert [e.agent.name for e in line.events if e.type == "agent_start"][-1] == "Billing"


async def test_expiry_is_no_end() -> None:
    async with on_the_line(billing_desk([]), expires_after_s=5) as line:
        await asyncio.sleep(8)
        assert len(line.links) >= 2
        await line.session.send_message("Are you there again?")
        await line.until("agent_end")


async def test_a_server_that_does_not_come_back() -> None:
    async with on_the_line(billing_desk([]), attempts=2) as line:
        await line.session.send_message("The menu, please.")
        await line.until("audio")
        line.allowed = False
        line.links[-1].break_()
        ended = await line.until("session_ended")
        await asyncio.sleep(0.1)
        assert line.raised == [ended.exception]
        assert isinstance(ended.exception, ConnectFailed | ConnectionLost)
        # Iterating closed the session; what was queued had been delivered first.
        assert line.iterated[-1].data.exception is ended.exception
        assert line.session.status == "closed"


async def test_a_stalling_peer_delays_no_other_session() -> None:
    async with on_the_line(billing_desk([])) as line:
        line.links[-1].stall(5)
        for _ in range(250):
            line.session.post_audio(bytes(960))
            await asyncio.sleep(0.02)
        await line.session.send_message("Are you there again?")
        await line.until("agent_end")
        line.links[-1].stall(60)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await line.session.close()
        assert loop.time() - before <= 1.0


async def test_a_rejected_configuration_is_the_servers_own_complaint() -> None:
    async with LocalRealtimeServer(in_memory=True) as server:
        settings: Any = {"max_output_tokens": 99999}
        config: Any = {**server.model_config, "initial_model_settings": settings}
        session = RealtimeSession(OpenAIRealtimeWebSocketModel(), RealtimeAgent(name="Desk"), None, config)
        with pytest.raises(ServerRejected) as raised:
            await session.enter()
        assert "max_output_tokens" in raised.value.param
        assert session.status == "closed"
        assert {event.type async for event in session} <= {"raw_model_event", "connection_status", "rate_limits"}
