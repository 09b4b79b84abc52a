"""The caller hangs up while a tool runs: the tool is ended, and nothing goes on."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core import RealtimeAgent, function_tool
from telephony.call import clips
from tests.support.exchange import Ear, hear_out, story

pytestmark = pytest.mark.virtual_time


async def test_the_tool_ends_with_the_call() -> None:
    seen: list[str] = []

    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        seen.append("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "17"

    async def impatient(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("booking")
        await asyncio.sleep(3.0)

    told = await story(impatient, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    assert seen == ["begun", "cancelled"]
    assert told.reason == "hung up"
    assert told.records.of("tool.end") == []
    assert told.heard_whole(0)
    assert clips.one_moment()[:1600] in told.heard, "the caller knew that it takes a moment"
    told.assert_no_undecided_silence()


async def test_a_tool_that_takes_its_time_is_waited_for_with_a_line_and_a_sound() -> None:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.sleep(15)
        return "17"

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("booking")
        await asyncio.sleep(16)
        await ear.agent_silent(3.0)

    told = await story(caller, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    assert told.heard.count(clips.one_moment()) == 1
    answer = list(told.spoken().values())[-1]
    assert answer[2000:8000] in told.heard
    told.assert_no_undecided_silence()


async def test_a_tool_that_never_returns_has_an_end() -> None:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.get_running_loop().create_future()
        return ""

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("booking")
        await ear.agent_silent(200.0, within_s=400)

    told = await story(caller, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    ((_, ended),) = told.records.of("tool.end")
    assert "timed out" in ended["output"]
    told.assert_no_undecided_silence()
