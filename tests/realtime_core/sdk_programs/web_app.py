"""A web app: a page speaks with an airline's agents over a WebSocket of its own. Start it with an ASGI server."""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import json
from typing import Any, assert_never

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core import RealtimeAgent, RealtimeRunner, RealtimeSession, RealtimeSessionEvent, realtime_handoff
from realtime_core.config import RealtimeUserInputMessage
from realtime_core.decorators import tool
from realtime_core.extensions.handoff_prompt import prompt_with_handoff_instructions
from realtime_core.items import RealtimeItem
from realtime_core.model import RealtimeModelConfig
from realtime_core.model_events import RealtimeModelUsageEvent
from realtime_core.model_inputs import RealtimeModelSendRawMessage


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The weather in {city} is sunny."


@tool(needs_approval=True)
async def update_seat(confirmation_number: str, new_seat: str) -> str:
    """Change a passenger's seat.

    Args:
        confirmation_number: The code of the booking.
        new_seat: Row and letter.
    """
    return f"Updated seat to {new_seat} for {confirmation_number}"


seats = RealtimeAgent(
    name="Seat Booking Agent",
    handoff_description="Changes seats.",
    instructions=prompt_with_handoff_instructions("Ask for the booking and the seat, then change the seat."),
    tools=[update_seat],
)
triage = RealtimeAgent(
    name="Triage Agent",
    instructions=prompt_with_handoff_instructions("Find out what the passenger needs."),
    tools=[get_weather],
    handoffs=[realtime_handoff(seats, tool_name_override="transfer_to_seat_booking_agent")],
)
seats.handoffs.append(realtime_handoff(triage))

MODEL: RealtimeModelConfig = {
    "initial_model_settings": {
        "model_name": "gpt-realtime-2.1",
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 500, "create_response": True},
    }
}


def dump(item: RealtimeItem) -> dict[str, Any]:
    shown = item.model_dump()
    for part in shown.get("content") or ():
        part.pop("audio", None)
    return shown


def describe(event: RealtimeSessionEvent) -> dict[str, Any]:
    """An event for the page. Another type of event is a defect."""
    match event.type:
        case "agent_start":
            return {"agent": event.agent.name}
        case "agent_end":
            return {"agent": event.agent.name, "tokens": event.info.context.usage.total_tokens}
        case "handoff":
            return {"from": event.from_agent.name, "to": event.to_agent.name}
        case "tool_start":
            return {"tool": event.tool.name}
        case "tool_end":
            return {"tool": event.tool.name, "output": str(event.output)}
        case "tool_approval_required":
            return {"tool": event.tool.name, "call_id": event.call_id, "arguments": event.arguments}
        case "audio":
            return {"audio": base64.b64encode(event.audio.data).decode()}
        case "history_updated":
            return {"history": [dump(item) for item in event.history]}
        case "history_added":
            return {"item": dump(event.item)}
        case "guardrail_tripped":
            return {"guardrails": [result.guardrail.get_name() for result in event.guardrail_results]}
        case "error":
            return {"error": str(event.error)}
        case "raw_model_event":
            usage = event.data.usage if isinstance(event.data, RealtimeModelUsageEvent) else None
            return {"model_event": event.data.type, "tokens": usage.total_tokens if usage else None}
        case "audio_end" | "audio_interrupted" | "input_audio_timeout_triggered":
            return {}
        case _:
            assert_never(event)


async def tell(session: RealtimeSession, page: WebSocket) -> None:
    async for event in session:
        await page.send_text(json.dumps({"type": event.type, **describe(event)}))


async def obey(session: RealtimeSession, page: WebSocket, message: dict[str, Any]) -> None:
    match message["type"]:
        case "audio":
            await session.send_audio(array.array("h", message["data"]).tobytes())
        case "image":
            text: RealtimeUserInputMessage = {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": message["data_url"], "detail": "high"},
                    {"type": "input_text", "text": message["text"]},
                ],
            }
            await session.send_message(text)
            await page.send_text(json.dumps({"type": "client_info", "info": "image_enqueued"}))
        case "commit_audio":
            commit = RealtimeModelSendRawMessage(message={"type": "input_audio_buffer.commit"})
            await session.model.send_event(commit)
        case "tool_approval_decision" if message["approve"]:
            await session.approve_tool_call(message["call_id"])
        case "tool_approval_decision":
            await session.reject_tool_call(message["call_id"], always=True)
        case "interrupt":
            await session.interrupt()


async def talk(page: WebSocket) -> None:
    await page.accept()
    async with await RealtimeRunner(triage).run(model_config=MODEL) as session:
        telling = asyncio.create_task(tell(session, page))
        try:
            while True:
                await obey(session, page, json.loads(await page.receive_text()))
        except WebSocketDisconnect:
            pass
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling


app = Starlette(routes=[WebSocketRoute("/ws/{session_id}", talk)])
