"""Connections through a proxy: the choice of the proxy, and its answers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from websockets.http11 import Request

from realtime_core.connection.websocket import WebSocketConnection, connect, serve
from realtime_core.errors import ConnectFailed

pytestmark = pytest.mark.real_time

HOST = "realtime.example"
"""A name that no resolver knows: only the proxy of the test leads there."""


@dataclass(eq=False)
class Proxy:
    """An HTTP proxy that leads to one port of this machine, for every host."""

    target: int
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    port: int = 0
    heads: list[str] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer)
            if b" 200 " in self.answer:
                server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pipe(reader, server_writer))
                    group.create_task(self._pipe(server_reader, writer))
        finally:
            writer.close()
            await writer.wait_closed()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def proxy_to(target: int, **options: Any) -> AsyncIterator[Proxy]:
    proxy = Proxy(target, **options)
    async with await asyncio.start_server(proxy.accept, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_proxy", "http_proxy", "https_proxy", "no_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def echo(connection: WebSocketConnection, request: Request) -> None:
    await connection.run(lambda message: connection.send(str(message)))


async def said_back(connection: WebSocketConnection) -> str:
    got: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    run = asyncio.create_task(connection.run(lambda message: got.set_result(str(message))))
    connection.send("hello")
    async with asyncio.timeout(60):
        text = await got
        connection.close()
        await run
    return text


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ws_proxy", "http_proxy"])
async def test_the_environment_names_the_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(echo) as server, proxy_to(server.port) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        monkeypatch.setenv(variable, address)
        assert await said_back(await connect(f"ws://{HOST}:8000/v1/realtime")) == "hello"
    assert proxy.heads == [f"CONNECT {HOST}:8000 HTTP/1.1\r\nHost: {HOST}:8000\r\n\r\n"]


async def test_tls_goes_through_the_proxy_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(theirs)
    authority.configure_trust(ours)
    async with serve(echo, ssl=theirs) as server, proxy_to(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await said_back(await connect(f"wss://{HOST}/v1/realtime", ssl=ours)) == "hello"
    assert proxy.heads[0].startswith(f"CONNECT {HOST}:443 ")


async def test_the_proxys_user_and_password_are_sent_to_it() -> None:
    async with serve(echo) as server, proxy_to(server.port) as proxy:
        connection = await connect(f"ws://{HOST}/", proxy=f"http://ada:p%40ss@127.0.0.1:{proxy.port}")
        assert await said_back(connection) == "hello"
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'ada:p@ss').decode()}\r\n" in proxy.heads[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_needs_no_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serve(echo) as server:
        assert await said_back(await connect(f"ws://{host}:{server.port}/")) == "hello"


async def test_no_proxy_names_hosts_that_are_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy_to(9) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", HOST)
        with pytest.raises(ConnectFailed, match="cannot be reached"):
            await connect(f"wss://{HOST}/")
        with pytest.raises(ConnectFailed, match="cannot be reached"):
            await connect(f"wss://{HOST}/", proxy=None)
    assert proxy.heads == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        (b"x" * 20_000, "the answer is not HTTP"),
        (b"", "it ended the connection"),
    ],
)
async def test_a_proxy_that_refuses_is_named_with_its_reason(answer: bytes, reason: str) -> None:
    async with proxy_to(9, answer=answer) as proxy:
        with pytest.raises(ConnectFailed) as failed:
            await connect(f"wss://{HOST}/", proxy=f"http://ada:secret@127.0.0.1:{proxy.port}")
    message = str(failed.value)
    assert reason in message and f"127.0.0.1:{proxy.port}" in message and f"NO_PROXY={HOST}" in message
    assert "secret" not in message


@pytest.mark.parametrize("address", ["ftp://h:1", "http://", "socks5://ada:secret@h:1", "http://ada@h:1", "http://["])
async def test_an_address_that_is_no_http_proxy_is_refused(address: str) -> None:
    with pytest.raises(ConnectFailed, match="proxy") as failed:
        await connect(f"wss://{HOST}/", proxy=address)
    assert "secret" not in str(failed.value)
