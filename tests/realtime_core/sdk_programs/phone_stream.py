"""An agent on the phone: Twilio's media stream on one side, the model on the other, mu-law on both."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner, RealtimeSession
from realtime_core.decorators import function_tool
from realtime_core.model import RealtimeModelConfig


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The weather in {city} is sunny."


agent = RealtimeAgent(name="Phone", instructions="Short sentences, this is a phone call.", tools=[get_weather])


class MediaStream:
    """One call. Marks are returned when the audio before them was played."""

    def __init__(self, twilio: WebSocket) -> None:
        self._twilio = twilio
        self._sid = ""
        self._marks: dict[str, tuple[str, int, bytes]] = {}
        self.tracker = RealtimePlaybackTracker()

    async def send(self, event: str, **fields: Any) -> None:
        await self._twilio.send_text(json.dumps({"event": event, "streamSid": self._sid, **fields}))

    async def down(self, session: RealtimeSession) -> None:
        async for event in session:
            if event.type == "audio":
                audio = event.audio
                await self.send("media", media={"payload": base64.b64encode(audio.data).decode()})
                name = f"mark-{len(self._marks)}"
                self._marks[name] = (audio.item_id, audio.content_index, audio.data)
                await self.send("mark", mark={"name": name})
            elif event.type == "audio_interrupted":
                print("interrupted")
                await self.send("clear")

    async def up(self, session: RealtimeSession) -> None:
        try:
            while True:
                message = json.loads(await self._twilio.receive_text())
                if message["event"] == "start":
                    self._sid = message["start"]["streamSid"]
                elif message["event"] == "media":
                    await session.send_audio(base64.b64decode(message["media"]["payload"]))
                elif message["event"] == "mark":
                    self.tracker.on_play_bytes(*self._marks[message["mark"]["name"]])
        except WebSocketDisconnect:
            print("hung up")


async def answer(twilio: WebSocket) -> None:
    await twilio.accept()
    stream = MediaStream(twilio)
    config: RealtimeModelConfig = {
        "playback_tracker": stream.tracker,
        "initial_model_settings": {
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_ulaw",
            "turn_detection": {"type": "server_vad", "interrupt_response": True, "create_response": True},
        },
    }
    session = await RealtimeRunner(agent).run(model_config=config)
    await session.enter()
    down = asyncio.create_task(stream.down(session))
    try:
        await stream.up(session)
    finally:
        await session.close()
        await down


app = Starlette(routes=[WebSocketRoute("/media-stream", answer)])
