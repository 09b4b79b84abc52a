"""A small world for tests of the simulated Twilio: the simulation, the official client, and an application that it
calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from realtime_core.testing import virtual_time
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.urls import as_websocket

TOKEN = "a-token"
OURS, THEIRS, OTHER = "+14155550199", "+14155550123", "+14155550177"


class App:
    """Answers each path with its TwiML (or with the result of a function), and stores every request."""

    def __init__(self) -> None:
        self.twiml: dict[str, str | Callable[[dict[str, str]], str]] = {}
        self.sounds: dict[str, bytes] = {}
        """WAV files, by path."""
        self.requested: list[tuple[str, dict[str, str]]] = []
        self.badly_signed: list[str] = []
        self.streams: list[dict[str, Any]] = []
        self.on_stream: Callable[[WebSocket, str], Coroutine[Any, Any, None]] = read_to_the_end
        self.url = ""

    @property
    def websocket_url(self) -> str:
        return as_websocket(self.url)

    def of(self, path: str) -> list[dict[str, str]]:
        return [form for requested, form in self.requested if requested == path]

    async def webhook(self, request: Request) -> Response:
        if (sound := self.sounds.get(request.url.path)) is not None:
            return Response(sound, media_type="audio/wav")
        form = {name: str(value) for name, value in (await request.form()).items()}
        signature = request.headers["x-twilio-signature"]
        if not RequestValidator(TOKEN).validate(str(request.url), form, signature):
            self.badly_signed.append(request.url.path)
        self.requested.append((request.url.path, form))
        answer = self.twiml.get(request.url.path, "<Response/>")
        text = answer if isinstance(answer, str) else answer(form)
        return Response(text.replace("BASE", self.url).replace("WS", as_websocket(self.url)), 200, None, "text/xml")

    async def stream(self, websocket: WebSocket) -> None:
        if not RequestValidator(TOKEN).validate(str(websocket.url), {}, websocket.headers["x-twilio-signature"]):
            self.badly_signed.append("stream")
        await websocket.accept()
        await websocket.receive_text()
        start = json.loads(await websocket.receive_text())
        self.streams.append(start["start"])
        await self.on_stream(websocket, start["streamSid"])


async def read_to_the_end(websocket: WebSocket, sid: str) -> None:
    with contextlib.suppress(Exception):
        while json.loads(await websocket.receive_text())["event"] != "stop":
            pass


class World:
    def __init__(self, twilio: SimulatedTwilio, app: App) -> None:
        self.twilio, self.app = twilio, app
        self._http = twilio.http_client(timeout_s=2.0)
        self.client = Client(twilio.account_sid, TOKEN, http_client=self._http)
        self.client.api.base_url = twilio.base_url

    async def ask(self, request: Callable[[Client], Any]) -> Any:
        return await asyncio.to_thread(request, self.client)

    async def create(self, to: str = THEIRS, **options: Any) -> str:
        options.setdefault("twiml", "<Response><Pause length='0.2'/></Response>")
        call = await self.ask(lambda client: client.calls.create(to=to, from_=OURS, **options))
        return str(call.sid)

    async def over(self, sid: str, within_s: float = 60) -> Any:
        async with asyncio.timeout(within_s):
            await self.twilio.calls[sid].finished()
        return await self.ask(lambda client: client.calls(sid).fetch())

    async def settled(self) -> None:
        """Wait for the callbacks that are under way."""
        await until(lambda: not self.twilio._running)


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    app = App()
    routes = [Route("/{path:path}", app.webhook, methods=["GET", "POST"]), WebSocketRoute("/stream", app.stream)]
    twilio = SimulatedTwilio(auth_token=TOKEN, **options)
    async with twilio.serving(Starlette(routes=routes)) as url, twilio:
        app.url = url
        it = World(twilio, app)
        try:
            yield it
            assert app.badly_signed == [], "these were not signed as Twilio signs"
        finally:
            if it._http.session is not None:
                it._http.session.close()


async def quiet(phone: Handset) -> None:
    """Picks up and says nothing."""
    await asyncio.Event().wait()


def answers_as(answered_by: str) -> callees.Callee:
    return callees.Callee(quiet, after_s=0.05, answered_by=answered_by, verdict_after_s=0.1)


Main = Callable[[], Coroutine[Any, Any, None]]


def run(main: Main) -> None:
    virtual_time.run(_bounded(main), seed=0)


def run_over_sockets(main: Main) -> None:
    asyncio.run(_bounded(main))


async def _bounded(main: Main) -> None:
    async with asyncio.timeout(60):
        await main()


Run = Callable[[Main], None]
over_both = pytest.mark.parametrize("run", [run, run_over_sockets], ids=["in memory", "over sockets"])


async def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
