"""Measures the error of the heard position, for several classes of lines, with whole calls in virtual time.

Each call runs the real call session, model and embedded server against the simulated phone. The reference comes only
from the phone: at each `clear` it reports how many samples it had received and how many of these it dropped, so the
played audio is known to the sample. The order of sending shows to which item each sample belongs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

import telephony
from realtime_core import RealtimeAgent, function_tool
from realtime_core.audio import g711
from realtime_core.audio.resample import DOWN_DELAY
from realtime_core.connection.memory import memory_pair
from realtime_core.local import Call, LocalRealtimeServer, Pause, Reply, Script, Turn
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.session import CallOptions, run_call
from telephony.simulator.events import Cleared
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from telephony.simulator.peer import MediaPeer

__all__ = ["CLASSES", "CallResult", "LineClass", "Summary", "measure", "summarise"]

ANSWER = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes. For dessert there is tiramisu, "
    "made this morning. Our house wine comes from a small village near Verona. Would you like to hear more?"
)
BARGE_INS = 5


@dataclass(frozen=True, slots=True)
class LineClass:
    """One kind of line. `limit_ms` limits the 95th percentile of the error (None: the error is reported, without a
    limit)."""

    name: str
    limit_ms: float | None
    line: Callable[[int], Line]
    pauses: bool = False
    mixed: bool = False
    """The call has queued answers, tools between them, and ambience."""


CLASSES: Sequence[LineClass] = (
    LineClass("steady line, 20-200 ms round trip", 20, lambda seed: Line(round_trip_s=(0.02, 0.2), seed=seed)),
    LineClass("hiccups of the model", 20, lambda seed: Line(round_trip_s=(0.02, 0.2), seed=seed), pauses=True),
    LineClass(
        "queued answers, tools, ambience", 20, lambda seed: Line(round_trip_s=(0.02, 0.2), seed=seed), mixed=True
    ),
    LineClass(
        "start delay, ticks, drift",
        25,
        lambda seed: Line(
            round_trip_s=(0.02, 0.2), start_delay_s=(0.0, 0.2), ticks=True, drift_ppm=(-100.0, 100.0), seed=seed
        ),
    ),
    LineClass("jitter of 0-50 ms each way", 40, lambda seed: Line(round_trip_s=(0.02, 0.2), jitter_s=0.05, seed=seed)),
    LineClass(
        "TCP stalls",
        None,
        lambda seed: Line(round_trip_s=(0.02, 0.2), stalls_per_minute=6, stall_s=(0.2, 1.5), seed=seed),
    ),
)


@dataclass(slots=True)
class CallResult:
    """The result of one call. `errors_ms`: truncation minus reference, for each part that was playing. `faults`: broken
    rules."""

    seed: int
    errors_ms: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    underruns: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """The errors of many calls, as absolute milliseconds."""

    line_class: LineClass
    calls: int
    truncations: int
    p50_ms: float
    p95_ms: float
    worst_ms: float
    faults: Sequence[str]

    @property
    def holds(self) -> bool:
        return not self.faults and (self.line_class.limit_ms is None or self.p95_ms <= self.line_class.limit_ms)

    def __str__(self) -> str:
        limit_ms = self.line_class.limit_ms
        limit = "reported, without a limit" if limit_ms is None else f"limit {limit_ms:g} ms"
        return (
            f"{self.line_class.name:36} {self.calls:4} calls {self.truncations:5} truncations   p50 {self.p50_ms:5.1f}"
            f"   p95 {self.p95_ms:6.1f}   worst {self.worst_ms:7.1f} ms   ({limit})"
        )


def summarise(line_class: LineClass, results: Sequence[CallResult]) -> Summary:
    errors = sorted(abs(error) for result in results for error in result.errors_ms)
    faults = [f"seed {result.seed}: {fault}" for result in results for fault in result.faults]
    if len(errors) < len(results):
        faults.append(f"only {len(errors)} truncations in {len(results)} calls")
        errors = errors or [0.0]
    return Summary(
        line_class,
        len(results),
        len(errors),
        errors[len(errors) // 2],
        errors[min(len(errors) - 1, int(len(errors) * 0.95))],
        errors[-1],
        faults,
    )


class _Records:
    """Keeps the needed journal records in memory."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        self.records.append((kind, fields))

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        if kind != "twilio.in" and '"input_audio_buffer.append"' not in json_text[:120]:
            self.records.append((kind, {"message": orjson.loads(json_text)}))

    def close(self) -> None:
        pass


def measure(line_class: LineClass, seed: int, *, barge_ins: int = BARGE_INS) -> CallResult:
    """Runs one call of this class and compares every truncation with the reference."""
    return virtual_time.run(_call(line_class, seed, barge_ins), seed=seed)


async def _call(line_class: LineClass, seed: int, barge_ins: int) -> CallResult:
    rng = random.Random(seed)
    records = _Records()
    calls: list[telephony.Call] = []
    ours, theirs = memory_pair()
    peer = MediaPeer(theirs, line=line_class.line(seed), sources=Sources(seed))
    script = _script(line_class, rng, barge_ins)
    async with LocalRealtimeServer(script, in_memory=True, sources=Sources(seed)) as server:
        options = CallOptions(
            greeting="Greet the caller.",
            model_config=server.model_config,
            journal=lambda info: records,
            on_start=calls.append,
            ambience=g711.encode(bytes(rng.getrandbits(8) & 0x0F for _ in range(16000))) if line_class.mixed else None,
        )
        agent = RealtimeAgent(name="Desk", tools=[look_up])
        async with asyncio.TaskGroup() as group:
            group.create_task(run_call(ours, agent, options))
            await peer.run(lambda phone: _caller(phone, calls, rng, line_class, barge_ins))
    result = CallResult(seed, faults=[f"{v.code} {v.reason}" for v in peer.violations])
    _compare(records.records, [event for event in peer.events if isinstance(event, Cleared)], result)
    return result


@function_tool
async def look_up(word: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.7)
    return "It is there."


def _script(line_class: LineClass, rng: random.Random, barge_ins: int) -> Script:
    turns = []
    for number in range(barge_ins + 1):
        pauses = [Pause(rng.uniform(0.2, 1.0), rng.uniform(0.3, 3.0))] if line_class.pauses else []
        calls = [Call("look_up", '{"word": "table"}')] if line_class.mixed and number % 2 else []
        turns.append(Turn(Reply(say=ANSWER, pauses=pauses), calls=calls, filler=ANSWER[:48] if calls else ""))
    return Script(turns=turns, greeting=Reply(say=ANSWER), otherwise=Reply(say=ANSWER))


async def _caller(
    phone: Handset, calls: list[telephony.Call], rng: random.Random, line_class: LineClass, barge_ins: int
) -> None:
    """Interrupts one answer after another at a random moment."""
    for _ in range(barge_ins):
        await phone.agent_speaks()
        if line_class.mixed and rng.random() < 0.5:
            await calls[0].session.request_response("Go on.")
        await phone.heard(rng.uniform(0.1, 6.0))
        await phone.say("sorry_hours")
        await asyncio.sleep(0.5)
    await phone.agent_speaks()
    await phone.heard(0.5)
    phone.hang_up()


def _compare(records: Sequence[tuple[str, dict[str, Any]]], clears: Sequence[Cleared], result: CallResult) -> None:
    sent: list[tuple[int, str, int, int]] = []
    """(position on the stream, item, offset in the item, length) of each segment that was sent."""
    received_ms: dict[str, float] = {}
    cleared = iter(clears)
    reference: dict[str, float] | None = None
    truncated: set[str] = set()
    for kind, fields in records:
        message = fields.get("message", {})
        if kind == "model.in" and message["type"] == "response.output_audio.delta":
            size = len(message["delta"]) * 3 // 4 - message["delta"].count("=")
            received_ms[message["item_id"]] = received_ms.get(message["item_id"], 0.0) + size / 48
        elif kind == "twilio.out" and message["event"] == "media":
            position = message["position"]
            for item, _, offset, length in message["segments"]:
                sent.append((position, item, offset, length))
                position += length
        elif kind == "twilio.out" and message["event"] == "clear":
            played = next(cleared)
            reference = _heard(sent, played.received - played.flushed)
        elif kind == "model.out" and message["type"] == "conversation.item.truncate":
            if reference is None:  # nothing was cleared, so all sent audio is heard
                reference = _heard(sent, sent[-1][0] + sent[-1][3])
            _check(message["item_id"], message["audio_end_ms"], reference, received_ms, result)
            if message["item_id"] in truncated:
                result.faults.append(f"{message['item_id']}: truncated twice")
            truncated.add(message["item_id"])
        elif kind == "interruption":
            reference = None
            playing, *behind = fields["truncations"]
            cut = playing[2] < int(received_ms[playing[0]])
            if cut and any(end_ms for _, _, end_ms in behind):
                result.faults.append("a part behind the playing one was not truncated at 0")


def _heard(sent: Sequence[tuple[int, str, int, int]], position: int) -> dict[str, float]:
    """Returns the heard milliseconds of each item when the stream was played up to `position`."""
    heard: dict[str, float] = {}
    for start, item, offset, length in sent:
        samples = offset + max(0, min(length, position - start))
        if item and position > start:
            heard[item] = max(heard.get(item, 0.0), max(0, samples - DOWN_DELAY) / 8)
    return heard


def _check(
    item: str, audio_end_ms: int, reference: dict[str, float], received_ms: dict[str, float], result: CallResult
) -> None:
    if item not in received_ms:
        result.faults.append(f"{item}: truncated without audio")
    elif audio_end_ms > received_ms[item]:
        result.faults.append(f"{item}: truncated at {audio_end_ms} ms of {received_ms[item]} received")
    heard = reference.get(item, 0.0)
    if heard or audio_end_ms:
        result.errors_ms.append(audio_end_ms - heard)
