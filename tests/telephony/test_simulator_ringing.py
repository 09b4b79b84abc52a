"""Ringing a real server over loopback sockets: webhook, signatures, TwiML, stream; also as a separate process."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from twilio.request_validator import RequestValidator

from realtime_core.errors import ConnectFailed
from telephony.audio.files import read_ulaw
from telephony.errors import RingFailed
from telephony.simulator import Handset, Line, MediaPeer, ring
from telephony.twilio.media_stream import encode_mark, encode_media
from telephony.urls import websocket_address

LOUD = b"\x10\x90" * 800
STREAM = (
    '<Stream url="{ws}/media-stream?gone=1#f"><Parameter name="k" value="&lt;&amp;"/><Parameter name="m"/></Stream>'
)
TWIML = f"<Response><Connect>{STREAM}</Connect></Response>"
TOKEN = "12345"


@dataclass
class Twin:
    """A server that plays 200 ms and a mark, and stores the received messages."""

    twiml: str = TWIML
    content_type: str = "text/xml"
    status: int = 200
    nonsense: tuple[str | bytes, ...] = ()
    address: str = ""
    form: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    stream_headers: dict[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def webhook(self, request: Request) -> Response:
        self.form, self.headers = dict(await request.form()), dict(request.headers)
        document = self.twiml.format(ws="ws" + self.address.removeprefix("http"))
        return Response(document, self.status, media_type=self.content_type)

    async def stream(self, websocket: WebSocket) -> None:
        self.stream_headers = dict(websocket.headers)
        await websocket.accept()
        try:
            while True:
                message = json.loads(await websocket.receive_text())
                self.messages.append(message)
                if message["event"] == "start":
                    for each in self.nonsense:
                        await (websocket.send_text(each) if isinstance(each, str) else websocket.send_bytes(each))
                    await websocket.send_text(encode_media(message["streamSid"], LOUD))
                    await websocket.send_text(encode_mark(message["streamSid"], "played"))
        except WebSocketDisconnect:
            pass


@asynccontextmanager
async def serving(twin: Twin) -> AsyncIterator[str]:
    routes = [
        Route("/incoming-call", twin.webhook, methods=["POST"]),
        WebSocketRoute("/media-stream", twin.stream),
    ]
    config = uvicorn.Config(Starlette(routes=routes), ws="websockets-sansio", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        twin.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to await
            await asyncio.sleep(0.005)
        try:
            yield twin.address
        finally:
            server.should_exit = True
            await task


def served(twin: Twin, use: Callable[[str], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with serving(twin) as address:
            return await use(address)

    return asyncio.run(main())


async def listener(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(0.1)
    phone.press("1")


def test_a_call_over_real_sockets() -> None:
    twin = Twin()
    peer: MediaPeer = served(twin, lambda address: ring(f"{address}/incoming-call", listener, line=Line(ticks=True)))

    assert peer.heard.strip(b"\xff") == LOUD.strip(b"\xff")
    assert not peer.violations
    assert twin.form == {
        "CallSid": peer.call_sid,
        "AccountSid": peer.account_sid,
        "From": "+14155550100",
        "To": "+14155550199",
        "Caller": "+14155550100",
        "Called": "+14155550199",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
    }
    assert "x-twilio-signature" not in twin.headers
    events = [message["event"] for message in twin.messages]
    assert [event for event in events if event != "media"] == ["connected", "start", "mark", "dtmf", "stop"]
    start = twin.messages[1]
    assert start["start"]["callSid"] == peer.call_sid
    assert start["start"]["customParameters"] == {"k": "<&", "m": ""}
    assert [m["media"]["timestamp"] for m in twin.messages if m["event"] == "media"] == [
        str(20 * n) for n in range(events.count("media"))
    ]


def test_nonsense_over_a_real_socket_is_reported_and_the_call_continues() -> None:
    twin = Twin(nonsense=(b"\xff" * 160, "", '{"event":"clear"}', encode_mark("MZother", "m"), b""))
    peer: MediaPeer = served(twin, lambda address: ring(f"{address}/incoming-call", listener))
    assert [violation.code for violation in peer.violations] == [31950, 31951, 31951, 31951, 31950]
    assert peer.heard.strip(b"\xff") == LOUD.strip(b"\xff")


def test_a_stream_can_be_dialled_without_a_webhook() -> None:
    twin = Twin()
    peer = served(twin, lambda address: ring(f"ws{address[4:]}/media-stream", listener))
    assert peer.heard.strip(b"\xff") == LOUD.strip(b"\xff")
    assert not twin.form


@pytest.mark.parametrize("public_url", [None, "https://calls.example.com"])
def test_requests_are_signed_for_the_address_that_the_server_was_given(public_url: str | None) -> None:
    twin = Twin()
    if public_url is not None:
        twin.twiml = TWIML.replace("{ws}", "wss://calls.example.com")
    served(
        twin,
        lambda address: ring(f"{address}/incoming-call", listener, auth_token=TOKEN, public_url=public_url),
    )
    result = public_url or twin.address
    validator = RequestValidator(TOKEN)
    assert validator.validate(f"{result}/incoming-call", twin.form, twin.headers["x-twilio-signature"])
    stream = websocket_address(result, "/media-stream")
    assert validator.compute_signature(stream, {}) == twin.stream_headers["x-twilio-signature"]


@pytest.mark.parametrize(
    ("twin", "says"),
    [
        (Twin(status=403), "403 Forbidden"),
        (Twin(content_type="application/json"), "12300"),
        (Twin(twiml="<Response><Say>Hello.</Say><Hangup/></Response>"), "<Say>, <Hangup>"),
        (Twin(twiml="Internal Server Error"), "not XML"),
    ],
)
def test_a_webhook_that_does_not_answer_right(twin: Twin, says: str) -> None:
    with pytest.raises(RingFailed, match=says):
        served(twin, lambda address: ring(f"{address}/incoming-call", listener))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RingFailed, match="did not answer"):
        asyncio.run(ring(f"http://127.0.0.1:{port}/incoming-call", listener))
    with pytest.raises(ConnectFailed):
        asyncio.run(ring(f"ws://127.0.0.1:{port}/media-stream", listener))
    with pytest.raises(RingFailed, match="is not an address"):
        asyncio.run(ring("incoming-call", listener))


def _twiml(inner: str) -> str:
    return f"<Response><Connect>{inner}</Connect></Response>"


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<Response/>",
        '<!DOCTYPE r [<!ENTITY a "b">]>' + TWIML,
        TWIML.replace("Response", "Other"),
        _twiml("<Stream/>"),
        _twiml('<Stream url="/relative"/>'),
        _twiml('<Stream url="https://a/b"/>'),
        _twiml(f'<Stream url="{{ws}}/media-stream"><Parameter name="n" value="{"v" * 499}"/></Stream>'),
        _twiml('<Stream url="{ws}/media-stream"><Parameter value="v"/></Stream>'),
        TWIML + " " * 65536,
        "<Response><Dial>+14155550123</Dial></Response>",
        "<Response><Redirect>/nowhere</Redirect></Response>",
    ],
    ids=range(12),
)
def test_twiml_that_twilio_would_not_follow_to_a_stream(document: str) -> None:
    with pytest.raises(RingFailed):
        served(Twin(twiml=document), lambda address: ring(f"{address}/incoming-call", listener))


@pytest.mark.parametrize(
    "before", ["<Say>Hello.</Say>", "<Gather><Say>Press 1.</Say></Gather>", "<Pause length='60'/>", "<Record/>"]
)
def test_what_comes_before_the_stream_is_skipped(before: str) -> None:
    twin = Twin(twiml=TWIML.replace("<Connect>", f"{before}<Connect>"))
    peer: MediaPeer = served(twin, lambda address: ring(f"{address}/incoming-call", listener))
    assert peer.heard.strip(b"\xff") == LOUD.strip(b"\xff")


def test_the_ring_command_of_the_simulator_calls_a_server(tmp_path: Path) -> None:
    caller = tmp_path / "caller.toml"
    caller.write_text("steps = [{agent_speaks = 5}, {agent_silent = 0.1}, {press = '1'}, {hang_up = true}]")
    heard = tmp_path / "heard.wav"

    async def use(address: str) -> list[dict[str, Any]]:
        arguments = ["ring", f"{address}/incoming-call", "--caller", str(caller), "--json", "--heard", str(heard)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telephony.simulator", *arguments, "--seed", "3", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]

    lines = served(Twin(), use)
    events = "started audio_received mark_returned ran_dry pressed hung_up closed"
    assert " ".join(line["event"] for line in lines) == events
    assert lines[0]["seed"] == 3
    assert lines[0]["clock"] > 0
    assert all(line["t"] >= 0 for line in lines[1:])
    assert read_ulaw(heard).strip(b"\xff") == LOUD.strip(b"\xff")


def test_a_process_that_fails_says_so_in_one_line() -> None:
    async def main() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telephony.simulator", "ring", "nowhere", stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        return process.returncode, errors

    code, errors = asyncio.run(main())
    assert code == 1
    assert errors.startswith(b"RingFailed: 'nowhere' is not an address")
    assert errors.count(b"\n") == 1
