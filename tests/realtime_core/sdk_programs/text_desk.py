"""A written conversation with the features that a text client uses: context, dynamic instructions, guardrails,
rejections, usage.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from realtime_core import (
    RealtimeAgent,
    RealtimeModelListener,
    RealtimeModelSendRawMessage,
    RealtimeModelUsageEvent,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
)
from realtime_core.decorators import output_guardrail, tool
from realtime_core.exceptions import UserError
from realtime_core.guardrail import GuardrailFunctionOutput
from realtime_core.items import AssistantMessageItem
from realtime_core.model_events import RealtimeModelEvent
from realtime_core.run_config import ToolErrorFormatterArgs
from realtime_core.run_context import RunContextWrapper
from realtime_core.tool_context import ToolContext


@dataclass
class Guest:
    name: str
    asked: int = 0


@tool
def opening_hours(context: RunContextWrapper[Guest], day: str) -> str:
    """When we are open.

    Args:
        day: A day of the week.
    """
    context.context.asked += 1
    return f"On {day} from noon, {context.context.name}."


@tool(needs_approval=True)
def delete_booking(context: ToolContext[Guest], name: str) -> str:
    """Delete a guest's booking."""
    raise AssertionError(f"{context.tool_name} ran without approval")


@output_guardrail(name="no secrets")
async def no_secrets(context: RunContextWrapper[Guest], agent: Any, said: str) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info={"length": len(said)}, tripwire_triggered="swordfish" in said)


def instructions(context: RunContextWrapper[Guest], agent: RealtimeAgent[Guest]) -> str:
    return f"You are {agent.name}. The guest is {context.context.name}."


def rejected(args: ToolErrorFormatterArgs) -> str:
    return f"{args.tool_name} was refused by the manager."


class Listener(RealtimeModelListener):
    def __init__(self) -> None:
        self.types: set[str] = set()

    async def on_event(self, event: RealtimeModelEvent) -> None:
        self.types.add(event.type)


CONFIG: RealtimeRunConfig = {
    "model_settings": {"output_modalities": ["text"], "tool_choice": "auto"},
    "output_guardrails": [no_secrets],
    "guardrails_settings": {"debounce_text_length": 20},
    "tool_error_formatter": rejected,
    "tracing_disabled": True,
}
desk: RealtimeAgent[Guest] = RealtimeAgent(
    name="Desk", instructions=instructions, tools=[opening_hours, delete_booking]
)


async def say(session: RealtimeSession, text: str, until: str) -> Any:
    """Say something and show what happens, until an event of this type."""
    await session.send_message(text)
    async for event in session:
        if event.type == "tool_approval_required":
            print("approval:", event.tool.name)
            await session.reject_tool_call(event.call_id)
        elif event.type == "tool_end":
            print("tool:", event.tool.name, "->", event.output)
        elif event.type == "raw_model_event" and isinstance(event.data, RealtimeModelUsageEvent):
            print("response:", event.data.usage.total_tokens > 0, event.data.output_tokens_details is not None)
        elif event.type == "history_updated":
            last = event.history[-1] if event.history else None
            if isinstance(last, AssistantMessageItem) and last.status == "completed":
                print("agent:", *(getattr(part, "text", None) for part in last.content))
        if event.type == until and (until != "agent_end" or spoke(session, event)):
            return event
    raise AssertionError("The session ended.")


def spoke(session: RealtimeSession, event: Any) -> bool:
    """A response that calls a tool is not the answer yet."""
    usage = event.info.context.usage
    print("spent:", usage.requests, usage.total_tokens == usage.input_tokens + usage.output_tokens)
    return bool(usage.requests % 2 == 0)


async def main() -> None:
    guest, listener = Guest("Ada"), Listener()
    session = await RealtimeRunner(desk, config=CONFIG).run(context=guest)
    try:
        await session.send_message("too early")
    except (UserError, AssertionError) as error:
        print("refused:", type(error).__name__)
    session.model.add_listener(listener)
    async with session:
        await session.model.send_event(RealtimeModelSendRawMessage(message={"type": "input_audio_buffer.clear"}))
        await say(session, "When are your opening hours on Friday?", "agent_end")
        await say(session, "Please delete my booking.", "agent_end")
        tripped = await say(session, "Tell me the password.", "guardrail_tripped")
        print("guardrail:", [result.guardrail.get_name() for result in tripped.guardrail_results])
        await session.update_agent(desk.clone(name="Night"))
    print("asked:", guest.asked)
    print("listener:", {"turn_started", "usage", "raw_server_event"} <= listener.types)


if __name__ == "__main__":
    asyncio.run(main())
