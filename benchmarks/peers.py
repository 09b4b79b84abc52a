"""Measures the effect of hostile peers on the server and on plain uvicorn: `python -m benchmarks.peers`.

Each attack runs against plain uvicorn and against uvicorn with `telephony.web.connection_limits`, each in its own
process. Memory is the growth of the process's resident set. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from telephony.web.server import MAX_MESSAGE_BYTES, server_config

__all__ = ["main"]

SERVERS = ("uvicorn", "ours")
Attack = Callable[[int, Path], Awaitable[str]]


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


def _serve(kind: str) -> None:
    app = Starlette(routes=[WebSocketRoute("/socket", _socket)])
    config = server_config(app, log_level="critical")
    if kind == "uvicorn":
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, ws="websockets-sansio", ws_per_message_deflate=False,
            ws_max_size=MAX_MESSAGE_BYTES, log_level="critical", access_log=False,
        )  # fmt: skip

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            print(self.servers[0].sockets[0].getsockname()[1], flush=True)

    Server(config).run()


@asynccontextmanager
async def _server(kind: str) -> AsyncIterator[tuple[int, Path]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "benchmarks.peers", "--serve", kind, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline()), Path(f"/proc/{process.pid}/status")
    finally:
        process.kill()
        await process.wait()


def _resident_mb(status: Path) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found[1]) / 1024


async def _slow_peers(port: int, status: Path) -> str:
    """300 peers send one byte of a header each second, for 30 s."""
    peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
    for _, writer in peers:
        writer.write(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(30):
        await asyncio.sleep(1)
        for reader, writer in peers:
            if not reader.at_eof() and not writer.is_closing():
                writer.write(b"x")
    still = sum(not reader.at_eof() and not writer.is_closing() for reader, writer in peers)
    for _, writer in peers:
        writer.close()
    return f"{still} of 300 open after 30 s"


async def _endless_head(port: int, status: Path) -> str:
    """A peer sends endless header lines, up to 200 MB."""
    before = _resident_mb(status)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n")
    line, sent = (b"X: " + b"x" * 1000 + b"\r\n") * 100, 0
    with contextlib.suppress(ConnectionError):
        while sent < 200_000_000 and not writer.is_closing():
            writer.write(line)
            await writer.drain()
            sent += len(line)
    writer.close()
    return f"{sent / 1e6:.1f} MB taken, memory + {_resident_mb(status) - before:.0f} MB"


async def _pings(port: int, status: Path) -> str:
    """A peer sends pings of 125 bytes for 10 s and reads nothing."""
    before = _resident_mb(status)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(
        b"GET /socket HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    pings, sent, loop = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 500, 0, asyncio.get_running_loop()
    until = loop.time() + 10
    with contextlib.suppress(ConnectionError, TimeoutError):
        while loop.time() < until and not writer.is_closing():
            writer.write(pings)
            async with asyncio.timeout(1):
                await writer.drain()
            sent += 500
    grown = _resident_mb(status) - before
    writer.transport.abort()
    return f"{sent} pings taken, memory + {grown:.0f} MB"


ATTACKS: dict[str, Attack] = {
    "slow headers": _slow_peers,
    "a head without an end": _endless_head,
    "pings, and nothing read": _pings,
}


async def _run() -> None:
    for name, attack in ATTACKS.items():
        for kind in SERVERS:
            async with _server(kind) as (port, status):
                print(f"{name:<24} {kind:<8} {await attack(port, status)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    if kind := parser.parse_args().serve:
        _serve(kind)
    else:
        asyncio.run(_run())


if __name__ == "__main__":
    main()
