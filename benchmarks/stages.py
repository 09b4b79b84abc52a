"""Measures what the stages of a call cost, and compares them with a budget: `python -m benchmarks.stages`.

Two kinds of figures, both CPU time of this process (`time.process_time`), both the median of several runs:

- microseconds of each stage of a caller's frame and of the agent's audio, by itself
- the whole call: a `CallSession` in virtual time between a phone and a model that only send prepared messages. The
  caller always talks, and the agent always answers: 50 frames, 4 deltas and about 30 messages to the phone each second.
  What the prepared peers and the loop cost without a session is measured, too, and subtracted.

Sockets are not part of it: `benchmarks.bench` measures the real server over real sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import heapq
import io
import json
import platform
import pstats
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import pybase64

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3, Upsampler3
from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.openai_realtime.encoding import encode_append
from realtime_core.openai_realtime.protocol import decode_audio
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.line.playout import Media, Playout
from telephony.call.session import CallOptions, run_call
from telephony.journal.disk import settle
from telephony.journal.writer import open_journal
from telephony.twilio import media_stream

__all__ = ["BUDGET_US", "call_cost", "main", "stages"]

BUDGET_US: Mapping[str, float] = {
    "caller frame: parse": 6.0,
    "caller frame: decode and upsample": 8.0,
    "caller frame: encode": 2.0,
    "caller frame: accounting": 3.0,
    "agent delta (250 ms): decode, downsample, encode": 40.0,
    "agent audio: a media message": 20.0,
}
"""Microseconds. The frame's budget has 13 us more, for the socket to the model and for the calls between the stages."""

STREAM = "MZ" + 32 * "a"
FRAME_S = 0.02
DELTA_S = 0.25
_START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "accountSid": "AC" + 32 * "a",
        "streamSid": STREAM,
        "callSid": "CA" + 32 * "a",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
}


def _tone(rate: int, seconds: float, hz: float = 440.0) -> bytes:
    samples = 6000 * np.sin(2 * np.pi * hz / rate * np.arange(round(rate * seconds)))
    return bytes(samples.astype("<i2").data)


ULAW = g711.encode(_tone(8000, FRAME_S))
PCM = _tone(24000, DELTA_S)


def frame_text(number: int) -> str:
    """A caller's frame, as Twilio sends it."""
    payload = pybase64.b64encode_as_string(ULAW)
    return (
        f'{{"event":"media","sequenceNumber":"{number + 2}","streamSid":"{STREAM}","media":{{"track":"inbound",'
        f'"chunk":"{number + 1}","timestamp":"{number * 20}","payload":"{payload}"}}}}'
    )


def delta_text(response: int) -> str:
    """A piece of the agent's audio, as the model sends it."""
    return orjson.dumps(
        {
            "type": "response.output_audio.delta",
            "event_id": "event_0123456789",
            "response_id": f"resp_{response}",
            "item_id": f"item_{response}",
            "output_index": 0,
            "content_index": 0,
            "delta": pybase64.b64encode_as_string(PCM),
        }
    ).decode()


# --- stages -----------------------------------------------------------------------------------------------------------


def stages() -> dict[str, float]:
    """Microseconds of each stage."""
    return {name: _us(work) for name, work in _stages()}


def _stages() -> Iterator[tuple[str, Callable[[], object]]]:
    text, delta, up, down = frame_text(1234), delta_text(1), Upsampler3(), Downsampler3()
    pcm = up.push(g711.decode(ULAW))
    yield "caller frame: parse", lambda: media_stream.decode(text)
    yield "caller frame: decode and upsample", lambda: up.push_ulaw(ULAW)
    yield "caller frame: encode", lambda: encode_append(pcm)
    playout, number = _playing(), iter(range(10**9))

    def account() -> None:
        at = next(number) * FRAME_S
        playout.frame(at, at)

    yield "caller frame: accounting", account

    def play() -> bytes:
        event = decode_audio(delta)
        assert event is not None
        return down.push_to_ulaw(event.audio)

    yield "agent delta (250 ms): decode, downsample, encode", play
    ulaw = bytes(800)
    yield "agent audio: a media message", lambda: media_stream.encode_media(STREAM, ulaw)


def _playing() -> Playout:
    """A playout in the middle of an answer."""
    playout = Playout()
    playout.enqueue(("item", 0), bytes(80_000))
    assert any(isinstance(command, Media) for command in playout.poll(0.0))
    return playout


def _us(work: Callable[[], object], seconds: float = 0.05, repeat: int = 9) -> float:
    count = 1
    while _cpu_s(work, count) < seconds:
        count *= 2
    return 1e6 * median(_cpu_s(work, count) for _ in range(repeat)) / count


def _cpu_s(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        work()
    return time.process_time() - start


# --- the whole call ---------------------------------------------------------------------------------------------------


class _Peer(Connection):
    """The far end of a connection: keeps what it is sent, and delivers what `deliver` is given."""

    def __init__(self, on_sent: Callable[[str], None]) -> None:
        self._early: list[str | bytes] = []
        self.on_message: MessageHandler = self._early.append
        self._on_sent = on_sent
        self._ended: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    def send(self, text: str) -> None:
        self._on_sent(text)

    @property
    def buffered_bytes(self) -> int:
        return 0

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def close(self, code: int = 1000, reason: str = "") -> None:
        if not self._ended.done():
            self._ended.set_result(Close(code, reason, "us"))

    async def run(self, on_message: MessageHandler) -> Close:
        self.on_message = on_message
        for message in self._early:
            on_message(message)
        return await self._ended


class _Phone:
    """Plays what it is sent, and returns each mark when the audio before it has been played."""

    def __init__(self) -> None:
        self.connection = _Peer(self._sent)
        self.marks: list[tuple[float, int, str]] = []
        self._loop = asyncio.get_running_loop()
        self._plays_until = 0.0
        self._count = 0
        self.played_s = 0.0

    def _sent(self, text: str) -> None:
        now = self._loop.time()
        if text.startswith('{"event":"media"'):
            self.played_s += len(text) * 0.75 / 8000
            self._plays_until = max(self._plays_until, now) + len(text) * 0.75 / 8000
        elif text.startswith('{"event":"mark"'):
            self._count += 1
            heapq.heappush(self.marks, (max(self._plays_until, now) + 0.04, self._count, text))
        else:
            self._plays_until = now

    def due(self, now: float) -> Iterator[str]:
        while self.marks and self.marks[0][0] <= now:
            text = heapq.heappop(self.marks)[2]
            yield f'{{"event":"mark","sequenceNumber":"7",{text[len("""{"event":"mark",""") :]}'


class _Model:
    """Accepts the session, and sends nothing of its own."""

    def __init__(self) -> None:
        self.connection = _Peer(self._sent)
        self.frames = 0

    def _sent(self, text: str) -> None:
        if text.startswith('{"type":"input_audio_buffer.append"'):
            self.frames += 1
        elif text.startswith('{"type":"session.update"'):
            session = {**json.loads(text)["session"], "id": "sess_1"}
            self.say("session.updated", session=session)

    def say(self, type: str, **fields: Any) -> None:
        text = orjson.dumps({"type": type, "event_id": "event_1", **fields}).decode()
        asyncio.get_running_loop().call_soon(lambda: self.connection.on_message(text))


async def _drive(phone: _Phone, model: _Model, seconds: float) -> None:
    """The caller talks, and the agent answers, in answers of eight seconds."""
    loop, began, response = asyncio.get_running_loop(), asyncio.get_running_loop().time(), 0
    delta = ""
    for number in range(round(seconds / FRAME_S)):
        await asyncio.sleep(began + (number + 1) * FRAME_S - loop.time())
        if number % 400 == 0:
            if response:
                model.say("response.done", response={"id": f"resp_{response}", "status": "completed", "output": []})
            response += 1
            delta = delta_text(response)
            model.say("response.created", response={"id": f"resp_{response}", "status": "in_progress"})
        elif number % 12 == 0:
            model.connection.on_message(delta)
        for mark in phone.due(loop.time()):
            phone.connection.on_message(mark)
        phone.connection.on_message(frame_text(number))


async def _call(seconds: float, journal: Path | None) -> None:
    phone, model = _Phone(), _Model()

    async def transport(url: str, headers: Mapping[str, str]) -> Connection:
        model.say("session.created", session={"id": "sess_1", "type": "realtime"})
        return model.connection

    options = CallOptions(
        model_config={"url": "ws://prepared", "api_key": "none", "transport": transport},
        journal=lambda info: open_journal(journal),
        sources=Sources(1),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(run_call(phone.connection, RealtimeAgent(name="Agent"), options))
        await asyncio.sleep(0.1)
        phone.connection.on_message(json.dumps(_START))
        await asyncio.sleep(0.1)
        await _drive(phone, model, seconds)
        phone.connection.on_message(f'{{"event":"stop","streamSid":"{STREAM}","stop":{{}}}}')
    assert model.frames > 50 * seconds - 5, f"only {model.frames} frames reached the model"
    assert phone.played_s > 0.9 * seconds, f"only {phone.played_s:.1f} s of the answers reached the phone"


async def _nothing(seconds: float) -> None:
    await _drive(_Phone(), _Model(), seconds)


def call_cost(seconds: float = 30.0, *, journal: bool) -> float:
    """CPU milliseconds of a call, per second of the call, without its peers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl" if journal else None
        start = time.process_time()
        virtual_time.run(_call(seconds, path), seed=1)
        settle()
        used = time.process_time() - start
    start = time.process_time()
    virtual_time.run(_nothing(seconds), seed=1)
    return 1000 * (used - (time.process_time() - start)) / seconds


def journal_shares(seconds: float) -> tuple[float, list[tuple[str, float]]]:
    """Returns the size of a journal in MB a minute, and the share of each kind of record in percent, the largest
    first.
    """
    sizes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        virtual_time.run(_call(seconds, path), seed=1)
        settle()
        with path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                message = record.get("message", {})
                sizes[f"{record['kind']} {message.get('event', message.get('type', ''))}".strip()] += len(line)
    total = sizes.total()
    return total / 1e6 / seconds * 60, [(kind, 100 * size / total) for kind, size in sizes.most_common()]


def profile(seconds: float, *, journal: bool = False, rows: int = 25) -> str:
    """Returns the functions of a call with the most time of their own. The profiler makes small functions look
    slower.
    """
    with cProfile.Profile() as profiler:
        call_cost(seconds, journal=journal)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(rows)
    return text.getvalue().replace(f"{Path(__file__).parents[1]}/", "")


# ----------------------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of the whole call, with and without a journal")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the call in virtual time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print the functions of the call by their own time")
    parser.add_argument("--journal", action="store_true", help="print the size of a journal, and what it consists of")
    arguments = parser.parse_args()
    call_cost(2.0, journal=True)  # triggers late imports
    if arguments.journal:
        mb_per_minute, shares = journal_shares(arguments.seconds)
        print(f"{mb_per_minute:.2f} MB a minute", *(f"{share:5.1f} %  {kind}" for kind, share in shares[:8]), sep="\n")
        return 0
    if arguments.profile:
        print(profile(arguments.seconds))
        return 0
    rounds: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(arguments.rounds):
        rounds["off"].append(call_cost(arguments.seconds, journal=False))
        rounds["on"].append(call_cost(arguments.seconds, journal=True))
    off, on = median(rounds["off"]), median(rounds["on"])
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("numpy", "orjson", "pybase64")},
        "us": {name: {"measured": round(us, 2), "budget": BUDGET_US[name]} for name, us in stages().items()},
        "call_ms_per_s": {
            "journal_off": round(off, 3),
            "journal_on": round(on, 3),
            "journal_percent": round(100 * (on / off - 1), 1),
            "rounds": {name: [round(each, 3) for each in found] for name, found in rounds.items()},
        },
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
        return 0
    for name, each in report["us"].items():  # type: ignore[attr-defined]
        print(f"{name:52s} {each['measured']:7.2f} us  (budget {each['budget']:g})")
    print(
        f"The whole call without sockets: {off:.2f} ms of CPU a second, with a journal {on:.2f} "
        f"({100 * (on / off - 1):+.1f} %)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
