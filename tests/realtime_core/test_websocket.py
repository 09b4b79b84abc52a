"""The WebSocket adapter beyond `Connection`: opening, refusing, keepalive, and the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock, patch

import pytest
import trustme
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from realtime_core.connection import Close
from realtime_core.connection.frames import text_frame
from realtime_core.connection.websocket import WebSocketConnection, connect, serve
from realtime_core.errors import ConnectFailed
from tests.support.connection_links import SocketPeer
from tests.support.twilio_world import until

pytestmark = pytest.mark.real_time


async def echo(connection: WebSocketConnection, request: Request) -> None:
    await connection.run(lambda message: connection.send(str(message)))


@contextlib.asynccontextmanager
async def raw_server(answer: bytes, *, then_close: bool = True) -> AsyncIterator[str]:
    """A server that answers any request with these bytes."""

    over: asyncio.Queue[None] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not then_close:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        over.put_nowait(None)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await over.get()


async def test_client_and_server_exchange_messages() -> None:
    seen: list[Request] = []

    async def handler(connection: WebSocketConnection, request: Request) -> None:
        seen.append(request)
        assert connection.subprotocol == "realtime"
        await echo(connection, request)

    async with serve(handler, subprotocols=["realtime"]) as server:
        connection = await connect(
            f"ws://127.0.0.1:{server.port}/v1/realtime?model=x",
            headers={"Authorization": "Bearer key"},
            subprotocols=["other", "realtime"],
        )
        assert connection.subprotocol == "realtime"
        got: list[str | bytes] = []

        def on_message(message: str | bytes) -> None:
            got.append(message)
            connection.close(4000, "heard it")

        connection.send("hello")
        assert await connection.run(on_message) == Close(4000, "heard it", "us")
        assert got == ["hello"]
        assert seen[0].path == "/v1/realtime?model=x"
        assert seen[0].headers["Authorization"] == "Bearer key"
        assert "Sec-WebSocket-Extensions" not in seen[0].headers


async def test_awaiting_serve_starts_it_and_close_ends_it() -> None:
    server = await serve(echo)
    port = server.port
    async with server:
        assert server.port == port
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        await connect(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\n\r\nbad key", 401, r"401 Unauthorized: bad key Check the"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 503, r"refused the connection: 503 Serv"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "200 OK"),
        (b"220 smtp.example.com ESMTP\r\n", None, "does not speak WebSocket"),
        (b"", None, "does not speak WebSocket"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", None, "not speak WebSocket"),
    ],
)
async def test_a_refused_handshake_says_why(answer: bytes, status: int | None, message: str) -> None:
    async with raw_server(answer) as url:
        with pytest.raises(ConnectFailed, match=message) as caught:
            await connect(url)
        assert caught.value.status == status


async def test_a_server_that_never_answers_is_given_up() -> None:
    async with raw_server(b"", then_close=False) as url:
        with pytest.raises(ConnectFailed, match=r"did not answer within 0\.05 s"):
            await connect(url, open_timeout_s=0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1", "ws://"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConnectFailed, match="is not a ws: or wss: address"):
        await connect(url)


@pytest.mark.parametrize("end", range(1, 8))
async def test_frames_behind_the_handshake_are_read_wherever_the_segments_end(end: int) -> None:
    """A server may send its first message in the segment of its handshake."""
    first = text_frame(b'{"type":"session.created"}') + text_frame(b"second")
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        answer = b"".join(protocol.data_to_send()) + first
        at = len(answer) - len(first) - 4 + end
        writer.write(answer[:at])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(answer[at:])
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    got: asyncio.Queue[str | bytes] = asyncio.Queue()
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        connection = await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        running = asyncio.create_task(connection.run(got.put_nowait))
        assert [await got.get(), await got.get()] == ['{"type":"session.created"}', "second"]
        running.cancel()
        await over.wait()


@pytest.mark.parametrize("body", [b"no\r\n\r\nentry", b"\x81\x02no", b"x" * 100_000])
async def test_the_body_of_a_refusal_is_not_read_as_frames(body: bytes) -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with raw_server(head + body) as url:
        with pytest.raises(ConnectFailed) as caught:
            await connect(url)
    assert caught.value.status == 403


async def test_several_messages_leave_in_one_write() -> None:
    async with serve(echo) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/")
        writes: list[bytes] = []
        transport = connection._transport
        with patch.object(connection, "_transport", Mock(wraps=transport, write=writes.append)):
            connection.send_all(["media", "mark"])
        assert len(writes) == 1
        connection._drop()


async def test_the_server_may_answer_in_place_of_the_upgrade() -> None:
    def process_request(request: Request) -> Response | None:
        if request.headers.get("Authorization") == "Bearer right":
            return None
        return Response(401, "Unauthorized", Headers({"Content-Length": "4"}), b"who?")

    async with serve(echo, process_request=process_request) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        with pytest.raises(ConnectFailed, match="401 Unauthorized: who"):
            await connect(url)
        connection = await connect(url, headers={"Authorization": "Bearer right"})
        connection.close()
        assert (await connection.run(lambda _: None)).by == "us"


async def test_leaving_the_server_closes_what_is_open_and_ends_every_handler() -> None:
    ended: list[str] = []

    async def stubborn(connection: WebSocketConnection, request: Request) -> None:
        try:
            assert await connection.run(lambda _: None) == Close(1001, "going away", "us")
            await asyncio.Event().wait()
        finally:
            ended.append("handler")

    async with serve(stubborn, close_timeout_s=0.1) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/")
        running = asyncio.create_task(connection.run(lambda _: None))
        await asyncio.sleep(0)
    assert ended == ["handler"]
    assert await running == Close(1001, "going away", "peer")


async def test_a_failed_handler_is_reported_and_its_connection_closed_with_1011() -> None:
    result: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: result.append(context))

    async def fails(connection: WebSocketConnection, request: Request) -> None:
        raise LookupError("the handler's own")

    async with serve(fails) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/path")
        assert await connection.run(lambda _: None) == Close(1011, "internal error", "peer")
    assert result[0]["message"] == "The handler of /path failed"


async def test_a_peer_without_pongs_is_given_up_unless_reading_is_paused() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(await SocketPeer.server(reader, writer))

    peers: list[SocketPeer] = []
    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listening:
        connection = await connect(
            f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", ping_interval_s=0.02, ping_timeout_s=0.04
        )
        await asyncio.sleep(0.15)
        assert not connection.lost.done()
        started = asyncio.get_running_loop().time()
        assert await connection.run(lambda _: None) == Close(1006, "no answer to a ping within 0.04 s", "network")
        assert asyncio.get_running_loop().time() - started < 0.5
        peers[0].break_()


async def test_without_a_time_limit_for_pongs_a_peer_without_pongs_stays() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = await SocketPeer.server(reader, writer)
        for _ in range(3):
            frame = await peer._event()
            assert isinstance(frame, Frame) and frame.opcode is Opcode.PING
        pinged.set()
        writer.close()

    pinged = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        connection = await connect(url, ping_interval_s=0.01, ping_timeout_s=None)
        async with asyncio.timeout(5):
            close = await connection.run(lambda _: None)
        assert pinged.is_set() and "ping" not in close.reason


@pytest.mark.parametrize(("limit", "received", "code"), [(None, 1001, 1000), (1000, 0, 1009)])
async def test_a_message_may_have_any_size_without_a_limit(limit: int | None, received: int, code: int) -> None:
    messages: list[str | bytes] = []

    async def talkative(connection: WebSocketConnection, request: Request) -> None:
        connection.send("x" * 1001)
        closes.append(await connection.run(lambda _: None))

    closes: list[Close] = []
    async with serve(talkative) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/", max_message_bytes=limit)

        def take(message: str | bytes) -> None:
            messages.append(message)
            connection.close()

        await connection.run(take)
    assert (sum(map(len, messages)), [close.code for close in closes]) == (received, [code])


async def test_a_peer_that_answers_pings_stays() -> None:
    async with serve(echo, ping_interval_s=None) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/", ping_interval_s=0.01, ping_timeout_s=0.02)
        running = asyncio.create_task(connection.run(lambda _: None))
        await asyncio.sleep(0.1)
        assert not running.done()
        connection.close()
        await running


async def test_text_that_is_not_utf_8_closes_with_1007_and_a_broken_frame_with_1002() -> None:
    closes: list[Close] = []
    closed = asyncio.Event()

    async def handler(connection: WebSocketConnection, request: Request) -> None:
        closes.append(await connection.run(lambda _: None))
        closed.set()

    async with serve(handler) as server:
        for frame, code in ((b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007), (b"\x83\x80\x00\x00\x00\x00", 1002)):
            peer = await SocketPeer.client(server.port)
            peer._writer.write(frame)
            answer = await peer.receive()
            assert isinstance(answer, Close)
            assert answer.code == code
            await closed.wait()
            closed.clear()
            assert (closes[-1].code, closes[-1].by) == (code, "us")


async def test_a_connection_that_does_not_run_can_be_closed() -> None:
    async with serve(echo) as server:
        connection = await connect(f"ws://127.0.0.1:{server.port}/")
        connection.close()
        await asyncio.wait_for(connection.lost, 1)


@pytest.mark.parametrize("turns", range(5))
def test_a_client_that_connects_in_the_moment_of_close_leaves_no_socket_behind(turns: int) -> None:
    """In one of the first turns of the loop, the server has accepted the socket and has not made its transport."""

    async def main() -> None:
        async with serve(echo) as server:
            client = socket.create_connection(("127.0.0.1", server.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with client, contextlib.suppress(ConnectionResetError):
            client.settimeout(5)
            assert client.recv(1) == b""

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(warning.message) for warning in seen if issubclass(warning.category, ResourceWarning)] == []


def _certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("closes", [True, False], ids=["the server closes", "the time is over"])
async def test_a_client_that_begins_no_tls_handshake_neither_fails_nor_delays_the_server(closes: bool) -> None:
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    async with asyncio.timeout(60):
        async with serve(echo, ssl=_certified(), open_timeout_s=600 if closes else 0.05) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: bool(server._connections))
            if not closes:
                assert await reader.read() == b"", "the server ends the connection"
                assert not server._connections
        writer.close()
    assert errors == []


def test_cancelled_at_any_moment_it_leaves_no_socket_behind() -> None:
    async def main() -> None:
        async with serve(echo) as server:
            turns = opened = 0
            while opened < 5:
                turns += 1
                connecting = asyncio.create_task(connect(f"ws://127.0.0.1:{server.port}/"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                connecting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    connection = await connecting
                    connection.close()
                    await connection.run(lambda message: None)
                    opened += 1

    with warnings.catch_warnings(record=True) as result:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(main())
        gc.collect()
    assert [str(warning.message) for warning in result if warning.category is ResourceWarning] == []
