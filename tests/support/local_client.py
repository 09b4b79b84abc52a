"""A client of the embedded server for its tests: it sends and receives JSON over a `Connection`, without our model."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from realtime_core.connection import Close, Connection
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.local.voice.wav import read_wav
from realtime_core.sources import Sources

Event = dict[str, Any]
DATA = Path(__file__).parents[1] / "data"


class Client:
    """`events` is all that came, each with `at`, the loop's time of its arrival."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.closed: Close | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        self.closed = await self.connection.run(self._on_message)
        self._changed.set()

    def _on_message(self, message: str | bytes) -> None:
        event = json.loads(message)
        assert event["event_id"] not in {seen["event_id"] for seen in self.events[-50:]}
        self.events.append({**event, "at": asyncio.get_running_loop().time()})
        self._changed.set()

    def send(self, type: str, **fields: Any) -> None:
        self.connection.send(json.dumps({"type": type, **fields}))

    def update(self, event_id: str = "update", **session: Any) -> None:
        self.send("session.update", event_id=event_id, session={"type": "realtime", **session})

    def update_input(self, **audio_input: Any) -> None:
        self.update(audio={"input": audio_input})

    def respond(self, **response: Any) -> None:
        self.send("response.create", event_id="respond", **({"response": response} if response else {}))

    def write(self, text: str) -> None:
        """A text message of the user's."""
        content = [{"type": "input_text", "text": text}]
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})

    def result(self, call: Event, output: str) -> None:
        """The output of a function call's item."""
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        self.send("conversation.item.create", item=item)

    def append(self, audio: bytes) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def say(self, audio: bytes, bytes_per_ms: int = 48) -> None:
        """Append audio as a phone does: 20 ms every 20 ms."""
        size = 20 * bytes_per_ms
        for at in range(0, len(audio), size):
            self.append(audio[at : at + size])
            await asyncio.sleep(0.02)

    def all(self, type: str) -> list[Event]:
        return [event for event in self.events if event["type"] == type]

    def last(self, type: str) -> Event:
        return self.all(type)[-1]

    async def wait(self, type: str, count: int = 1, within_s: float = 60) -> Event:
        """The `count`-th event of this type."""
        async with asyncio.timeout(within_s):
            while len(found := self.all(type)) < count:
                assert self.closed is None, f"closed with {self.closed} before {type}"
                self._changed.clear()
                await self._changed.wait()
        return found[count - 1]

    async def wait_closed(self, within_s: float = 60) -> Close:
        async with asyncio.timeout(within_s):
            while self.closed is None:
                self._changed.clear()
                await self._changed.wait()
        return self.closed

    async def error(self, count: int = 1) -> Event:
        """The `error` object of the `count`-th error event."""
        error: Event = (await self.wait("error", count))["error"]
        return error

    async def answer(self, count: int = 1) -> Event:
        """The `response` of the `count`-th `response.done`."""
        response: Event = (await self.wait("response.done", count))["response"]
        return response

    def types(self, since: int = 0) -> list[str]:
        """The types of the events, runs of deltas as one."""
        types: list[str] = []
        for event in self.events[since:]:
            if not (types and types[-1] == event["type"] and event["type"].endswith(".delta")):
                types.append(event["type"])
        return types

    def audio(self, response_id: str | None = None) -> bytes:
        """The audio of a response (None: of all)."""
        deltas = self.all("response.output_audio.delta")
        return b"".join(base64.b64decode(d["delta"]) for d in deltas if response_id in (None, d["response_id"]))


@asynccontextmanager
async def session(script: Script | str | None = None, *, query: str = "", **options: Any) -> AsyncIterator[Client]:
    """An embedded server in memory and a client of it."""
    options.setdefault("sources", Sources(1))
    async with LocalRealtimeServer(script, in_memory=True, **options) as server:
        connect = server.model_config["transport"]
        client = Client(await connect(server.url + query, {}))
        running = asyncio.create_task(client.run())
        try:
            await client.wait("session.created")
            yield client
        finally:
            client.connection.close()
            await running


def human() -> bytes:
    """Returns a human voice, "I'm sorry", 16-bit at 24 kHz. About the first and last 60 ms are silence."""
    return at_24k(*read_wav((DATA / "im-sorry.wav").read_bytes()))


def at_24k(pcm: bytes, rate_hz: int) -> bytes:
    samples = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), rate_hz, 24000)
    out: bytes = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
    return out


def silence(seconds: float) -> bytes:
    return bytes(int(seconds * 24000) * 2)
