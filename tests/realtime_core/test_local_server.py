"""The embedded server over real sockets, with a client of another project; its command line; and a call of ten
minutes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from realtime_core.connection.memory import memory_pair
from realtime_core.connection.websocket import connect as our_connect
from realtime_core.errors import ConnectFailed
from realtime_core.local import LocalRealtimeServer, Reply, Script, Trouble, Turn
from realtime_core.sources import Sources
from tests.support.local_client import Client, human, session, silence


async def until(socket: ClientConnection, type: str) -> list[dict[str, Any]]:
    """All events up to the first of this type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != type:
        events.append(json.loads(await asyncio.wait_for(socket.recv(), 5)))
    return events


@pytest.mark.real_time
async def test_a_turn_over_a_real_websocket() -> None:
    turns = [Turn(Reply(say="Every day, from noon until eleven."), heard="Hours?")]
    async with LocalRealtimeServer(Script(turns=turns, latency_s=0.0), speed=50) as server:
        headers = {"Authorization": "Bearer anything"}
        async with connect(f"{server.url}?model=gpt-realtime-2.1", additional_headers=headers) as socket:
            (created,) = await until(socket, "session.created")
            assert created["session"]["model"] == "gpt-realtime-2.1"
            assert time.time() + 3500 < created["session"]["expires_at"] < time.time() + 3700
            audio = base64.b64encode(silence(0.2) + human() + silence(1)).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            events = await until(socket, "response.done")
            types = [event["type"] for event in events]
            assert types.index("input_audio_buffer.speech_started") < types.index("input_audio_buffer.committed")
            assert types.count("response.output_audio.delta") == 11
            assert events[-1]["response"]["status"] == "completed"
            await socket.send(b"\0")
            assert (await until(socket, "error"))[-1]["error"]["code"] == "invalid_message"


@pytest.mark.real_time
async def test_two_sessions_at_once_have_nothing_in_common() -> None:
    script = Script(greeting=Reply(say="Yes."))
    async with (
        LocalRealtimeServer(script) as server,
        connect(server.url) as first,
        connect(server.url) as second,
    ):
        for socket in (first, second):
            await socket.send('{"type": "response.create"}')
        a, b = [(await until(socket, "response.done"))[-1]["response"] for socket in (first, second)]
        assert a["id"] != b["id"] and a["status"] == b["status"] == "completed"


@pytest.mark.real_time
async def test_the_server_closes_what_is_open_when_it_stops() -> None:
    async with LocalRealtimeServer() as server:
        socket = await connect(server.url)
        await until(socket, "conversation.created")
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert socket.close_code == 1001
    with pytest.raises(RuntimeError, match="only within `async with`"):
        _ = server.url


@pytest.mark.real_time
@pytest.mark.parametrize("code", [1011, 1006])
async def test_a_close_on_demand_over_a_socket(code: int) -> None:
    trouble = Trouble("close", close_code=code, message="On demand.")
    async with LocalRealtimeServer(Script(greeting=Reply(trouble=trouble), latency_s=0.0)) as server:
        socket = await connect(server.url)
        await socket.send('{"type": "response.create"}')
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == code


@pytest.mark.real_time
async def test_other_paths_get_the_right_path() -> None:
    async with LocalRealtimeServer() as server:
        assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
        with pytest.raises(ConnectFailed, match="404"):
            await our_connect(f"ws://127.0.0.1:{server.port}/elsewhere")


@pytest.mark.real_time
async def test_the_command_line_prints_where_it_listens_and_stops_at_a_signal() -> None:
    command = [sys.executable, "-m", "realtime_core.local", "--script", "trattoria", "--no-synthesis"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    async with connect(line["listening"]) as socket:
        await socket.send('{"type": "response.create"}')
        events = await until(socket, "response.output_audio_transcript.delta")
        assert events[-1]["delta"] == "Hello,"
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    process = await asyncio.create_subprocess_exec(*command[:4], "nowhere.toml", stderr=asyncio.subprocess.PIPE)
    _, result = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1 and result.startswith(b"The script nowhere.toml cannot be read")


@pytest.mark.virtual_time
async def test_one_session_over_any_connection() -> None:
    server = LocalRealtimeServer(Script(greeting=Reply(say="Yes.")), sources=Sources(1))
    near, far = memory_pair()
    client = Client(near)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        serving = tasks.create_task(server.serve_connection(far, model="m"))
        await client.wait("session.created")
        assert client.events[0]["session"]["model"] == "m"
        near.close()
        await serving


@pytest.mark.virtual_time
async def test_a_session_that_fails_is_closed_and_reported() -> None:
    result: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: result.append(context))
    async with LocalRealtimeServer(in_memory=True) as server:
        server.script = "no script"  # type: ignore[assignment]
        connection = await server.model_config["transport"](server.url, {})
        close = await connection.run(lambda message: None)
    assert close.code == 1011
    assert [type(context["exception"]) for context in result] == [AttributeError]


def conversation_of(seed: int, run_virtual: Any) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        async with session("trattoria", sources=Sources(seed)) as client:
            client.respond()
            await client.wait("response.output_audio.delta", 3)
            await client.say(human() + silence(3))
            return client.events

    events: list[dict[str, Any]] = run_virtual(main())
    return events


def test_the_same_seed_gives_the_same_session(run_virtual: Any) -> None:
    assert conversation_of(1, run_virtual) == conversation_of(1, run_virtual)
    assert conversation_of(1, run_virtual)[0] != conversation_of(2, run_virtual)[0]


def test_ten_minutes_of_a_call_take_little_time(run_virtual: Any) -> None:
    """Measured: 0.6 s of CPU for the server's part; the bound leaves room for the client and a slow machine."""
    turns = [Turn(Reply(say="We are open every day from noon until eleven in the evening."))] * 200
    frames = human() + silence(5)

    async def main() -> int:
        async with session(Script(turns=turns)) as client:
            while asyncio.get_running_loop().time() < 600:
                await client.say(frames)
            return len(client.all("response.done"))

    started = time.process_time()
    assert run_virtual(main()) >= 95
    assert time.process_time() - started < 6


@pytest.mark.real_time
async def test_plain_http_gets_a_description() -> None:
    async with LocalRealtimeServer() as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{server.port}/")
    assert caught.value.code == 404
    assert b"answers at /v1/realtime only" in caught.value.read()
