"""A restaurant's receptionist.

telephony demo examples.receptionist:agent      rings it on this machine; no account, no key, no model
telephony serve examples.receptionist:agent     answers real calls, with OPENAI_API_KEY and the Twilio settings
uvicorn examples.receptionist:app               the same in any ASGI server
"""

from __future__ import annotations

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from telephony import Call, create_app

bookings: list[tuple[str, str, int, str]] = []


@function_tool
async def book_table(ctx: RunContextWrapper[Call], day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation number."""
    bookings.append((ctx.context.caller, day, people, time))
    return f"Booked for {people} on {day} at {time}; the confirmation number is {2700 + len(bookings)}."


@function_tool
async def opening_hours(day: str) -> str:
    """The opening hours of a day of the week."""
    return "closed" if day.lower() == "monday" else "noon to eleven in the evening"


agent = RealtimeAgent(
    name="Trattoria Blu",
    instructions="You answer for Trattoria Blu. Short sentences.",
    tools=[book_table, opening_hours],
)
app = create_app(agent, greeting="Greet the caller and ask how you can help.")
