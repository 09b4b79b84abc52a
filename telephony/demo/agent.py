"""The agent that `telephony demo` calls by default. The agent books tables in a restaurant."""

from __future__ import annotations

from typing import Any

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool

__all__ = ["GREETING", "agent"]

GREETING = "Greet the caller, name the restaurant, and ask how you can help."


@function_tool
async def book_table(ctx: RunContextWrapper[Any], day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation.

    Args:
        day: A day of the week, such as Friday.
        people: How many will come.
        time: When, as HH:MM on the 24-hour clock.
    """
    return f"Booked: a table for {people} on {day} at {time}. The confirmation number is 2711."


agent: RealtimeAgent[Any] = RealtimeAgent(
    name="Trattoria Blu",
    instructions="You answer for Trattoria Blu. Short sentences.",
    tools=[book_table],
)
