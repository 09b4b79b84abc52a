"""Our server hands the socket of a media stream directly to the call, after the same checks as under other servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime_core import RealtimeAgent
from realtime_core.connection import Close
from telephony import create_app
from telephony.settings import Settings
from telephony.urls import rebased
from telephony.web import connection
from telephony.web.server import listening
from telephony.web.server_websocket import TAKE_OVER
from tests.support.web_clients import FORM, TOKEN

pytestmark = pytest.mark.real_time

SITE = "https://phone.example.com"


class Tags:
    """A middleware of the user's around everything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "tag": "outer"}, receive, send)


def at_the_root(app: Starlette) -> ASGIApp:
    return app


def in_starlette(app: Starlette) -> ASGIApp:
    return Tags(Starlette(routes=[Mount("/voice", app)], lifespan=app.router.lifespan_context))


def in_fastapi(app: Starlette) -> ASGIApp:
    outer = FastAPI(lifespan=app.router.lifespan_context)
    outer.mount("/voice", app)
    outer.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    return outer


PLACES: list[tuple[Callable[[Starlette], ASGIApp], str]] = [
    (at_the_root, ""),
    (in_starlette, "/voice"),
    (in_fastapi, "/voice"),
]


@asynccontextmanager
async def served(place: Callable[[Starlette], ASGIApp], **settings: Any) -> AsyncIterator[str]:
    app = create_app(
        RealtimeAgent(name="Desk"),
        settings=Settings(telephony_model="scripted", telephony_instance="here", telephony_warm=False, **settings),
    )
    async with listening(place(app)) as address:
        yield address


def signed(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-Twilio-Signature": str(RequestValidator(TOKEN).compute_signature(url, form))}


@pytest.fixture(autouse=True)
def no_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here goes through Starlette's WebSocket."""
    monkeypatch.delattr(connection, "StarletteConnection")


@pytest.mark.parametrize(("place", "path"), PLACES)
async def test_a_signed_stream_is_taken_over_and_an_unsigned_one_refused(
    place: Callable[[Starlette], ASGIApp], path: str
) -> None:
    async with served(place, public_url=SITE + path, twilio_auth_token=TOKEN) as address:
        async with httpx2.AsyncClient() as client:
            webhook = f"{SITE}{path}/incoming-call"
            answer = await client.post(
                f"{address}{path}/incoming-call",
                data=FORM,
                headers=signed(webhook, FORM) | {"X-Forwarded-Proto": "https"},
            )
        found = re.search(r' url="([^"]*)"', answer.text)
        assert found is not None, answer.text
        token = dict(re.findall(r'<Parameter name="([^"]*)" value="([^"]*)"', answer.text))
        url = found[1]
        here = rebased(url, SITE + path, f"{address}{path}") or ""
        with pytest.raises(InvalidStatus, match="403"):
            await connect(here, proxy=None, additional_headers=signed(f"{url}x", {}))
        async with connect(here, proxy=None, additional_headers=signed(url, {})) as phone:
            await phone.send(start(FORM["CallSid"], token))
            assert json.loads(await phone.recv())["event"] in ("media", "mark")


def start(call_sid: str, parameters: dict[str, str]) -> str:
    body = {
        "accountSid": "AC1", "streamSid": "MZ1", "callSid": call_sid, "tracks": ["inbound"],
        "customParameters": parameters,
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }  # fmt: skip
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": body})


@asynccontextmanager
async def endpoint(handle: Callable[[WebSocket], Any]) -> AsyncIterator[str]:
    async with listening(Starlette(routes=[WebSocketRoute("/socket", handle)])) as address:
        yield f"{address.replace('http', 'ws')}/socket"


async def test_the_server_closes_a_taken_over_websocket_with_1012_when_it_stops() -> None:
    ended: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    async def handle(websocket: WebSocket) -> None:
        taken = await connection.accept(websocket)
        ended.set_result(await taken.run(lambda message: taken.send(str(message))))

    async with endpoint(handle) as url:
        phone = await connect(url, proxy=None)
        await phone.send("hello")
        assert await phone.recv() == "hello"
    with pytest.raises(ConnectionClosed) as closed:
        await phone.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
    assert await ended == Close(1012, "", "us")


async def test_an_endpoint_that_returns_early_or_fails_leaves_no_socket() -> None:
    for error in (None, LookupError("the endpoint's own")):

        async def handle(websocket: WebSocket, error: Exception | None = error) -> None:
            await connection.accept(websocket)
            if error is not None:
                raise error

        async with endpoint(handle) as url:
            phone = await connect(url, proxy=None)
            with pytest.raises(ConnectionClosed):
                await phone.recv()


async def test_frames_that_come_before_the_answer_to_the_upgrade_are_kept() -> None:
    came = asyncio.Event()

    async def handle(websocket: WebSocket) -> None:
        await came.wait()
        taken = await connection.accept(websocket)
        await taken.run(lambda message: taken.send(str(message)))

    async with endpoint(handle) as url:
        host, _, port = url.removeprefix("ws://").partition("/")[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /socket HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await asyncio.sleep(0.05)
        writer.write(b"\x81\x85\0\0\0\0early")
        await asyncio.sleep(0.05)
        came.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(7) == b"\x81\x05early"
        writer.close()


async def test_a_websocket_whose_messages_were_received_is_not_taken_over() -> None:
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handle(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(RuntimeError) as caught:
            await websocket.scope["extensions"][TAKE_OVER]()
        refused.set_result(str(caught.value))
        await websocket.close()

    async with endpoint(handle) as url:
        await connect(url, proxy=None)
        assert "before any of its messages" in await refused
