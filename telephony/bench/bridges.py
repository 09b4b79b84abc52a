"""Three bare bridges between Twilio and the model. The benchmark compares the real server with these bridges.

The bridges have no session, tools, playback accounting, pacing, marks, truncation, journal or signatures.

- `bare`: the usual stack, with Starlette on uvicorn, `websockets` and the json module of the standard library. The
  bridge converts between mu-law and PCM at 24 kHz with the real server's filters.
- `through`: the same stack without conversion of mu-law.
- `echo`: `realtime_core.connection` at both ends, without conversion of mu-law. This bridge does as little as possible,
  and shows how many calls the load generator can make.

`python -m telephony.bench.bridges NAME` takes the model's address from `OPENAI_BASE_URL`, and prints a JSON line with
its own address when the bridge listens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.http11 import Request

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3, Upsampler3
from realtime_core.connection import Connection
from realtime_core.connection import websocket as own

from ..urls import as_websocket, public_address

__all__ = ["main"]

_PCM = {"type": "audio/pcm", "rate": 24000}
_ULAW = {"type": "audio/pcmu"}


def _session_update(audio: dict[str, Any]) -> str:
    session = {"type": "realtime", "audio": {"input": {"format": audio}, "output": {"format": audio}}}
    return json.dumps({"type": "session.update", "session": session})


def _model_url() -> str:
    return as_websocket(public_address(os.environ["OPENAI_BASE_URL"], "/realtime", "model=bare"))


async def _bridge(phone: WebSocket, *, transcodes: bool) -> None:
    await phone.accept()
    async with connect(_model_url(), compression=None, max_size=None, proxy=None) as model:
        await model.send(_session_update(_PCM if transcodes else _ULAW))
        down = None
        try:
            up = Upsampler3() if transcodes else None
            while True:
                message = json.loads(await phone.receive_text())
                if message["event"] == "media":
                    audio = message["media"]["payload"]
                    if up is not None:
                        audio = base64.b64encode(up.push(g711.decode(base64.b64decode(audio)))).decode()
                    await model.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
                elif message["event"] == "start":
                    down = asyncio.create_task(_send_down(phone, model, message["streamSid"], transcodes=transcodes))
                elif message["event"] == "stop":
                    break
        except WebSocketDisconnect:
            pass
        finally:
            if down is not None:
                down.cancel()
                await asyncio.wait([down])


async def _send_down(phone: WebSocket, model: ClientConnection, stream_sid: str, *, transcodes: bool) -> None:
    down = Downsampler3() if transcodes else None
    async for text in model:
        event: dict[str, Any] = json.loads(text)
        if event["type"] == "response.output_audio.delta":
            audio = event["delta"]
            if down is not None:
                audio = base64.b64encode(g711.encode(down.push(base64.b64decode(audio)))).decode()
            media = {"event": "media", "streamSid": stream_sid, "media": {"payload": audio}}
            await phone.send_text(json.dumps(media))
        elif event["type"] == "input_audio_buffer.speech_started":
            if down is not None:
                down.reset()
            await phone.send_text(json.dumps({"event": "clear", "streamSid": stream_sid}))


async def _bare(phone: WebSocket) -> None:
    await _bridge(phone, transcodes=True)


async def _through(phone: WebSocket) -> None:
    await _bridge(phone, transcodes=False)


def _serve_usual_stack(endpoint: Callable[[WebSocket], Any]) -> None:
    app = Starlette(routes=[WebSocketRoute("/media-stream", endpoint)])
    config = uvicorn.Config(app, ws="websockets-sansio", ws_per_message_deflate=False, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _say(listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


async def _echo(phone: Connection, request: Request) -> None:
    model = await own.connect(_model_url(), proxy=None)
    model.send(_session_update(_ULAW))
    stream_sid = ""

    def from_phone(text: str | bytes) -> None:
        nonlocal stream_sid
        assert isinstance(text, str)
        at = text.find('"payload":"')
        if at >= 0:
            audio = text[at + 11 : text.index('"', at + 11)]
            model.send(f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}')
        elif '"start"' in text:
            stream_sid = json.loads(text)["streamSid"]
        elif '"stop"' in text:
            phone.close()

    def from_model(text: str | bytes) -> None:
        assert isinstance(text, str)
        if text.find("response.output_audio.delta", 0, 60) >= 0:
            at = text.rindex('": "', 0) + 4
            audio = text[at : text.rindex('"')]
            phone.send(f'{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"{audio}"}}}}')
        elif text.find("speech_started", 0, 60) >= 0:
            phone.send(f'{{"event":"clear","streamSid":"{stream_sid}"}}')

    reading = asyncio.create_task(model.run(from_model))
    try:
        await phone.run(from_phone)
    finally:
        model.close()
        await reading


async def _serve_echo() -> None:
    async with own.serve(_echo, ping_interval_s=None) as server:
        _say(server.port)
        await asyncio.Event().wait()


def _say(port: int) -> None:
    sys.stdout.write(json.dumps({"listening": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()


def main(name: str) -> None:
    if name == "echo":
        from .loop import run

        run(_serve_echo())
    else:
        _serve_usual_stack({"bare": _bare, "through": _through}[name])


if __name__ == "__main__":
    main(sys.argv[1])
