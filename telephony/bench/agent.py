"""The agent for the calls of the benchmark."""

from __future__ import annotations

from realtime_core import RealtimeAgent, function_tool

__all__ = ["agent"]


@function_tool
async def book_table(day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation number."""
    return "17"


agent = RealtimeAgent(
    name="Trattoria Blu", instructions="You answer for Trattoria Blu. Short sentences.", tools=[book_table]
)
