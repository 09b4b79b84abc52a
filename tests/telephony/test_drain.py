"""SIGTERM to a real process with a real WebSocket: the live call continues, new ones are refused, then the process
ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from realtime_core import RealtimeAgent
from telephony import create_app
from telephony.demo.environment import child_environment
from telephony.settings import Settings
from telephony.simulator import SimulatedTwilio
from telephony.urls import websocket_address
from tests.support import commands
from tests.support.environment import ANY_LOAD
from tests.support.servers import DESK, uvicorn

MOUNTED = (
    DESK
    + """
from fastapi import FastAPI
desks = [app, create_app(RealtimeAgent(name="Other"))]
from contextlib import AsyncExitStack, asynccontextmanager
@asynccontextmanager
async def lifespan(app):
    async with AsyncExitStack() as stack:
        for desk in desks:
            await stack.enter_async_context(desk.router.lifespan_context(desk))
        yield
app = FastAPI(lifespan=lifespan)
app.mount("/other", desks[1])
app.mount("/", desks[0])
"""
)
FRAME = "/" * 213 + "w=="  # 160 samples of silence
START = {
    "accountSid": "AC1",
    "callSid": "CA1",
    "streamSid": "MZ1",
    "tracks": ["inbound"],
    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    "customParameters": {"caller": "+1", "called": "+2"},
}


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`telephony serve`."""
    environment = child_environment(os.environ, {"LOG_FORMAT": "json", **ANY_LOAD, **settings})
    command, pipe = ("-m", "telephony", "serve", "--port", "0", "--json"), subprocess.PIPE
    with commands.start(*command, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["listening"]
        finally:
            if process.poll() is None:
                process.kill()


both = pytest.mark.parametrize("server", [serve, uvicorn])
Server = Callable[..., AbstractContextManager[tuple[subprocess.Popen[str], str]]]


def good_end(server: Server) -> int:
    """uvicorn ends by the signal that it was sent, also in good order."""
    return 0 if server is serve else -signal.SIGTERM


@contextmanager
def live_call(address: str) -> Iterator[ClientConnection]:
    with connect(websocket_address(address, "/media-stream"), proxy=None) as phone:
        phone.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": START}
        phone.send(json.dumps(start))
        while json.loads(phone.recv(timeout=60))["event"] != "media":
            pass  # the agent greets: the call is live
        yield phone
        with suppress(ConnectionClosed):
            phone.send(json.dumps({"event": "stop", "sequenceNumber": "9", "streamSid": "MZ1", "stop": {}}))


def ask(url: str, data: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def frame(chunk: int) -> str:
    media = {"track": "inbound", "chunk": str(chunk), "timestamp": str(20 * chunk), "payload": FRAME}
    return json.dumps({"event": "media", "sequenceNumber": str(chunk + 1), "streamSid": "MZ1", "media": media})


def talk(phone: ClientConnection, seconds: float) -> list[str]:
    """Sends silence as a telephone does, for this number of seconds or until the stream is closed. Returns the received
    events.
    """
    events: list[str] = []
    first = time.monotonic()
    chunk = 0
    while time.monotonic() - first < seconds:
        phone.send(frame(chunk := chunk + 1))
        try:
            message: Any = json.loads(phone.recv(timeout=0.02))
        except TimeoutError:
            continue
        events.append(message["event"])
        if message["event"] == "mark":
            phone.send(json.dumps({**message, "sequenceNumber": "1"}))
    return events


def close_code(phone: ClientConnection, within_s: float) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        talk(phone, within_s)
    return closed.value.rcvd.code if closed.value.rcvd else None


@both
def test_a_live_call_continues_and_then_says_goodbye(server: Server, tmp_path: Path) -> None:
    settings = {"TELEPHONY_DRAIN_S": "1.5", "TELEPHONY_FAREWELL_S": "15"}
    with server(tmp_path, **settings) as (process, address), live_call(address) as phone:
        process.send_signal(signal.SIGTERM)
        assert "media" in talk(phone, 0.7), "the agent speaks on"
        assert ask(f"{address}/readyz")[0] == 503
        assert ask(f"{address}/healthz")[0] == 200
        status, document = ask(f"{address}/incoming-call", b"CallSid=CA2&From=%2B1&To=%2B2")
        assert (status, "<Reject" in document) == (200, True)
        assert process.poll() is None
        assert close_code(phone, 60) == 1000, "hung up by us in good order, not cut off with 1012"
        _, err = process.communicate(timeout=60)
        assert process.returncode == good_end(server)
        assert "Draining" in err


@both
def test_a_call_that_ends_by_itself_ends_the_drain(server: Server, tmp_path: Path) -> None:
    with server(tmp_path, TELEPHONY_DRAIN_S="600") as (process, address):
        with live_call(address) as phone:
            process.send_signal(signal.SIGTERM)
            talk(phone, 0.3)
            assert process.poll() is None
        process.communicate(timeout=60)
        assert process.returncode == good_end(server)


@both
def test_a_second_signal_ends_at_once(server: Server, tmp_path: Path) -> None:
    with server(tmp_path, TELEPHONY_DRAIN_S="600") as (process, address), live_call(address) as phone:
        process.send_signal(signal.SIGTERM)
        talk(phone, 0.3)
        while ask(f"{address}/readyz")[0] != 503:  # two signals at once would count as one
            talk(phone, 0.1)
        process.send_signal(signal.SIGTERM)
        # Nothing is sent here. uvicorn closes the socket directly after its CLOSE frame, and a frame that arrives after
        # that resets the connection, which can lose the CLOSE frame.
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                phone.recv(timeout=60)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM


def test_applications_that_are_mounted_together_are_drained_together(tmp_path: Path) -> None:
    settings = {"TELEPHONY_DRAIN_S": "1.5", "TELEPHONY_FAREWELL_S": "15"}
    with (
        uvicorn(tmp_path, desk=MOUNTED, **settings) as (process, address),
        live_call(address) as phone,
    ):
        process.send_signal(signal.SIGTERM)
        assert close_code(phone, 60) == 1000
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM


def test_without_a_call_uvicorn_ends_at_once(tmp_path: Path) -> None:
    with uvicorn(tmp_path, TELEPHONY_DRAIN_S="600") as (process, _):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM


def test_a_server_that_cannot_be_drained_says_so_at_its_start(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(telephony_model="scripted", telephony_allow_unsigned=True)
    with TestClient(create_app(RealtimeAgent(name="Desk"), settings=settings)):
        result = [it for it in caplog.records if "cannot be drained" in it.getMessage()]
        assert [it.levelname for it in result] == ["WARNING"]


@pytest.mark.virtual_time
async def test_a_simulation_is_no_server_to_be_drained(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(telephony_model="scripted", telephony_allow_unsigned=True)
    app = create_app(RealtimeAgent(name="Desk"), settings=settings)
    async with SimulatedTwilio() as twilio, twilio.serving(app):
        assert "cannot be drained" not in caplog.text
