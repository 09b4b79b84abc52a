"""The caller hangs up while a tool runs: the tool is cancelled, and nothing continues."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core import RealtimeAgent, function_tool
from telephony.call import clips
from tests.support.exchange import CallerPhone, hear_out, story

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

    async def impatient(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await asyncio.sleep(3.0)

    result = await story(impatient, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    assert seen == ["begun", "cancelled"]
    assert result.reason == "hung up"
    assert result.records.of("tool.end") == []
    assert result.heard_whole(0)
    assert clips.one_moment()[:1600] in result.heard, "the caller knew that it takes a moment"
    result.assert_no_undecided_silence()


async def test_a_tool_that_takes_its_time_is_waited_for_with_a_line_and_a_sound() -> None:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.sleep(15)
        return "17"

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await asyncio.sleep(16)
        await phone.agent_silent(3.0)

    result = await story(caller, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    assert result.heard.count(clips.one_moment()) == 1
    answer = list(result.spoken().values())[-1]
    assert answer[2000:8000] in result.heard
    result.assert_no_undecided_silence()


async def test_a_tool_that_never_returns_has_an_end() -> None:
    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        await asyncio.get_running_loop().create_future()
        return ""

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await phone.agent_silent(200.0, within_s=400)

    result = await story(caller, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    ((_, ended),) = result.records.of("tool.end")
    assert "timed out" in ended["output"]
    result.assert_no_undecided_silence()
