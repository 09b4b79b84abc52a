"""Accepts SIP calls that OpenAI announces by webhook, and attaches an agent to each."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import urllib.request
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from realtime_core import OpenAIRealtimeSIPModel, RealtimeAgent, RealtimeRunner, realtime_handoff
from realtime_core.decorators import tool
from realtime_core.items import AssistantMessageItem, UserMessageItem
from realtime_core.model_inputs import RealtimeModelSendRawMessage

WELCOME = "Hello, this is A B C customer service. How can I help you today?"


@tool
async def update_customer_record(customer_id: str, note: str) -> str:
    """Write a short note about the caller."""
    return f"Recorded note for {customer_id}: {note}"


records = RealtimeAgent(name="Records Agent", instructions="Write notes.", tools=[update_customer_record])
desk = RealtimeAgent(name="Desk", instructions="Greet, then hand over.", handoffs=[realtime_handoff(records)])
calls: dict[str, asyncio.Task[None]] = {}


def is_genuine(request: Request, body: bytes) -> bool:
    key = base64.b64decode(os.environ["OPENAI_WEBHOOK_SECRET"].removeprefix("whsec_"))
    signed = b".".join((request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), body))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(expected, request.headers["webhook-signature"])


def accept(call_id: str, payload: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{os.environ['OPENAI_BASE_URL']}/realtime/calls/{call_id}/accept",
        json.dumps(payload).encode(),
        {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=60).close()


async def attend(call_id: str) -> None:
    runner = RealtimeRunner(desk, model=OpenAIRealtimeSIPModel())
    async with await runner.run(model_config={"call_id": call_id}) as session:
        greeting = {"response": {"instructions": f"Say exactly '{WELCOME}'"}}
        await session.model.send_event(
            RealtimeModelSendRawMessage(message={"type": "response.create", "other_data": greeting})
        )
        async for event in session:
            if event.type == "history_updated":
                for item in event.history:
                    if isinstance(item, UserMessageItem | AssistantMessageItem):
                        print(item.role, [getattr(part, "transcript", None) for part in item.content])
            elif event.type == "error":
                print("Error:", event.error)
    print(f"Call {call_id} ended")


async def webhook(request: Request) -> Response:
    body = await request.body()
    if not is_genuine(request, body):
        return Response(status_code=400)
    event = json.loads(body)
    if event["type"] == "realtime.call.incoming":
        call_id = event["data"]["call_id"]
        payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(desk)
        await asyncio.to_thread(accept, call_id, payload.model_dump(exclude_none=True))
        calls[call_id] = asyncio.create_task(attend(call_id))
    return Response()


app = Starlette(routes=[Route("/openai/webhook", webhook, methods=["POST"])])
