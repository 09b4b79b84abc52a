"""A simulation in memory behaves as one over sockets, and gives the same result each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from realtime_core import RealtimeAgent
from realtime_core.errors import ConnectFailed
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony import Telephony
from telephony.errors import ServerFailed
from telephony.simulator.hosting import HttpAnswer
from telephony.simulator.links import Links, links

AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")


class App:
    """What its application saw."""

    def __init__(self) -> None:
        self.state: list[str] = []
        routes = [
            Route("/echo", self.echo, methods=["GET", "POST"]),
            Route("/slow", self.slow),
            Route("/fails", self.fails),
            WebSocketRoute("/no", self.no),
            WebSocketRoute("/fails", self.fails_at_once),
            WebSocketRoute("/waits", self.waits),
        ]
        self.app = Starlette(routes=routes, lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.state.append("started")
        yield
        self.state.append("stopped")

    async def echo(self, request: Request) -> Response:
        said = f"{request.method} {request.url} {(await request.body()).decode()} {request.headers.get('x-it', '')}"
        return PlainTextResponse(said, 201)

    async def slow(self, request: Request) -> Response:
        await asyncio.sleep(0.3)
        self.state.append("slow is done")
        return PlainTextResponse("late")

    async def fails(self, request: Request) -> Response:
        raise ValueError("by design")

    async def no(self, websocket: WebSocket) -> None:
        await websocket.close(1008)

    async def fails_at_once(self, websocket: WebSocket) -> None:
        raise ValueError("by design")

    async def waits(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.state.append(str((await websocket.receive())["type"]))


async def ask(carrier: Links, url: str, body: bytes | None = None, timeout_s: float = 5.0) -> HttpAnswer:
    method = "GET" if body is None else "POST"
    return await carrier.request(method, url, {"X-It": "there"}, body, timeout_s=timeout_s, max_bytes=1000)


@pytest.fixture(params=[False, True], ids=["over sockets", "in memory"])
def carrier(request: pytest.FixtureRequest) -> Links:
    return links(request.param)


async def play(carrier: Links) -> None:
    app = App()
    async with carrier.serve(app.app) as address:
        assert app.state == ["started"]
        answer = await ask(carrier, f"{address}/echo?a=%20b", b"c=d")
        assert (answer.status, answer.content_type) == (201, "text/plain")
        assert answer.body.decode() == f"POST {address}/echo?a=%20b c=d there"
        assert (await ask(carrier, f"{address}/fails")).status == 500
        assert (await ask(carrier, f"{address}/nothing")).status == 404
        with pytest.raises(TimeoutError):
            await ask(carrier, f"{address}/slow", timeout_s=0.1)
        for path, status in (("no", 403), ("fails", 500)):
            with pytest.raises(ConnectFailed) as refused:
                await carrier.connect(f"{address.replace('http', 'ws')}/{path}", {})
            assert refused.value.status == status
        stream = await carrier.connect(f"{address.replace('http', 'ws')}/waits", {})
        ending = asyncio.create_task(stream.run(lambda message: None))
        await asyncio.sleep(0.5)
    close = await ending
    assert (close.code, close.by) == (1012, "peer")
    assert app.state == ["started", "slow is done", "websocket.disconnect", "stopped"]
    with pytest.raises(OSError):
        await ask(carrier, f"{address}/echo")
    with pytest.raises(ConnectFailed):
        await carrier.connect(address.replace("http", "ws"), {})
    carrier.close()


def test_requests_and_streams_are_carried_alike(carrier: Links) -> None:
    asyncio.run(play(carrier))


def test_and_in_virtual_time() -> None:
    virtual_time.run(play(links(True)))


def test_an_application_that_does_not_start_is_said(carrier: Links) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    async def main() -> None:
        with pytest.raises(ServerFailed):
            async with carrier.serve(Starlette(lifespan=lifespan)):
                raise AssertionError("it started")
        carrier.close()

    asyncio.run(main())


def test_the_official_clients_transport_says_what_goes_wrong() -> None:
    async def main() -> None:
        carrier = links(True)
        http = carrier.http_client(timeout_s=0.1)
        async with carrier.serve(App().app) as address:
            fine = await asyncio.to_thread(http.request, "POST", f"{address}/echo", data={"To": "+1 2"})
            assert (fine.status_code, fine.text.split()[2]) == (201, "To=%2B1+2")
            with pytest.raises(requests.Timeout):
                await asyncio.to_thread(http.request, "GET", f"{address}/slow")
        with pytest.raises(requests.ConnectionError):
            await asyncio.to_thread(http.request, "GET", f"{address}/echo")
        http.session.close()

    virtual_time.run(main)


def test_one_seed_makes_the_same_calls_to_the_sample() -> None:
    async def call(seed: int) -> tuple[Any, ...]:
        async with Telephony(simulate=True, sources=Sources(seed)) as phone:
            result = await phone.run_call("+14155550123", agent=AGENT, max_s=6)
            assert phone.twilio is not None
            (placed,) = phone.twilio.calls.values()
            return result, placed.heard, list(phone.twilio.log_lines), asyncio.get_running_loop().time()

    first, again, other = (virtual_time.run(call(seed), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first[0].sid != other[0].sid
    assert (first[0].status, len(first[1]) > 8000) == ("completed", True)
