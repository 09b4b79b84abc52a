"""A minimal bridge between Twilio and the model on the same stack as the real server. It is the lower bound of the
cost.

Stack: Starlette on uvicorn (sans-I/O WebSockets, deflate off), the `websockets` client to the model, the standard
library's json, the same mu-law and FIR. It forwards media up and audio down, and sends `clear` on `speech_started`. It
has no session, tools, playback accounting, pacing, marks, truncation, journal or signatures.

`python -m benchmarks.bare_bridge` takes the model's address from `OPENAI_BASE_URL` and prints one JSON line when ready.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3, Upsampler3
from telephony.urls import as_websocket, public_address

PCM = {"type": "audio/pcm", "rate": 24000}
SESSION_UPDATE = {
    "type": "session.update",
    "session": {"type": "realtime", "audio": {"input": {"format": PCM}, "output": {"format": PCM}}},
}


def model_url() -> str:
    return as_websocket(public_address(os.environ["OPENAI_BASE_URL"], "/realtime", "model=bare"))


async def media_stream(phone: WebSocket) -> None:
    await phone.accept()
    async with connect(model_url(), compression=None, max_size=None) as model:
        await model.send(json.dumps(SESSION_UPDATE))
        down = None
        try:
            up = Upsampler3()
            while True:
                message = json.loads(await phone.receive_text())
                if message["event"] == "media":
                    await send_up(model, up, message["media"]["payload"])
                elif message["event"] == "start":
                    down = asyncio.create_task(send_down(phone, model, message["streamSid"]))
                elif message["event"] == "stop":
                    break
        except WebSocketDisconnect:
            pass
        finally:
            if down is not None:
                down.cancel()
                await asyncio.wait([down])


async def send_up(model: ClientConnection, up: Upsampler3, payload: str) -> None:
    pcm = up.push(g711.decode(base64.b64decode(payload)))
    await model.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}))


async def send_down(phone: WebSocket, model: ClientConnection, stream_sid: str) -> None:
    down = Downsampler3()
    async for text in model:
        event: dict[str, Any] = json.loads(text)
        if event["type"] == "response.output_audio.delta":
            ulaw = g711.encode(down.push(base64.b64decode(event["delta"])))
            media = {"payload": base64.b64encode(ulaw).decode()}
            await phone.send_text(json.dumps({"event": "media", "streamSid": stream_sid, "media": media}))
        elif event["type"] == "input_audio_buffer.speech_started":
            down.reset()
            await phone.send_text(json.dumps({"event": "clear", "streamSid": stream_sid}))


def main() -> None:
    app = Starlette(routes=[WebSocketRoute("/media-stream", media_stream)])
    config = uvicorn.Config(app, ws="websockets-sansio", ws_per_message_deflate=False, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(json.dumps({"listening": f"http://127.0.0.1:{listening.getsockname()[1]}"}) + "\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
