"""OpenAI's side of SIP calls, for programs that accept them: the webhook, the calls API, the socket to attach to.

The model behind it is the embedded server. The caller's audio goes between the phone network and the model, so a
program that attaches gets every event but the audio.

Sources: https://platform.openai.com/docs/guides/realtime-sip (calls API, attaching),
https://platform.openai.com/docs/guides/webhooks (signature)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests").decode()


class SipCall:
    """One call. `events` has all events of the model's server, and `heard` has the audio that the caller heard: PCM16
    at 24 kHz.
    """

    def __init__(self, server: LocalRealtimeServer, call_id: str) -> None:
        self.call_id = call_id
        self.events: list[dict[str, Any]] = []
        self.heard = bytearray()
        self.session: dict[str, Any] | None = None
        """The session object once the call has been accepted."""
        self._server = server
        self._changed = asyncio.Condition()
        self._attached: WebSocket | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def accept(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Begins the session of the call. Returns the server's error, or None."""
        self._near, far = memory_pair()
        model = body.pop("model", None)
        self._tasks = {
            asyncio.create_task(self._server.serve_connection(far, model=model)),
            asyncio.create_task(self._near.run(self._on_message)),
        }
        self._near.send(json.dumps({"type": "session.update", "event_id": "accept", "session": body}))
        answer = await self.until(lambda event: event["type"] in ("session.updated", "error"))
        self.session = answer.get("session")
        return answer.get("error")

    async def say(self, audio: bytes) -> None:
        """The caller says something, at the pace of speech."""
        for at in range(0, len(audio), 960):
            piece = base64.b64encode(audio[at : at + 960]).decode()
            self._near.send(json.dumps({"type": "input_audio_buffer.append", "audio": piece}))
            await asyncio.sleep(0.01)

    async def until(self, condition: Any) -> dict[str, Any]:
        """Wait for an event of the server."""

        def found() -> dict[str, Any] | None:
            return next((event for event in self.events if condition(event)), None)

        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        event = found()
        assert event is not None
        return event

    async def until_said(self, words: str) -> None:
        await self.until(lambda event: words in (event.get("transcript") or ""))

    async def attach(self, socket: WebSocket) -> None:
        """Serve a program that attaches, until it or the caller leaves."""
        await socket.accept()
        await socket.send_text(json.dumps({"type": "session.created", "event_id": "attached", "session": self.session}))
        self._attached = socket
        try:
            while True:
                self._near.send(await socket.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            self._attached = None

    async def hang_up(self) -> None:
        if self._attached is not None:
            await self._attached.close(1000)
        self._near.close()
        await asyncio.gather(*self._tasks)

    def _on_message(self, message: str | bytes) -> None:
        event = json.loads(message)
        self._tell(event)
        if event["type"] == "response.output_audio.delta":
            self.heard += base64.b64decode(event["delta"])
        elif self._attached is not None:
            sending = asyncio.create_task(self._attached.send_text(str(message)))
            self._tasks.add(sending)
            sending.add_done_callback(self._tasks.discard)

    def _tell(self, event: dict[str, Any]) -> None:
        async def tell() -> None:
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

        telling = asyncio.create_task(tell())
        self._tasks.add(telling)
        telling.add_done_callback(self._tasks.discard)


class SipCalls:
    """The calls of a project, and the service that programs talk to at `base_url`."""

    def __init__(self, server: LocalRealtimeServer) -> None:
        self._server = server
        self._calls: dict[str, SipCall] = {}
        self.base_url = ""

    def ring(self) -> SipCall:
        call = SipCall(self._server, f"rtc_{len(self._calls) + 1}")
        self._calls[call.call_id] = call
        return call

    async def announce(self, call: SipCall, url: str, *, secret: str = SECRET) -> int:
        """Sends the signed webhook `realtime.call.incoming`. Returns the status of the answer."""
        event = {
            "id": "evt_1",
            "object": "event",
            "created_at": int(time.time()),
            "type": "realtime.call.incoming",
            "data": {
                "call_id": call.call_id,
                "sip_headers": [{"name": "From", "value": "sip:+14155550123@example.com"}],
            },
        }
        body, stamp = json.dumps(event), str(int(time.time()))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"wh_1.{stamp}.{body}".encode(), hashlib.sha256).digest()
        headers = {
            "webhook-id": "wh_1",
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
            "content-type": "application/json",
        }
        async with httpx2.AsyncClient() as client:
            return (await client.post(url, content=body, headers=headers, timeout=60)).status_code

    async def _accept(self, request: Request) -> Response:
        call = self._calls.get(request.path_params["call_id"])
        if request.headers.get("authorization") != "Bearer sk-local":
            return JSONResponse({"error": {"message": "Incorrect API key provided."}}, 401)
        if call is None or call.session is not None:
            return JSONResponse({"error": {"message": "No such call."}}, 404)
        body = await request.json()
        if body.get("type") != "realtime" or not body.get("model"):
            return JSONResponse({"error": {"message": "type and model are required."}}, 400)
        error = await call.accept(body)
        return JSONResponse({"error": error}, 400) if error else Response()

    async def _attach(self, socket: WebSocket) -> None:
        call = self._calls.get(socket.query_params.get("call_id", ""))
        if call is None or call.session is None:
            await socket.close()
        else:
            await call.attach(socket)


@asynccontextmanager
async def sip_calls(server: LocalRealtimeServer) -> AsyncIterator[SipCalls]:
    """The service, on a port of this machine."""
    calls = SipCalls(server)
    app = Starlette(
        routes=[
            Route("/v1/realtime/calls/{call_id}/accept", calls._accept, methods=["POST"]),
            WebSocketRoute("/v1/realtime", calls._attach),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, ws="websockets-sansio", log_level="warning", lifespan="off")
    web = uvicorn.Server(config)
    web.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(web._serve())
    try:
        while not web.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        calls.base_url = f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}/v1"
        yield calls
    finally:
        web.should_exit = True
        await serving
