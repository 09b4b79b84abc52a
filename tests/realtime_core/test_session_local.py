"""Whole sessions: the session, the OpenAI model and the embedded server, over memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_core import (
    GuardrailFunctionOutput,
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    function_tool,
    output_guardrail,
)
from realtime_core.items import AssistantMessageItem, InputText, UserMessageItem
from realtime_core.local import LocalRealtimeServer, parse_script
from tests.support.local_client import human, silence

pytestmark = pytest.mark.virtual_time

LONG = "First the soup, then the pasta, then the fish, then the cheese, then the cake, and coffee at the very end."


@asynccontextmanager
async def talking(
    agent: RealtimeAgent[Any], script: str, run_config: Any = None, **settings: Any
) -> AsyncIterator[tuple[RealtimeSession, list[Any]]]:
    async with LocalRealtimeServer(parse_script(script), in_memory=True) as server:
        model_config: Any = {**server.model_config, "initial_model_settings": settings}
        session = await RealtimeRunner(agent, config=run_config).run(model_config=model_config)
        events: list[Any] = []
        session.add_handler(events.append)
        async with session:
            yield session, events


async def until(events: list[Any], type: str, count: int = 1) -> Any:
    """Waits until this number of events of a type have arrived. Returns the last of them."""
    async with asyncio.timeout(60):
        while len(found := [event for event in events if event.type == type]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found[count - 1]


async def speak(session: RealtimeSession, audio: bytes) -> None:
    """Audio at the pace of speech."""
    for at in range(0, len(audio), 960):
        session.post_audio(audio[at : at + 960])
        await asyncio.sleep(0.02)


def texts(session: RealtimeSession) -> list[tuple[str, str]]:
    return [(item.role, item.text) for item in session.history if item.type == "message"]


async def test_the_usages_of_the_documentation() -> None:
    played, alerts = bytearray(), []

    def play_audio(audio: bytes) -> None:
        played.extend(audio)

    agent = RealtimeAgent(name="Assistant", instructions="You are helpful.")
    async with LocalRealtimeServer(in_memory=True) as server:
        runner = RealtimeRunner(agent)
        async with await runner.run(model_config=server.model_config) as session:
            await session.send_message("Hello, agent!")
            await session.send_audio(human(), commit=True)
            ended = 0
            async for event in session:
                if event.type == "audio":
                    play_audio(event.audio)
                    play_audio(event.audio.data)
                elif event.type == "guardrail_tripped":
                    alerts.append(event.message)
                elif event.type == "agent_end":
                    ended += 1
                    if ended == 2:
                        break
    assert len(played) > 48_000
    assert alerts == []


async def test_a_barge_in_leaves_what_was_said_and_what_was_heard() -> None:
    agent = RealtimeAgent(name="Desk")
    script = f'[greeting]\nsay = "{LONG}"\n[[turn]]\nheard = "Sorry, hours?"\nsay = "Noon to eleven."'
    async with talking(agent, script, turn_detection={"type": "server_vad"}) as (session, events):
        await session.request_response()
        await until(events, "audio")
        await asyncio.sleep(2)
        await speak(session, human() + silence(2))
        interrupted = await until(events, "audio_interrupted")
        assert 2000 <= interrupted.played_ms <= 2600
        await until(events, "agent_end", 2)
        await asyncio.sleep(1)
        answer, caller, reply = session.history
        assert isinstance(answer, AssistantMessageItem)
        assert answer.text.startswith("First the soup, then")
        assert answer.text.startswith(answer.heard_text)
        assert 0 < len(answer.heard_text) < len(answer.text)
        assert answer.content[0].heard_ms == interrupted.played_ms
        assert (caller.text, reply.text) == ("Sorry, hours?", "Noon to eleven.")


async def test_a_tool_call_is_answered_and_spoken_about() -> None:
    @function_tool
    async def book(day: str) -> str:
        """Book a table."""
        await asyncio.sleep(1)
        return f"booked for {day}"

    script = """
        [[turn]]
        text = "book"
        filler = "One moment."
        tool = "book"
        arguments = { day = "Friday" }
        say = "So: {result}."
    """
    async with talking(RealtimeAgent(name="Desk", tools=[book]), script) as (session, events):
        await session.send_message("Please book.")
        end = await until(events, "tool_end")
        assert (end.output, round(end.duration_s, 3)) == ("booked for Friday", 1.0)
        await until(events, "agent_end", 2)
        requested, filler, called, answer = session.history
        assert [item.type for item in session.history] == ["message", "message", "function_call", "message"]
        assert (requested.text, filler.text) == ("Please book.", "One moment.")
        assert (called.output, called.status) == ("booked for Friday", "completed")
        assert answer.text == "So: booked for Friday."
        assert session.usage.requests == 2


async def test_a_handoff_is_taken_by_the_server_before_the_new_agent_speaks() -> None:
    billing = RealtimeAgent(name="Billing", instructions="Bills only.")
    desk = RealtimeAgent(name="Desk", handoffs=[billing])
    script = '[[turn]]\ntext = "bill"\ntool = "transfer_to_billing"\nsay = "Here is billing."'
    async with talking(desk, script) as (session, events):
        await session.send_message("My bill, please.")
        await until(events, "agent_end", 2)
        order = [
            e.data.data["type"] for e in events if e.type == "raw_model_event" and e.data.type == "raw_server_event"
        ]
        after = order[order.index("session.updated", order.index("session.updated") + 1) :]
        assert "response.created" in after
        assert [event.agent.name for event in events if event.type == "agent_start"] == ["Desk", "Billing"]
        assert texts(session)[-1] == ("assistant", "Here is billing.")


async def test_a_guardrail_stops_a_short_answer_before_it_was_heard() -> None:
    @output_guardrail
    async def no_prices(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, "euros" in text)

    script = """
        [[turn]]
        text = "price"
        say = "It costs two hundred euros."
        [[turn]]
        text = "rules"
        say = "I may not say."
    """
    agent = RealtimeAgent(name="Desk", output_guardrails=[no_prices])
    async with talking(agent, script) as (session, events):
        await session.send_message("What is the price?")
        tripped = await until(events, "guardrail_tripped")
        assert tripped.message == "It costs two hundred euros."
        interrupted = await until(events, "audio_interrupted")
        assert interrupted.played_ms < 1000
        await until(events, "agent_end", 2)
        assert [role for role, _ in texts(session)] == ["user", "assistant", "system", "assistant"]
        said = session.history[1]
        assert isinstance(said, AssistantMessageItem)
        assert len(said.heard_text) < len(said.text)
        assert "no_prices" in texts(session)[2][1]


async def test_the_servers_conversation_can_be_seeded_and_edited() -> None:
    def user(item_id: str, text: str) -> UserMessageItem:
        return UserMessageItem(item_id=item_id, content=[InputText(text=text)])

    async with talking(RealtimeAgent(name="Desk"), "") as (session, _):
        await session.update_history([user("one", "First."), user("three", "Third.")])
        await asyncio.sleep(0.1)
        assert texts(session) == [("user", "First."), ("user", "Third.")]
        await session.update_history(lambda history: [history[0], user("two", "Second."), history[1]])
        await asyncio.sleep(0.1)
        assert texts(session) == [("user", "First."), ("user", "Second."), ("user", "Third.")]
        await session.update_history([])
        await asyncio.sleep(0.1)
        assert session.history == []


async def test_closing_while_a_tool_runs_and_the_agent_speaks() -> None:
    cancelled = asyncio.Event()

    @function_tool
    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    script = f'[[turn]]\ntext = "go"\nfiller = "{LONG}"\ntool = "forever"\nsay = "Never."'
    async with talking(RealtimeAgent(name="Desk", tools=[forever]), script) as (session, events):
        await session.send_message("go")
        await until(events, "tool_start")
        loop = asyncio.get_running_loop()
        before = loop.time()
        await session.close()
        assert loop.time() - before <= 1.0
        assert cancelled.is_set()
        assert session.status == "closed"
