"""Hostile peers on real sockets: too long, too slow, too many. With both parsers, and with uvloop if it is
installed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core import RealtimeAgent
from telephony import create_app, load_settings
from telephony.web import connection_limits, server, server_websocket, time_limited_connection
from telephony.web.authentication import Authenticator
from telephony.web.connection import accept
from telephony.web.connection_limits import MAX_CONNECTIONS, ConnectionLimits, connections_within
from telephony.web.middleware import MAX_HEAD_BYTES, MAX_URL_BYTES, HeadLimits
from telephony.web.phase_timeouts import HTTP_LIMITS_S, Phase, PhaseTimeouts
from telephony.web.server_websocket import DirectConnection

pytestmark = pytest.mark.real_time

SOCKETS = ["/socket", "/direct"]
"""Through Starlette, and directly."""
HEAD = b"POST /echo HTTP/1.1\r\nHost: here\r\n"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def refuse(request: Request) -> Response:
    return PlainTextResponse("no", status_code=413)


async def flood(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(str(len(await websocket.receive_text())))


async def direct(websocket: WebSocket) -> None:
    """As a media stream of a call."""
    connection = await accept(websocket)
    assert isinstance(connection, DirectConnection)
    await connection.run(lambda message: connection.send(str(len(message))))


async def direct_flood(websocket: WebSocket) -> None:
    """Sends for ever, whether the peer reads or not, but less than the limit of the buffer."""
    connection = await accept(websocket)
    running = asyncio.create_task(connection.run(lambda message: None))
    while not running.done():
        if connection.buffered_bytes < 2**20:
            connection.send("x" * 65536)
        await asyncio.sleep(0)
    await running


async def never(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


APP = HeadLimits(
    Starlette(
        routes=[
            Route("/echo", echo, methods=["GET", "POST"]),
            Route("/refuse", refuse, methods=["POST"]),
            Route("/flood", flood),
            WebSocketRoute("/socket", socket),
            WebSocketRoute("/direct", direct),
            WebSocketRoute("/direct-flood", direct_flood),
            WebSocketRoute("/never", never),
        ]
    )
)


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    if request.param == "httptools":
        pytest.importorskip("httptools")
    return str(request.param)


class Server:
    def __init__(self, address: str, edge: ConnectionLimits) -> None:
        self.port = int(address.rpartition(":")[2])
        self.edge = edge

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def upgraded(self, path: str = "/socket") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.connect()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        return reader, writer


@asynccontextmanager
async def served(
    parser: str, *, limits_s: Mapping[Phase, float] | None = None, max_connections: int = 100
) -> AsyncIterator[Server]:
    """`limits_s`: shorter ones, and ticks as short, so that a test need not wait."""
    made: list[ConnectionLimits] = []

    def edge(_: int) -> ConnectionLimits:
        made.append(ConnectionLimits(max_connections))
        return made[-1]

    with contextlib.ExitStack() as stack:
        if parser == "h11":
            stack.enter_context(patch.dict(sys.modules, {"uvicorn.protocols.http.httptools_impl": None}))
        stack.enter_context(patch.object(server, "ConnectionLimits", edge))
        if limits_s is not None:
            stack.enter_context(patch.object(connection_limits, "HTTP_LIMITS_S", limits_s))
            stack.enter_context(patch.object(server_websocket, "WEBSOCKET_LIMITS_S", limits_s))
            stack.enter_context(patch.object(time_limited_connection, "TICK_S", 0.02))
        async with server.listening(Startless(APP)) as address:
            yield Server(address, made[0])


class Startless:
    """The application without a lifespan of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await self._app(scope, receive, send)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that came until the connection's end."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            came = (came + piece)[-65536:]
    return came


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0")
    return head + await reader.readexactly(int(length.partition(b":")[2]))


# --- lengths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", b"431"),
        (HEAD + b"".join(b"X-%d: xxxxxxxxxxxxxxxx\r\n" % n for n in range(1000)) + b"\r\n", b"431"),
        (b"GET /" + b"x" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n", b"414"),
        (b"GET /echo?" + b"x" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n", b"414"),
        (b"GET /socket?" + b"x" * 9000 + b" HTTP/1.1\r\nHost: here\r\n" + UPGRADE, b"414"),
        (b"GET /socket HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 9000 + b"\r\n" + UPGRADE, b"431"),
    ],
)
async def test_a_head_that_is_too_long_and_whole(parser: str, request_bytes: bytes, status: bytes) -> None:
    async with served(parser) as server:
        reader, writer = await server.connect()
        writer.write(request_bytes)
        assert (await answer(reader)).startswith(b"HTTP/1.1 " + status)
        writer.close()


@pytest.mark.parametrize("line", [b"X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", b"x" * 100])
async def test_a_head_without_an_end_is_cut_off(parser: str, line: bytes) -> None:
    async with served(parser) as server:
        reader, writer = await server.connect()
        writer.write(HEAD)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 100 * MAX_HEAD_BYTES:
                writer.write(line * 10)
                await writer.drain()
                sent += 10 * len(line)
                await asyncio.sleep(0)
        assert sent < 100 * MAX_HEAD_BYTES, "what came was kept"
        writer.close()


async def test_trailers_without_an_end_are_cut_off(parser: str) -> None:
    with patch.object(connection_limits, "MAX_REQUEST_BYTES", 100_000):
        async with served(parser) as server:
            reader, writer = await server.connect()
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
            sent = 0
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof() and sent < 10_000_000:
                    writer.write(b"X-Trailer: xxxxxxxxxxxxxxxxxxx\r\n" * 100)
                    await writer.drain()
                    sent += 3200
                    await asyncio.sleep(0)
            assert sent < 10_000_000
            writer.close()


async def test_the_rest_of_a_refused_body_is_not_read_for_ever(parser: str) -> None:
    async with served(parser) as server:
        reader, writer = await server.connect()
        writer.write(HEAD.replace(b"/echo", b"/refuse") + b"Content-Length: 100000000000\r\n\r\n")
        assert (await answer(reader)).startswith(b"HTTP/1.1 413")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 10_000_000:
                writer.write(b"x" * 4096)
                await writer.drain()
                sent += 4096
                await asyncio.sleep(0)
        assert sent < 10_000_000
        writer.close()


async def test_what_is_within_the_limits_is_served(parser: str) -> None:
    async with served(parser) as server:
        reader, writer = await server.connect()
        for _ in range(3):
            writer.write(HEAD + b"X: " + b"x" * (MAX_HEAD_BYTES - 200) + b"\r\nContent-Length: 50000\r\n\r\n")
            for _ in range(50):
                writer.write(b"x" * 1000)
                await writer.drain()
            assert (await answer(reader)).endswith(b"50000")
        writer.close()


async def test_small_writes_are_sent_at_once(parser: str) -> None:
    """With Nagle's algorithm a second small write waits for the peer's delayed ACK: 40 ms, also for audio."""
    async with served(parser) as server:
        reader, writer = await server.connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
        await answer(reader)
        (connection,) = server.edge.waiting
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY)
        writer.close()


# --- slow peers ------------------------------------------------------------------------------------------------------

SHORT = {Phase.HEAD: 0.1, Phase.BODY: 0.1, Phase.HANDSHAKE: 0.1, Phase.UNREAD: 0.1, Phase.CLOSING: 0.1}


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /ec", HEAD, HEAD + b"Content-Length: 100\r\n\r\n", HEAD + b"Content-Length: 100\r\n\r\nhalf"],
)
async def test_who_sends_slowly_is_cut_off(parser: str, begun: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with served(parser, limits_s=SHORT) as server:
        connections = [await server.connect() for _ in range(20)]
        for _, writer in connections:
            writer.write(begun)

        async def dribble(writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    if begun:
                        writer.write(b"x")
                        await writer.drain()
                    await asyncio.sleep(0.03)

        dribbling = [asyncio.create_task(dribble(writer)) for _, writer in connections]
        async with asyncio.timeout(60):
            for reader, _ in connections:
                await ended(reader)
        for task in dribbling:
            task.cancel()
        for _, writer in connections:
            writer.close()
    lines = [line for line in caplog.messages if "waited too long for the" in line]
    assert lines and len(lines) == len(set(lines)), "one line for each kind"


async def test_who_does_not_read_is_cut_off(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    async with served(parser, limits_s=SHORT) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /flood HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.read(100)
        async with asyncio.timeout(60):
            while "does not read" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ended(reader)
        writer.close()


async def test_a_busy_connection_that_is_kept_alive_is_not_cut_off(parser: str) -> None:
    """Whenever it is looked at, it may be in the head of a request, but never in the same."""
    async with served(parser, limits_s=SHORT) as server:
        reader, writer = await server.connect()
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.5
        while loop.time() < until:
            writer.write(HEAD)
            await asyncio.sleep(0.01)
            writer.write(b"Content-Length: 2\r\n\r\nhi")
            assert (await answer(reader)).endswith(b"2")
        writer.close()


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_that_arrives_while_the_server_stops_is_closed_at_once(
    parser: str, turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The server accepts a connection some turns of the loop before it stops. It waits for no such connection."""
    with sockets.socket() as client:
        client.setblocking(False)
        async with served(parser) as server:
            client.connect_ex(("127.0.0.1", server.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b"", "BlockingIOError: the connection is still open"
    assert not [record for record in caplog.records if "timeout graceful shutdown" in record.getMessage()]


# --- too many --------------------------------------------------------------------------------------------------------


async def test_idle_connections_make_room_for_one_with_a_request(parser: str) -> None:
    async with served(parser, max_connections=20) as server:
        idle = [await server.connect() for _ in range(60)]
        reader, writer = await server.connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nhi")
        assert (await answer(reader)).endswith(b"2")
        assert (await ended(idle[0][0])) == b"", "the one that waited longest is closed first"
        for _, each in [*idle, (reader, writer)]:
            each.close()


@pytest.mark.parametrize("path", SOCKETS)
async def test_live_websockets_are_not_closed_for_others(parser: str, path: str) -> None:
    async with served(parser, max_connections=5) as server:
        streams = [await server.upgraded(path) for _ in range(5)]
        for reader, _ in streams:
            assert (await answer(reader)).startswith(b"HTTP/1.1 101")
        late, late_writer = await server.connect()
        assert (await ended(late)).startswith(b"HTTP/1.1 503")
        for reader, writer in streams:
            writer.write(frame(0x81, b"hello"))
            assert await reader.readexactly(3) == b"\x81\x015"
        for _, writer in [*streams, (late, late_writer)]:
            writer.close()


async def test_calls_never_lack_a_file_descriptor() -> None:
    assert connections_within(1024, 100) == 1024 - 64 - 300
    assert connections_within(100_000, 100) == MAX_CONNECTIONS + 100
    assert connections_within(64, 100) == 16


async def test_no_descriptor_left_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    connection_limits.quiet_server_log()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(None)
    try:
        for _ in range(1000):
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": OSError(24)})
    finally:
        loop.set_exception_handler(before)
    assert len([line for line in caplog.messages if "out of system resource" in line]) == 1


# --- WebSockets ------------------------------------------------------------------------------------------------------


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a client, with a mask of zeros."""
    assert len(payload) < 126
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.mark.parametrize(
    ("flooding", "kind"),
    [
        (frame(0x89, b"x" * 100), "sends too many pings"),
        (frame(0x01, b"") + frame(0x00, b"") * 2000, "cuts a message into too many frames"),
    ],
)
@pytest.mark.parametrize("path", SOCKETS)
async def test_a_flood_of_frames_is_cut_off(
    parser: str, caplog: pytest.LogCaptureFixture, path: str, flooding: bytes, kind: str
) -> None:
    async with served(parser) as server:
        reader, writer = await server.upgraded(path)
        assert (await answer(reader)).startswith(b"HTTP/1.1 101")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing() and sent < 5_000:
                writer.write(flooding)
                await writer.drain()
                sent += 1
                await asyncio.sleep(0)
        assert sent < 5_000
        writer.close()
    assert sum(kind in line for line in caplog.messages) == 1


@pytest.mark.parametrize("path", SOCKETS)
async def test_some_pings_are_answered(parser: str, path: str) -> None:
    async with served(parser) as server:
        reader, writer = await server.upgraded(path)
        await answer(reader)
        for _ in range(20):
            writer.write(frame(0x89, b"hi"))
            assert await reader.readexactly(4) == b"\x8a\x02hi"
        writer.close()


async def test_a_taken_over_websocket_whose_peer_does_not_read_is_cut_off(
    parser: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(parser, limits_s=SHORT) as server:
        reader, writer = await server.upgraded("/direct-flood")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        async with asyncio.timeout(60):
            while "does not read" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ended(reader)
        writer.close()


async def test_an_upgrade_that_is_never_answered_is_cut_off(parser: str) -> None:
    async with served(parser, limits_s=SHORT) as server:
        reader, writer = await server.upgraded("/never")
        async with asyncio.timeout(60):
            assert not (await ended(reader)).startswith(b"HTTP/1.1 101")
        writer.close()


# --- the log of the server -------------------------------------------------------------------------------------------


async def test_nonsense_is_logged_once(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served(parser) as server:
        for _ in range(30):
            reader, writer = await server.connect()
            writer.write(b"nonsense\x1b[31m\r\n\r\n")
            await ended(reader)
            writer.close()
    assert sum("Invalid HTTP request" in line for line in caplog.messages) == 1


async def test_patience_is_for_one_phase_of_one_request() -> None:
    patience = PhaseTimeouts({Phase.HEAD: 10.0})
    assert not patience.is_over(Phase.HEAD, 1, 0.0)
    assert not patience.is_over(Phase.HEAD, 1, 10.0)
    assert patience.is_over(Phase.HEAD, 1, 10.1)
    assert not patience.is_over(Phase.HEAD, 2, 10.2), "the next request begins anew"
    assert not patience.is_over(Phase.OURS, 2, 11.0)
    assert not patience.is_over(Phase.OURS, 2, 1e9), "our own time is not the peer's fault"
    assert not patience.is_over(Phase.HEAD, 2, 1e9 + 1)
    assert HTTP_LIMITS_S[Phase.HEAD] == 10.0


async def test_a_peer_that_leaves_within_a_body_is_no_defect(parser: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(telephony_model="scripted")
    left = asyncio.Event()
    with contextlib.ExitStack() as stack:
        if parser == "h11":
            stack.enter_context(patch.dict(sys.modules, {"uvicorn.protocols.http.httptools_impl": None}))
        stack.enter_context(patch.object(Authenticator, "refuse", lambda *_, **__: left.set()))
        async with server.listening(create_app(RealtimeAgent(name="Desk"), settings=settings)) as address:
            port = int(address.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = HEAD.replace(b"/echo", b"/incoming-call").replace(b"here", b"127.0.0.1")
            writer.write(head + b"Content-Length: 100\r\n\r\nCallSid")
            await writer.drain()
            writer.close()
            async with asyncio.timeout(60):
                await left.wait()
    assert "Exception" not in caplog.text and "Traceback" not in caplog.text
