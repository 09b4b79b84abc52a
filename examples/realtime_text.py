"""A written conversation with an agent, and a tool that it calls. No key needed: it runs on the embedded server.

python examples/realtime_text.py
"""

from __future__ import annotations

import asyncio

from realtime_core import RealtimeAgent, RealtimeRunner, function_tool
from realtime_core.local import LocalRealtimeServer


@function_tool
def opening_hours(day: str) -> str:
    """The opening hours of a day of the week."""
    return "closed" if day.lower() == "monday" else "noon to eleven in the evening"


agent = RealtimeAgent(
    name="Trattoria Blu", instructions="You answer for a restaurant. Short sentences.", tools=[opening_hours]
)


async def main() -> None:
    runner = RealtimeRunner(agent)
    # With OPENAI_API_KEY set and without `model_config`, the real model answers.
    async with LocalRealtimeServer() as server, await runner.run(model_config=server.model_config) as session:
        await session.send_message("Hello! When are you open?")
        answers = 0
        async for event in session:
            if event.type == "tool_end":
                print(f"[{event.tool.name}{event.arguments} -> {event.output}]")
            elif event.type == "agent_end":
                answers += 1
                if answers == 2:  # before the tool, and with its result
                    break
        for item in session.history:
            if item.type == "message":
                print(f"{item.role}: {item.text}")
        print(f"{session.usage.total_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
