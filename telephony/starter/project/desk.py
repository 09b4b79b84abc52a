"""The agent of the project. README.md says how to run it."""

from __future__ import annotations

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from telephony import Call, create_app, hang_up

TABLES = {"Friday": 8, "Saturday": 4, "Sunday": 6}
"""The free seats of each day. A real agent asks its database here."""


@function_tool
async def find_table(day: str, people: int) -> str:
    """Say whether a table is free.

    Args:
        day: A day of the week, such as Friday.
        people: The number of guests.
    """
    free = TABLES.get(day, 0)
    return f"Free at seven and at nine on {day}." if people <= free else f"No table for {people} is free on {day}."


@function_tool
async def book_table(ctx: RunContextWrapper[Call], day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation number.

    Args:
        day: A day of the week, such as Friday.
        people: The number of guests.
        time: The time as HH:MM on the 24-hour clock.
    """
    return f"Booked for {people} on {day} at {time}. The confirmation number is 2711."


events: RealtimeAgent[Call] = RealtimeAgent(
    name="Events",
    handoff_description="Plans parties and weddings of more than eight guests.",
    instructions="You plan events for Trattoria Blu. Ask for the date and the number of guests. Short sentences.",
    tools=[hang_up()],
)

agent: RealtimeAgent[Call] = RealtimeAgent(
    name="Desk",
    instructions=(
        "You answer for Trattoria Blu. Short sentences. Ask for day, time and number of guests. "
        "Read them back and ask whether that is right before you book. Hand over parties of more than eight guests."
    ),
    tools=[find_table, book_table, hang_up()],
    handoffs=[events],
)

app = create_app(agent, greeting="Greet the caller and ask how you can help.")
