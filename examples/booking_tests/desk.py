"""The agent under test.

telephony demo desk:agent --run-tools --script script.toml --caller caller.toml     # make a call
telephony calls test add CA... --name booking --agent desk:agent                    # keep it as a test
pytest                                                                              # make it again, in a second
"""

from __future__ import annotations

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from telephony import Call, hang_up


@function_tool
async def book_table(ctx: RunContextWrapper[Call], day: str, people: int) -> str:
    """Book a table; returns the confirmation number.

    Args:
        day: A day of the week, such as Friday.
        people: How many will come.
    """
    return "Booked. The confirmation number is 2711."  # a real desk would write to its database here


agent: RealtimeAgent[Call] = RealtimeAgent(
    name="Desk",
    instructions="You answer for Trattoria Blu. Short sentences.",
    tools=[book_table, hang_up()],
)
