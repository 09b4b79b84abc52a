"""The load generator: many callers on Twilio's side and their models, in one process with one clock.

Audio is encoded in advance: 20 ms frames of a human voice, sent on an absolute schedule, and answers in 200 ms deltas
at five times real time. There is no voice activity detection; this module decides when a caller interrupts. A mark is
returned when the audio before it would have been played.

`python -m benchmarks.load` prints `{"model": address}`, reads one line `{"server": address, "pid": ..., "calls": ...,
"seconds": ...}`, makes the calls and prints the figures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from websockets.http11 import Request

from realtime_core.connection import Connection
from realtime_core.connection.websocket import connect, serve
from telephony.audio.files import read_pcm16
from telephony.simulator import clips

FRAME_S = 0.02
DELTA_S = 0.2
SPEED = 5
ANSWER_S = 4.0
PERIOD_S = 5.0
"""The period between the beginnings of answers. Every second answer is interrupted, `BARGE_AFTER_S` after its first
delta."""
BARGE_AFTER_S = 1.5
THINKS_S = 0.8
"""How long before the next answer the caller's turn ends. With a slower model the agent fills the silence, and the
answer has to wait behind the filler."""
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


@cache
def caller_payloads() -> list[str]:
    voice = clips.load("booking")
    return [base64.b64encode(voice[at : at + 160]).decode() for at in range(0, len(voice) - 160, 160)]


@cache
def answer_deltas() -> list[str]:
    data = files("realtime_core.local.voice") / "data" / "trattoria-booked.wav"
    voice = read_pcm16(data.read_bytes(), 24000)
    size = int(DELTA_S * 48000)
    return [base64.b64encode(voice[n * size : (n + 1) * size]).decode() for n in range(round(ANSWER_S / DELTA_S))]


@dataclass
class Figures:
    """The times of all calls, in seconds."""

    up: list[float] = field(default_factory=list)
    """From a caller's frame sent to its last sample at the model's socket."""
    out: list[float] = field(default_factory=list)
    """From the first delta of an answer to the first media message."""
    barge: list[float] = field(default_factory=list)
    """From speech_started to clear."""
    late: list[float] = field(default_factory=list)
    """How late the load's own frames were: the error that the load adds."""
    underruns: int = 0
    underrun_s: float = 0.0
    answers: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    failures: list[str] = field(default_factory=list)


class HeardAnswer:
    """The audio that the caller hears of one answer: played without a pause from its first media message on."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self.ends_at = 0.0
        self._expected_s = 0.0
        self._heard_s = 0.0

    def answer_begins(self, seconds: float) -> None:
        self._expected_s = seconds
        self._heard_s = 0.0

    def clear(self) -> None:
        self.ends_at = 0.0
        self._expected_s = 0.0

    def media(self, now: float, seconds: float) -> None:
        if self.ends_at < now:
            # The last frame may be padded and begin a little late. Audio that is missing before it is a hole.
            if 0.0 < self._heard_s < self._expected_s - 2 * FRAME_S:
                self._figures.underruns += 1
                self._figures.underrun_s += now - self.ends_at
            self.ends_at = now
        self.ends_at += seconds
        self._heard_s += seconds


class Call:
    """One call: the caller's end and, after the server has connected, the model's end."""

    def __init__(self, number: int, figures: Figures) -> None:
        self.loop = asyncio.get_running_loop()
        self.figures = figures
        self.number = number
        self.stream_sid = f"MZ{number:032x}"
        self.call_sid = f"CA{number:032x}"
        self.phone: Connection
        self.model: Connection | None = None
        self.configured = asyncio.Event()
        self._heard_answer = HeardAnswer(figures)
        self._sent_at: list[float] = []
        self._bytes_up = 0
        self._bytes_per_frame = 960
        self._next_up = 0
        self._first_delta_at: float | None = None
        self._speech_started_at: float | None = None
        self._pending_marks: dict[asyncio.TimerHandle, str] = {}
        self._answer = 0

    # The caller's end

    async def run(self, url: str, start_at: float, end_at: float) -> None:
        self.phone = await connect(url, ping_interval_s=None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.phone.run(self._phone_received))
            talking = tasks.create_task(self._talk(start_at, end_at))
            await self.configured.wait()
            answering = tasks.create_task(self._answer_for_ever())
            await talking
            answering.cancel()
            self.phone.send(self._message("stop", {"accountSid": "AC" + "0" * 32, "callSid": self.call_sid}))
            self.phone.close()

    async def _talk(self, start_at: float, end_at: float) -> None:
        self.phone.send(CONNECTED)
        start = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        }
        self.phone.send(self._message("start", start))
        payloads = caller_payloads()
        frame = 0
        at = start_at
        while at < end_at:
            await asyncio.sleep(at - self.loop.time())
            now = self.loop.time()
            self.figures.late.append(now - at)
            self._sent_at.append(now)
            self.phone.send(
                f'{{"event":"media","sequenceNumber":"{frame + 2}","media":{{"track":"inbound","chunk":"{frame + 1}",'
                f'"timestamp":"{frame * 20}","payload":"{payloads[(frame + 7 * self.number) % len(payloads)]}"}},'
                f'"streamSid":"{self.stream_sid}"}}'
            )
            frame += 1
            at = start_at + frame * FRAME_S
        self.figures.frames_sent += frame

    def _message(self, event: str, body: dict[str, Any]) -> str:
        return json.dumps({"event": event, "sequenceNumber": "1", event: body, "streamSid": self.stream_sid})

    def _phone_received(self, text: str | bytes) -> None:
        now = self.loop.time()
        assert isinstance(text, str)
        message = json.loads(text)
        event = message["event"]
        if event == "media":
            if self._first_delta_at is not None:
                self.figures.out.append(now - self._first_delta_at)
                self._first_delta_at = None
            self._heard_answer.media(now, len(message["media"]["payload"]) * 3 // 4 / 8000)
        elif event == "mark":
            self._mark_received(message["mark"]["name"])
        elif event == "clear":
            if self._speech_started_at is not None:
                self.figures.barge.append(now - self._speech_started_at)
                self._speech_started_at = None
            self._heard_answer.clear()
            pending, self._pending_marks = self._pending_marks, {}
            for handle, name in pending.items():
                handle.cancel()
                self._return_mark(name)

    def _mark_received(self, name: str) -> None:
        def due() -> None:
            del self._pending_marks[handle]
            self._return_mark(name)

        if self._heard_answer.ends_at <= self.loop.time():
            self._return_mark(name)
        else:
            handle = self.loop.call_at(self._heard_answer.ends_at, due)
            self._pending_marks[handle] = name

    def _return_mark(self, name: str) -> None:
        self.phone.send(self._message("mark", {"name": name}))

    # The model's end

    async def serve_model(self, connection: Connection) -> None:
        self.model = connection
        self._emit("session.created", session={"id": f"sess_{self.number}", "type": "realtime"})
        await connection.run(self._model_received)

    def _model_received(self, text: str | bytes) -> None:
        now = self.loop.time()
        assert isinstance(text, str)
        if text.find("input_audio_buffer.append", 0, 200) >= 0 or text.endswith('"input_audio_buffer.append"}'):
            self._audio_received(now, text)
            return
        message = json.loads(text)
        if message["type"] == "session.update":
            audio = message["session"].get("audio", {})
            if audio.get("input", {}).get("format", {}).get("type") == "audio/pcmu":
                self._bytes_per_frame = 160
            self._emit("session.updated", session=message["session"] | {"id": f"sess_{self.number}"})
            self.configured.set()
        elif message["type"] == "response.create":
            self._greet()
        elif message["type"] == "conversation.item.truncate":
            self._emit(
                "conversation.item.truncated", **{k: message[k] for k in ("item_id", "content_index", "audio_end_ms")}
            )

    def _audio_received(self, now: float, text: str) -> None:
        begin = text.index('"', text.index('"audio"') + 7) + 1
        self._bytes_up += (text.index('"', begin) - begin) * 3 // 4
        while self._next_up < self._bytes_up // self._bytes_per_frame and self._next_up < len(self._sent_at):
            self.figures.up.append(now - self._sent_at[self._next_up])
            self._next_up += 1
            self.figures.frames_received += 1

    async def _answer_for_ever(self) -> None:
        # The answers of different callers are spread over the period.
        at = self.loop.time() + 0.3 + PERIOD_S * (self.number * 0.381966 % 1)
        while True:
            await asyncio.sleep(at - self.loop.time())
            self._answer += 1
            await self._speak()
            if self._answer % 2:
                await asyncio.sleep(at + BARGE_AFTER_S - self.loop.time())
                item_id = self._barge_in()
                await asyncio.sleep(at + PERIOD_S - THINKS_S - self.loop.time())
                self._end_turn(item_id)
            at += PERIOD_S

    async def _speak(self) -> None:
        started = self.loop.time()
        for number, _ in enumerate(self._response(answer_deltas())):
            await asyncio.sleep(started + number * DELTA_S / SPEED - self.loop.time())

    def _response(self, deltas: list[str]) -> Iterator[None]:
        """Send one answer; each step sends a delta."""
        ids = {"response_id": f"resp_{self.number}_{self._answer}", "item_id": f"item_{self.number}_{self._answer}"}
        part = {**ids, "output_index": 0, "content_index": 0}
        item = {"id": ids["item_id"], "object": "realtime.item", "type": "message", "role": "assistant"}
        response = {"id": ids["response_id"], "object": "realtime.response"}
        self._emit("response.created", response=response | {"status": "in_progress", "output": []})
        in_progress = item | {"status": "in_progress", "content": []}
        self._emit("response.output_item.added", response_id=ids["response_id"], output_index=0, item=in_progress)
        self._emit("conversation.item.added", previous_item_id=None, item=in_progress)
        self._emit("response.content_part.added", **part, part={"type": "audio", "transcript": ""})
        head = json.dumps({"type": "response.output_audio.delta", "event_id": "event_delta", **part})[:-1]
        self.figures.answers += 1
        self._heard_answer.answer_begins(len(deltas) * DELTA_S)
        for number, delta in enumerate(deltas):
            yield
            if number == 0:
                self._first_delta_at = self.loop.time()
            assert self.model is not None
            self.model.send(f'{head}, "delta": "{delta}"}}')
            self._emit("response.output_audio_transcript.delta", **part, delta="word ")
        self._emit("response.output_audio.done", **part)
        self._emit("response.output_audio_transcript.done", **part, transcript="word")
        done = item | {"status": "completed", "content": [{"type": "output_audio", "transcript": "word"}]}
        self._emit("response.content_part.done", **part, part={"type": "audio", "transcript": "word"})
        self._emit("response.output_item.done", response_id=ids["response_id"], output_index=0, item=done)
        self._emit("conversation.item.done", previous_item_id=None, item=done)
        self._emit("response.done", response=response | {"status": "completed", "output": [done]})

    def _barge_in(self) -> str:
        item_id = f"item_{self.number}_{self._answer}_user"
        self._speech_started_at = self.loop.time()
        self._emit("input_audio_buffer.speech_started", audio_start_ms=len(self._sent_at) * 20, item_id=item_id)
        return item_id

    def _end_turn(self, item_id: str) -> None:
        self._emit("input_audio_buffer.speech_stopped", audio_end_ms=len(self._sent_at) * 20, item_id=item_id)
        self._emit("input_audio_buffer.committed", previous_item_id=None, item_id=item_id)

    def _greet(self) -> None:
        """Send a short answer at once to a `response.create`. The other answers come by the clock."""
        for _ in self._response(answer_deltas()[:1]):
            pass

    def _emit(self, type: str, **fields: Any) -> None:
        assert self.model is not None
        self.model.send(json.dumps({"type": type, "event_id": f"event_{self.number}", **fields}))


async def measure(order: dict[str, Any], calls: list[Call]) -> dict[str, Any]:
    """Make the calls. Measure the server's CPU time and memory while all of them run."""
    loop = asyncio.get_running_loop()
    figures = Figures()
    memory_before = memory_bytes(order["pid"])
    start_at = loop.time() + 1.0
    end_at = start_at + order["seconds"]
    calls[:] = [Call(number, figures) for number in range(order["calls"])]
    own_before = time.process_time()

    async def one(call: Call) -> None:
        # Each caller has a different phase within 20 ms. Callers connect in order, so that the n-th connection
        # to the model is the n-th call's.
        await call.run(order["server"], start_at + FRAME_S * call.number / order["calls"], end_at)

    async with asyncio.TaskGroup() as tasks:
        for call in calls:
            tasks.create_task(one(call))
            await asyncio.wait_for(call.configured.wait(), 10)
        start_window = max(loop.time(), start_at)
        if end_at - start_window < order["seconds"] / 2:
            sys.exit("The machine is too busy to measure: connecting the calls took most of the time.")
        await asyncio.sleep(start_window - loop.time())
        cpu_before, own_before = cpu_seconds(order["pid"]), time.process_time()
        await asyncio.sleep(end_at - 0.25 - loop.time())
        cpu, own = cpu_seconds(order["pid"]) - cpu_before, time.process_time() - own_before
        length = loop.time() - start_window
        memory = memory_bytes(order["pid"])
    return {
        "calls": order["calls"],
        "seconds": round(length, 2),
        "cpu_ms_per_call_second": 1000 * cpu / length / order["calls"],
        "rss_mb_per_call": (memory - memory_before) / 2**20 / order["calls"],
        "load_busy": own / length,
        "figures": vars(figures),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole process, in seconds (proc(5))."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main() -> None:
    calls: list[Call] = []
    connected = 0

    async def model(connection: Connection, request: Request) -> None:
        nonlocal connected
        connected += 1
        waiting = next((call for call in calls if call.model is None), None)
        if waiting is not None:
            await waiting.serve_model(connection)

    caller_payloads(), answer_deltas()
    loop = asyncio.get_running_loop()
    async with serve(model, ping_interval_s=None) as server:
        say({"model": f"http://127.0.0.1:{server.port}/v1"})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            say(await measure(json.loads(line), calls))


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
