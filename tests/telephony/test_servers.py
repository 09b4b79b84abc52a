"""ASGI servers report the end of a WebSocket in different ways. A call continues or ends in the same way on all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support import commands
from tests.support.environment import ANY_LOAD

pytestmark = pytest.mark.real_time

DESK = """
from realtime_core import RealtimeAgent
from telephony import create_app
app = create_app(RealtimeAgent(name="Desk"))
"""
SERVERS = {
    "uvicorn": ("uvicorn", ["desk:app", "--port", "{port}"]),
    "uvicorn websockets": ("websockets", ["desk:app", "--port", "{port}", "--ws", "websockets"]),
    "uvicorn websockets-sansio": ("websockets", ["desk:app", "--port", "{port}", "--ws", "websockets-sansio"]),
    "uvicorn wsproto": ("wsproto", ["desk:app", "--port", "{port}", "--ws", "wsproto"]),
    "hypercorn": ("hypercorn", ["desk:app", "--bind", "127.0.0.1:{port}"]),
    "granian": ("granian", ["desk:app", "--interface", "asgi", "--port", "{port}"]),
}


@dataclass
class Server:
    process: subprocess.Popen[str]
    base: str
    log: Path

    async def says(self, words: str, *, within_s: float = 60) -> str:
        async with asyncio.timeout(within_s):
            while words not in (text := self.log.read_text()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return text

    async def post(self, url: str, **form: str) -> str:
        body = urllib.parse.urlencode(form).encode()
        return (await asyncio.to_thread(self._fetch, url, body)).decode()

    async def calls(self) -> int:
        return int(json.loads(await asyncio.to_thread(self._fetch, f"{self.base}/readyz"))["calls"])

    def _fetch(self, url: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            read: bytes = answer.read()
            return read


@contextmanager
def serving(name: str, folder: Path, **environment: str) -> Iterator[Server]:
    package, arguments = SERVERS[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "desk.py").write_text(DESK)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TWILIO_", "TELEPHONY_", "OPENAI_", "PUBLIC_"))}
    program = name.partition(" ")[0]
    command = ["-m", program, *(it.format(port=port) for it in arguments)]
    log = folder / "log"
    with log.open("wb") as output:
        # The other servers start their workers with the command line of the interpreter, so they cannot be forked.
        options: dict[str, Any] = {
            "cwd": folder, "env": {**clean, "PYTHONPATH": str(Path.cwd()), **ANY_LOAD, **environment},
            "stdout": output, "stderr": output, "process_group": 0,
        }  # fmt: skip
        if program == "uvicorn":
            process = commands.start(*command, **options)
        else:
            process = subprocess.Popen([sys.executable, "-W", "ignore", *command], text=True, **options)
    try:
        server = Server(process, f"http://127.0.0.1:{port}", log)
        deadline = time.monotonic() + 60
        while True:
            try:
                server._fetch(f"{server.base}/healthz")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # hypercorn and granian have workers
        process.wait()


async def call(server: Server, sid: str) -> tuple[ClientConnection, str]:
    """A call whose stream is there, and the address that says what comes after it."""
    twiml = await server.post(f"{server.base}/incoming-call", CallSid=sid, From="+14155550101")
    url, action = re.search(r' url="([^"]*)"', twiml), re.search(r'action="([^"]*)"', twiml)
    assert url is not None and action is not None, twiml
    phone = await connect(url[1], proxy=None)
    start = {
        "accountSid": "AC1", "streamSid": "MZ1", "callSid": sid, "tracks": ["inbound"], "customParameters": {},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }  # fmt: skip
    await phone.send(json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start}))
    media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "/" * 216}
    await phone.send(json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": "MZ1", "media": media}))
    async with asyncio.timeout(60):
        await phone.recv()  # the agent, or its sound: the call is live
    return phone, action[1]


async def breaks(phone: ClientConnection) -> None:
    phone.transport.abort()


async def closes_without_a_stop(phone: ClientConnection) -> None:
    await phone.close(1000)


async def goes_away(phone: ClientConnection) -> None:
    await phone.close(1001, "Going away")


ENDS: list[Callable[[ClientConnection], object]] = [breaks, closes_without_a_stop, goes_away]


@pytest.mark.parametrize("name", SERVERS)
async def test_only_a_stop_is_a_hang_up(name: str, tmp_path: Path) -> None:
    with serving(name, tmp_path) as server:
        for number, end in enumerate(ENDS):
            sid = f"CA{number}"
            phone, action = await call(server, sid)
            await end(phone)  # type: ignore[misc]
            await server.says(f"Call {sid} lost its media stream")
            answer = await server.post(action, CallSid=sid, CallStatus="in-progress")
            assert "<Stream" in answer, f"{name}, {end.__name__}"
            await server.post(f"{server.base}/call-status", CallSid=sid, CallStatus="completed")
        phone, action = await call(server, "CA9")
        await phone.send(json.dumps({"event": "stop", "sequenceNumber": "3", "streamSid": "MZ1", "stop": {}}))
        await phone.close()
        async with asyncio.timeout(60):
            while await server.calls():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        answer = await server.post(action, CallSid="CA9", CallStatus="in-progress")
        assert "<Stream" not in answer and "<Hangup" in answer
