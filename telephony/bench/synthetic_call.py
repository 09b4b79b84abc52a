"""One of the many calls that a benchmark makes to a server at the same time. The load generator is both ends of the
call: Twilio's side with the caller, and the model.

The audio is encoded in advance: 20 ms frames of a human voice for the caller, and answers of the model in messages of
200 ms of audio, at five times the speed of speech. Every frame has a fixed time at which it is sent, so a late frame
does not delay the next frame. There is no voice activity detection: this module decides when the caller interrupts. A
mark is returned when the audio before the mark would have been played. Times are from `time.monotonic`, which is the
clock of the event loop. The method `time` of uvloop has a resolution of only a millisecond.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from time import monotonic
from typing import Any

from realtime_core.connection import Connection
from realtime_core.connection.websocket import connect

from ..audio.files import read_pcm16
from ..simulator import clips

__all__ = ["FRAME_S", "Figures", "SyntheticCall", "answer_deltas", "caller_payloads"]

FRAME_S = 0.02
DELTA_S = 0.2
SPEED = 5
ANSWER_S = 4.0
PERIOD_S = 5.0
"""The time in seconds between the starts of two answers. Every second answer is interrupted, `BARGE_AFTER_S` seconds
after its first delta.
"""
BARGE_AFTER_S = 1.5
THINKS_S = 0.8
"""The time in seconds from the end of the caller's turn to the next answer. With a longer time the agent would fill the
silence, and the answer would wait for the end of the filler.
"""
_ACCOUNT = "AC" + "0" * 32
_CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


@cache
def caller_payloads() -> list[str]:
    voice = clips.load("booking")
    return [base64.b64encode(voice[at : at + 160]).decode() for at in range(0, len(voice) - 160, 160)]


@cache
def answer_deltas() -> tuple[list[str], list[str]]:
    """Returns the audio messages (deltas) of one answer of the model, as PCM at 24 kHz and as mu-law."""
    from realtime_core.audio import g711
    from realtime_core.audio.resample import Downsampler3

    data = files("realtime_core.local.voice") / "data" / "trattoria-booked.wav"
    voice = read_pcm16(data.read_bytes(), 24000)
    size = int(DELTA_S * 48000)
    pcm = [voice[n * size : (n + 1) * size] for n in range(round(ANSWER_S / DELTA_S))]
    down = Downsampler3()
    return [base64.b64encode(each).decode() for each in pcm], [
        base64.b64encode(g711.encode(down.push(each))).decode() for each in pcm
    ]


@dataclass
class Figures:
    """The measured times of all calls of one benchmark, in seconds. Each list has one value for each measured message
    or event.
    """

    up: list[float] = field(default_factory=list)
    """For each frame of a caller, the time in seconds from sending the frame until the model's socket has received its
    last sample.
    """
    up_oldest: list[float] = field(default_factory=list)
    """For each audio message that the model received, the age of its oldest sample in seconds: the time from sending
    this sample as the caller until the model's socket has received it.
    """
    out: list[float] = field(default_factory=list)
    """For each answer of the model, the time in seconds that the server needs to pass the first audio on: from the
    first audio message of the model until the first media message to Twilio.
    """
    barge: list[float] = field(default_factory=list)
    """For each interruption, the time in seconds from the model's event `speech_started` until the server's message
    `clear`, which stops playback.
    """
    heard_error: list[float] = field(default_factory=list)
    """For each interruption, the difference in seconds between the position at which the server truncated the answer
    and the position that the caller had heard.
    """
    late: list[float] = field(default_factory=list)
    """For each frame of the load generator, how late it was sent. This is the measurement error of the load
    generator.
    """
    underruns: int = 0
    underrun_s: float = 0.0
    answers: int = 0
    frames_sent: int = 0
    frames_received: int = 0

    def reset(self) -> None:
        """Removes all measured times."""
        vars(self).update(vars(Figures()))


class HeardAnswer:
    """The audio of one answer as the caller hears it: played without a pause from its first media message on."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self.ends_at = 0.0
        self._expected_s = 0.0
        self._received_s = 0.0

    def answer_begins(self, seconds: float) -> None:
        self._expected_s = seconds
        self._received_s = 0.0

    def heard_s(self, now: float) -> float:
        """Returns how many seconds of the answer the caller has heard at `now`, a time of the event loop in seconds."""
        return self._received_s - max(0.0, self.ends_at - now)

    def clear(self) -> None:
        self.ends_at = 0.0
        self._expected_s = 0.0

    def media(self, now: float, seconds: float) -> None:
        if self.ends_at < now:
            # The last frame may be padded and begin slightly late. Missing audio before this frame is a gap.
            if 0.0 < self._received_s < self._expected_s - 2 * FRAME_S:
                self._figures.underruns += 1
                self._figures.underrun_s += now - self.ends_at
            self.ends_at = now
        self.ends_at += seconds
        self._received_s += seconds


class SyntheticCall:
    """One of the calls that the load generator makes: the caller's end and the model's end. Each call has its own
    `number`, from which its timing is computed, so the calls do not answer at the same time.
    """

    def __init__(self, number: int, figures: Figures) -> None:
        self._loop = asyncio.get_running_loop()
        self._figures = figures
        self._number = number
        self._stream_sid = f"MZ{number:032x}"
        self.call_sid = f"CA{number:032x}"
        self._phone: Connection
        self._model: Connection | None = None
        self.configured = asyncio.Event()
        """The server has configured the model's session."""
        self._heard_answer = HeardAnswer(figures)
        self._sent_at: list[float] = []
        self._bytes_up = 0
        self._passes_through = False
        self._next_up = 0
        self._first_delta_at: float | None = None
        self._speech_started_at: float | None = None
        self._pending_marks: dict[asyncio.TimerHandle, str] = {}
        self._answer = 0
        self._events = 0
        self._heard_ms: float | None = None
        self._truncated_ms: float | None = None
        self._start_at = 0.0
        self._next_frame: asyncio.TimerHandle

    # The caller's end

    async def run(
        self,
        url: str,
        phase: float,
        over: asyncio.Event,
        *,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Makes the call, and hangs up when `over` is set. The frames of all calls are sent every 20 ms. `phase` (0 to
        1) moves the frames of this call within the 20 ms. `headers` are those of the upgrade, and `parameters` are
        those of the `<Stream>` in the TwiML.
        """
        self._phone = await connect(url, headers=headers or {}, ping_interval_s=None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._phone.run(self._phone_received))
            self._begin(phase, parameters or {})
            await self.configured.wait()
            answering = tasks.create_task(self._answer_every_turn())
            await over.wait()
            self._next_frame.cancel()
            answering.cancel()
            self._phone.send(self._message("stop", {"accountSid": _ACCOUNT, "callSid": self.call_sid}))
            self._phone.close()

    def _begin(self, phase: float, parameters: Mapping[str, str]) -> None:
        start = {
            "accountSid": _ACCOUNT,
            "streamSid": self._stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(parameters),
        }
        self._phone.send_all([_CONNECTED, self._message("start", start)])
        self._start_at = (monotonic() // FRAME_S + 1 + phase) * FRAME_S
        self._next_frame = self._loop.call_at(self._start_at, self._talk)

    def _talk(self) -> None:
        frame, payloads = len(self._sent_at), caller_payloads()
        at, now = self._start_at + frame * FRAME_S, monotonic()
        self._figures.late.append(now - at)
        self._sent_at.append(now)
        self._phone.send(
            f'{{"event":"media","sequenceNumber":"{frame + 2}","media":{{"track":"inbound","chunk":"{frame + 1}",'
            f'"timestamp":"{frame * 20}","payload":"{payloads[(frame + 7 * self._number) % len(payloads)]}"}},'
            f'"streamSid":"{self._stream_sid}"}}'
        )
        self._figures.frames_sent += 1
        self._next_frame = self._loop.call_at(at + FRAME_S, self._talk)

    def _message(self, event: str, body: dict[str, Any]) -> str:
        return json.dumps({"event": event, "sequenceNumber": "1", event: body, "streamSid": self._stream_sid})

    def _phone_received(self, text: str | bytes) -> None:
        now = monotonic()
        assert isinstance(text, str)
        at = text.find('"payload"')
        if at >= 0:
            if self._first_delta_at is not None:
                self._figures.out.append(now - self._first_delta_at)
                self._first_delta_at = None
            begin = text.index('"', at + 9) + 1
            self._heard_answer.media(now, (text.index('"', begin) - begin) * 3 // 4 / 8000)
            return
        message = json.loads(text)
        if message["event"] == "mark":
            self._mark_received(message["mark"]["name"])
        elif message["event"] == "clear":
            self._cleared(now)

    def _cleared(self, now: float) -> None:
        if self._speech_started_at is not None:
            self._figures.barge.append(now - self._speech_started_at)
            self._speech_started_at = None
            self._heard_ms = 1000 * self._heard_answer.heard_s(now)
            self._compare()
        self._heard_answer.clear()
        pending, self._pending_marks = self._pending_marks, {}
        for handle, name in pending.items():
            handle.cancel()
            self._return_mark(name)

    def _compare(self) -> None:
        if self._heard_ms is not None and self._truncated_ms is not None:
            self._figures.heard_error.append(abs(self._heard_ms - self._truncated_ms) / 1000)
            self._heard_ms = self._truncated_ms = None

    def _mark_received(self, name: str) -> None:
        def due() -> None:
            del self._pending_marks[handle]
            self._return_mark(name)

        if self._heard_answer.ends_at <= monotonic():
            self._return_mark(name)
        else:
            handle = self._loop.call_at(self._heard_answer.ends_at, due)
            self._pending_marks[handle] = name

    def _return_mark(self, name: str) -> None:
        self._phone.send(self._message("mark", {"name": name}))

    # The model's end

    async def serve_model(self, connection: Connection) -> None:
        self._model = connection
        self._emit("session.created", session={"id": f"sess_{self._number}", "type": "realtime"})
        await connection.run(self._model_received)

    def _model_received(self, text: str | bytes) -> None:
        now = monotonic()
        assert isinstance(text, str)
        if text.find("input_audio_buffer.append", 0, 200) >= 0 or text.endswith('"input_audio_buffer.append"}'):
            self._audio_received(now, text)
            return
        message = json.loads(text)
        if message["type"] == "session.update":
            audio = message["session"].get("audio", {})
            self._passes_through = audio.get("input", {}).get("format", {}).get("type") == "audio/pcmu"
            self._emit("session.updated", session=message["session"] | {"id": f"sess_{self._number}"})
            self.configured.set()
        elif message["type"] == "response.create":
            self._greet()
        elif message["type"] == "conversation.item.truncate":
            if message["item_id"] == f"item_{self._number}_{self._answer}":
                self._truncated_ms = message["audio_end_ms"]
                self._compare()
            self._emit(
                "conversation.item.truncated", **{k: message[k] for k in ("item_id", "content_index", "audio_end_ms")}
            )

    def _audio_received(self, now: float, text: str) -> None:
        frame_bytes = 160 if self._passes_through else 960
        begin = text.index('"', text.index('"audio"') + 7) + 1
        oldest = self._bytes_up // frame_bytes
        self._bytes_up += (text.index('"', begin) - begin) * 3 // 4
        if oldest < len(self._sent_at):
            self._figures.up_oldest.append(now - self._sent_at[oldest])
        while self._next_up < self._bytes_up // frame_bytes and self._next_up < len(self._sent_at):
            self._figures.up.append(now - self._sent_at[self._next_up])
            self._next_up += 1
            self._figures.frames_received += 1

    async def _answer_every_turn(self) -> None:
        at = monotonic() + 0.3 + PERIOD_S * (self._number * 0.381966 % 1)
        while True:
            await asyncio.sleep(at - monotonic())
            self._answer += 1
            await self._speak()
            if self._answer % 2:
                await asyncio.sleep(at + BARGE_AFTER_S - monotonic())
                item_id = self._barge_in()
                await asyncio.sleep(at + PERIOD_S - THINKS_S - monotonic())
                self._end_turn(item_id)
            at += PERIOD_S

    async def _speak(self) -> None:
        started = monotonic()
        for number, _ in enumerate(self._response(self._deltas())):
            await asyncio.sleep(started + number * DELTA_S / SPEED - monotonic())

    def _deltas(self) -> list[str]:
        return answer_deltas()[self._passes_through]

    def _response(self, deltas: list[str]) -> Iterator[None]:
        """Sends one answer. Each step of the iteration sends a delta."""
        ids = {"response_id": f"resp_{self._number}_{self._answer}", "item_id": f"item_{self._number}_{self._answer}"}
        part = {**ids, "output_index": 0, "content_index": 0}
        item = {"id": ids["item_id"], "object": "realtime.item", "type": "message", "role": "assistant"}
        response = {"id": ids["response_id"], "object": "realtime.response"}
        self._emit("response.created", response=response | {"status": "in_progress", "output": []})
        in_progress = item | {"status": "in_progress", "content": []}
        self._emit("response.output_item.added", response_id=ids["response_id"], output_index=0, item=in_progress)
        self._emit("conversation.item.added", previous_item_id=None, item=in_progress)
        self._emit("response.content_part.added", **part, part={"type": "audio", "transcript": ""})
        head = json.dumps({"type": "response.output_audio.delta", **part})[:-1]
        self._figures.answers += 1
        self._heard_answer.answer_begins(len(deltas) * DELTA_S)
        assert self._model is not None
        for number, delta in enumerate(deltas):
            yield
            if number == 0:
                self._first_delta_at = monotonic()
            self._model.send(f'{head}, "event_id": "{self._event_id()}", "delta": "{delta}"}}')
            self._emit("response.output_audio_transcript.delta", **part, delta="word ")
        self._emit("response.output_audio.done", **part)
        self._emit("response.output_audio_transcript.done", **part, transcript="word")
        done = item | {"status": "completed", "content": [{"type": "output_audio", "transcript": "word"}]}
        self._emit("response.content_part.done", **part, part={"type": "audio", "transcript": "word"})
        self._emit("response.output_item.done", response_id=ids["response_id"], output_index=0, item=done)
        self._emit("conversation.item.done", previous_item_id=None, item=done)
        self._emit("response.done", response=response | {"status": "completed", "output": [done]})

    def _barge_in(self) -> str:
        item_id = f"item_{self._number}_{self._answer}_user"
        self._speech_started_at = monotonic()
        self._heard_ms = self._truncated_ms = None
        self._emit("input_audio_buffer.speech_started", audio_start_ms=len(self._sent_at) * 20, item_id=item_id)
        return item_id

    def _end_turn(self, item_id: str) -> None:
        self._emit("input_audio_buffer.speech_stopped", audio_end_ms=len(self._sent_at) * 20, item_id=item_id)
        self._emit("input_audio_buffer.committed", previous_item_id=None, item_id=item_id)

    def _greet(self) -> None:
        """Sends a short answer immediately after a `response.create`. The other answers come at fixed times."""
        for _ in self._response(self._deltas()[:1]):
            pass

    def _emit(self, type: str, **fields: Any) -> None:
        assert self._model is not None
        self._model.send(json.dumps({"type": type, "event_id": self._event_id(), **fields}))

    def _event_id(self) -> str:
        """Returns a new id. The ids of one session differ and have 27 characters, as those of the real server."""
        self._events += 1
        return f"event_{self._number:013}{self._events:08}"
