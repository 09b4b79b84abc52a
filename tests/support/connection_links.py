"""The adapters of `Connection` for `test_connection_conformance`, each linked to a peer that can also misbehave.

The sockets' peer is its own reader and writer over asyncio streams, so that it reads only within `receive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.connection.websocket import WebSocketConnection, connect, serve
from telephony.simulator.hosting import Host
from telephony.web import server_websocket
from telephony.web.connection import StarletteConnection, accept
from telephony.web.connection_limits import ConnectionLimits
from telephony.web.server_websocket import DirectConnection

MAX_MESSAGE_BYTES = 2**20
CLOSE_TIMEOUT_S = 0.3


class Peer(ABC):
    """The other end. It reads, and so answers CLOSE, only within `receive`."""

    @abstractmethod
    async def send(self, message: str | bytes, *, fragments: int = 1) -> None: ...

    @abstractmethod
    async def receive(self) -> str | bytes | Close:
        """The next message, or how it ended: the other side's code and reason, or 1006 where there was no CLOSE."""

    @abstractmethod
    async def close(self, code: int | None, reason: str = "") -> None: ...

    @abstractmethod
    def break_(self) -> None: ...


@dataclass
class Link:
    """One connection under test and its peer. `run` must be used in place of `connection.run`."""

    connection: Connection
    peer: Peer
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, on_message: MessageHandler) -> Close:
        try:
            return await self.connection.run(on_message)
        finally:
            self.over.set()


class MemoryPeer(Peer):
    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection
        self._inbox: asyncio.Queue[str | bytes | Close] = asyncio.Queue()
        connection.pause()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        def on_message(message: str | bytes) -> None:
            self._inbox.put_nowait(message)
            self._connection.pause()

        self._inbox.put_nowait(await self._connection.run(on_message))

    async def send(self, message: str | bytes, *, fragments: int = 1) -> None:
        if isinstance(message, str):
            self._connection.send(message)
        else:
            self._connection.send_binary(message)

    async def receive(self) -> str | bytes | Close:
        self._connection.resume()
        return await self._inbox.get()

    async def close(self, code: int | None, reason: str = "") -> None:
        assert code is not None
        self._connection.close(code, reason)

    def break_(self) -> None:
        self._connection.break_()


class SocketPeer(Peer):
    def __init__(self, protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._events: list[Frame | Request | Response] = []

    @classmethod
    async def client(cls, port: int) -> SocketPeer:
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"), max_size=None)
        peer = cls(protocol, *await asyncio.open_connection("127.0.0.1", port))
        protocol.send_request(protocol.connect())
        peer._write()
        assert isinstance(await peer._event(), Response)
        return peer

    @classmethod
    async def server(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> SocketPeer:
        protocol = ServerProtocol(max_size=None)
        peer = cls(protocol, reader, writer)
        request = await peer._event()
        assert isinstance(request, Request)
        assert "Sec-WebSocket-Extensions" not in request.headers
        protocol.send_response(protocol.accept(request))
        peer._write()
        return peer

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()

    async def _event(self) -> Frame | Request | Response | None:
        while not self._events:
            try:
                data = await self._reader.read(65536)
            except OSError:
                return None
            if not data:
                return None
            self._protocol.receive_data(data)
            self._events += self._protocol.events_received()
        return self._events.pop(0)

    async def send(self, message: str | bytes, *, fragments: int = 1) -> None:
        data = message.encode() if isinstance(message, str) else message
        size = max(1, -(-len(data) // fragments))
        first, *rest = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        (self._protocol.send_text if isinstance(message, str) else self._protocol.send_binary)(first, fin=not rest)
        while rest:
            self._protocol.send_continuation(rest.pop(0), fin=not rest)
        self._write()
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> str | bytes | Close:
        while True:
            frame = await self._event()
            self._write()
            if frame is None:
                return Close(1006, "", "network")
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.CLOSE:
                assert self._protocol.close_rcvd is not None
                self._writer.close()
                return Close(int(self._protocol.close_rcvd.code), self._protocol.close_rcvd.reason, "peer")
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                assert frame.fin
                return bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)

    async def close(self, code: int | None, reason: str = "") -> None:
        self._protocol.send_close(code, reason)
        self._write()

    def break_(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def memory_link() -> AsyncIterator[Link]:
    ours, theirs = memory_pair(
        close_timeout_s=CLOSE_TIMEOUT_S, max_message_bytes=MAX_MESSAGE_BYTES, max_buffered_bytes=4 * MAX_MESSAGE_BYTES
    )
    peer = MemoryPeer(theirs)
    yield Link(ours, peer)
    peer.task.cancel()
    await asyncio.gather(peer.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def websocket_client_link() -> AsyncIterator[Link]:
    peers: asyncio.Queue[SocketPeer] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.put_nowait(await SocketPeer.server(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    connection = await connect(
        f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/",
        max_message_bytes=MAX_MESSAGE_BYTES,
        close_timeout_s=CLOSE_TIMEOUT_S,
        max_buffered_bytes=4 * MAX_MESSAGE_BYTES,
    )
    peer = await peers.get()
    yield Link(connection, peer)
    server.close()
    peer.break_()
    await connection.lost


@contextlib.asynccontextmanager
async def websocket_server_link() -> AsyncIterator[Link]:
    accepted: asyncio.Queue[tuple[Connection, asyncio.Event]] = asyncio.Queue()

    async def handler(connection: WebSocketConnection, request: Request) -> None:
        over = asyncio.Event()
        accepted.put_nowait((connection, over))
        await over.wait()

    async with serve(
        handler,
        max_message_bytes=MAX_MESSAGE_BYTES,
        close_timeout_s=CLOSE_TIMEOUT_S,
        max_buffered_bytes=4 * MAX_MESSAGE_BYTES,
    ) as server:
        peer = await SocketPeer.client(server.port)
        connection, over = await accepted.get()
        yield Link(connection, peer, over)
        over.set()
        peer.break_()


Accepted = asyncio.Queue[tuple[Connection, asyncio.Event]]


Accept = Callable[[WebSocket], Awaitable[Connection]]


async def through_starlette(websocket: WebSocket) -> Connection:
    await websocket.accept()
    return StarletteConnection(websocket, close_timeout_s=CLOSE_TIMEOUT_S, max_buffered_bytes=4 * MAX_MESSAGE_BYTES)


def starlette_app(accepted: Accepted, accept: Accept = through_starlette) -> Starlette:
    async def endpoint(websocket: WebSocket) -> None:
        over = asyncio.Event()
        accepted.put_nowait((await accept(websocket), over))
        await over.wait()

    return Starlette(routes=[WebSocketRoute("/", endpoint)])


@contextlib.asynccontextmanager
async def hosted_link() -> AsyncIterator[Link]:
    accepted: Accepted = asyncio.Queue()
    async with Host(starlette_app(accepted), max_message_bytes=MAX_MESSAGE_BYTES) as host:
        theirs = await host.connect("ws://127.0.0.1:1/", {})
        peer = MemoryPeer(theirs)
        connection, over = await accepted.get()
        yield Link(connection, peer, over)
        over.set()
        peer.task.cancel()
        await asyncio.gather(peer.task, return_exceptions=True)


def starlette_link() -> AbstractAsyncContextManager[Link]:
    return _served(through_starlette, ws="websockets-sansio")


@contextlib.asynccontextmanager
async def direct_link() -> AsyncIterator[Link]:
    with (
        patch.object(server_websocket, "_CLOSE_S", CLOSE_TIMEOUT_S),
        patch.object(server_websocket, "_MAX_BUFFERED_BYTES", 4 * MAX_MESSAGE_BYTES),
    ):
        async with _served(accept, ws=ConnectionLimits(100).ws) as link:
            assert isinstance(link.connection, DirectConnection)
            yield link


@contextlib.asynccontextmanager
async def _served(accept: Accept, *, ws: Any) -> AsyncIterator[Link]:
    """An application with one endpoint on uvicorn."""
    accepted: Accepted = asyncio.Queue()
    config = uvicorn.Config(
        starlette_app(accepted, accept),
        ws=ws,
        ws_per_message_deflate=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    # What `Server.serve` does, without its signal handlers and its clock that ticks ten times a second.
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup(sockets=[listening])
        peer = await SocketPeer.client(listening.getsockname()[1])
        connection, over = await accepted.get()
        yield Link(connection, peer, over)
        over.set()
        peer.break_()
        await server.shutdown(sockets=[listening])
        assert not server.server_state.connections


LINKS: dict[str, Callable[[], AbstractAsyncContextManager[Link]]] = {
    "memory": memory_link,
    "websocket-client": websocket_client_link,
    "websocket-server": websocket_server_link,
    "starlette": starlette_link,
    "direct": direct_link,
    "starlette in memory": hosted_link,
}
