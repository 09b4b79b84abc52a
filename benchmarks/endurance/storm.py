"""A storm of faults beside calls, in virtual time: each call goes on or ends by its policy, and nothing is left behind.

The whole application answers a simulated Twilio. The callers are patient: they answer whatever they hear. Meanwhile a
seeded random generator breaks, in turn, the model's connections, the media streams, the webhooks, the disk of the
journals, the database, and the event loop.

Afterwards these must agree about each call: the simulated Twilio, the record, and the journal where the disk took it.
No caller was left in silence for longer than the application allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from realtime_core.connection import Connection
from realtime_core.connection.memory import MemoryConnection
from realtime_core.errors import ConnectFailed
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from realtime_core.testing.virtual_time import VirtualTimeLoop
from telephony.call.pacing.silence_prompts import SilencePolicy
from telephony.errors import CallerTimeout, RecordsUnavailable
from telephony.journal.disk import Files, settle
from telephony.journal.reader import read_journal
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.webhooks import WebhookFailed

from .counts import Counts, count, growth
from .hours import PUBLIC, office

__all__ = ["FAULTS", "SILENCE_S", "Outage", "Storm", "run_storm"]

SILENCE_S = SilencePolicy().after_s + 3.0
"""The bound of a silence in seconds: the prompt to a silent caller comes after 10 s. Three seconds is the bound for a
caller who waits for an answer.
"""
_STEP_S = 0.1
Outage = Callable[[], AbstractAsyncContextManager[None]]
"""A block in which the database cannot be used."""
_QUIET_S = 60.0


@dataclass
class Storm:
    """What happened. `faults` are the broken promises, which should be none."""

    calls: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    longest_silence_s: float = 0.0
    lost_records: int = 0
    lived: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    """When each call began and ended, in seconds of the event loop."""
    full: list[tuple[float, float]] = field(default_factory=list)
    """When the disk was full."""
    before: Counts | None = None
    after: Counts | None = None

    def was_full(self, at: float) -> bool:
        """Whether the disk was full at this time. A journal is written half a second later at most."""
        return any(begin - 1.0 <= at <= end + 1.0 for begin, end in self.full)

    @property
    def grown(self) -> dict[str, int]:
        """The types of this repository of which more is left than before."""
        assert self.before is not None and self.after is not None
        grown = growth(self.before.types, self.after.types)
        return {name: n for name, n in grown.items() if name.startswith(_OURS) and name not in _BOUNDED}


_OURS = (
    "telephony.call",
    "telephony.web",
    "telephony.console",
    "realtime_core.session",
    "realtime_core.openai_realtime",
)
_BOUNDED = frozenset({"telephony.call.leg.next_twiml.StreamEnd", "telephony.call.ending.Ending"})
"""What bounded registers keep of ended calls."""


class FullDisk(Files):
    """Files of a disk that can be full."""

    is_full = False

    def create(self, path: Path) -> tuple[Path, int]:
        self._check()
        return super().create(path)

    def write(self, fd: int, data: memoryview) -> int:
        self._check()
        return super().write(fd, data)

    def probe(self, folder: Path) -> None:
        self._check()
        super().probe(folder)

    def _check(self) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


class Weather:
    """The faults. Each method breaks something for a while."""

    def __init__(self, twilio: SimulatedTwilio, app: Starlette, rng: random.Random, outage: Outage | None) -> None:
        self._twilio, self._app, self._rng, self._outage = twilio, app, rng, outage
        self.disk = FullDisk()
        self.model = "well"
        self.full: list[tuple[float, float]] = []
        self.links: list[MemoryConnection] = []
        app.state.phone.journals._disk._files = self.disk
        self._database = app.state.phone.call_records.client._database

    def transport(self, connect: Callable[[str, Mapping[str, str]], Any]) -> Callable[[str, Mapping[str, str]], Any]:
        """Returns the way to the model, which may be broken."""

        async def through(url: str, headers: Mapping[str, str]) -> Connection:
            if self.model == "refuses":
                raise ConnectFailed(f"{url} cannot be reached: connection refused.")
            if self.model == "fails":
                failure = ConnectFailed(f"{url} refused the connection: 500 Internal Server Error.")
                failure.status = 500
                raise failure
            if self.model == "slow":
                await asyncio.sleep(4.0)
            near: MemoryConnection = await connect(url, headers)
            self.links = [link for link in self.links if link._ended is None] + [near]
            return near

        return through

    async def model_cut(self) -> None:
        for link in self.links:
            if link._ended is None and self._rng.random() < 0.7:
                link.break_()

    async def model_refuses(self) -> None:
        await self._model("refuses", 4.0)

    async def model_fails(self) -> None:
        await self._model("fails", 4.0)

    async def model_slow(self) -> None:
        await self._model("slow", 5.0)

    async def _model(self, how: str, seconds: float) -> None:
        self.model = how
        await self.model_cut()
        await asyncio.sleep(seconds)
        self.model = "well"

    async def model_does_not_read(self) -> None:
        for link in self.links:
            if link._ended is None:
                link._peer.stall(1.5)

    async def stream_cut(self) -> None:
        if live := [call for call in self._live() if call.stream is not None]:
            call = self._rng.choice(live)
            assert call.stream is not None
            call.stream.lose()

    async def stream_does_not_read(self) -> None:
        for call in self._live():
            if call.stream is not None and isinstance(call.stream._connection, MemoryConnection):
                call.stream._connection._peer.stall(1.5)

    async def webhooks_repeated(self) -> None:
        for call in self._live():
            with contextlib.suppress(WebhookFailed):
                await self._twilio.webhooks.ask(f"{PUBLIC}/incoming-call", call.form())
        self._twilio.faults.doubled = ("initiated", "ringing", "answered", "completed")
        self._twilio.faults.reordered_s = 2.0
        await asyncio.sleep(4.0)
        self._twilio.faults.doubled, self._twilio.faults.reordered_s = (), 0.0

    async def disk_full(self) -> None:
        self._write_journals()
        began = asyncio.get_running_loop().time()
        self.disk.is_full = True
        await asyncio.sleep(3.0)
        self._write_journals()
        self.disk.is_full = False
        self.full.append((began, asyncio.get_running_loop().time()))

    def _write_journals(self) -> None:
        """Waits until the thread of the journals has tried to write all lines. Virtual time stands still meanwhile."""
        disk = self._app.state.phone.journals._disk
        while disk.taken != disk.written:
            disk.wake()
            time.sleep(0.001)

    async def database_gone(self) -> None:
        if self._outage is not None:
            async with self._outage():
                await asyncio.sleep(8.0)
            return
        client = self._app.state.phone.call_records.client
        client._database = _Gone(self._database)
        await asyncio.sleep(8.0)
        client._database = self._database

    async def loop_stalled(self) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            loop.stall(0.3)
        else:
            time.sleep(0.3)  # noqa: ASYNC251 - the fault

    def _live(self) -> list[SimulatedCall]:
        return [call for call in self._twilio.calls.values() if not call.is_over and call.started]


class _Gone:
    """A database that answers nothing."""

    def __init__(self, database: Any) -> None:
        self._gone = database

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return self._gone.close

        def refuse(*arguments: Any, **named: Any) -> Any:
            raise RecordsUnavailable("The database cannot be reached: connection refused.")

        return refuse


FAULTS = (
    "model_cut", "model_refuses", "model_fails", "model_slow", "model_does_not_read", "stream_cut",
    "stream_does_not_read", "webhooks_repeated", "disk_full", "database_gone", "loop_stalled",
)  # fmt: skip


def run_storm(
    *, calls: int, rounds: int, seed: int, every_s: float = 6.0, database_url: str = "", outage: Outage | None = None
) -> Storm:
    """Runs a storm in which each fault comes `rounds` times, in a random order, beside `calls` calls at once. A call
    that ends is followed by another one.

    With an `outage`, the records are in the real database at `database_url`, which cannot be used in the block
    `outage()`. The storm then runs in real time, else in virtual time.
    """
    gc.collect()
    gc.freeze()
    try:
        with tempfile.TemporaryDirectory() as folder:
            url = database_url or f"sqlite:///{folder}/records.db"
            storm = _run(calls, rounds, seed, every_s, Path(folder), url, outage)
            return virtual_time.run(storm, seed=seed) if outage is None else asyncio.run(storm)
    finally:
        gc.unfreeze()


async def _run(
    calls: int, rounds: int, seed: int, every_s: float, folder: Path, database_url: str, outage: Outage | None
) -> Storm:
    found, rng = Storm(), random.Random(seed)
    weather: list[Weather] = []

    def transport(connect: Callable[..., Any]) -> Callable[..., Any]:
        async def through(url: str, headers: Mapping[str, str]) -> Connection:
            ready = weather[0].transport(connect) if weather else connect
            connection: Connection = await ready(url, headers)
            return connection

        return through

    async with office(folder, Sources(seed), database_url=database_url, transport=transport) as (twilio, app):
        weather.append(Weather(twilio, app, rng, outage))
        await _quiet_call(twilio)
        await asyncio.sleep(_QUIET_S)
        found.before = count()
        made = await _storm(found, weather[0], twilio, calls, rounds, rng, every_s)
        await asyncio.sleep(_QUIET_S)
        await app.state.phone.call_records.client.flush(60.0)
        settle()
        found.full = weather[0].full
        for call in made:
            await _judge(found, call, app, folder / "journals")
        twilio.calls.clear()
        del made, call
        weather[0].links.clear()
        found.after = count()
    return found


async def _quiet_call(twilio: SimulatedTwilio) -> None:
    """A first call without faults, which imports late modules and fills caches."""
    await (await twilio.ring(caller=_patient(20.0), from_="+14155580000")).finished()
    twilio.calls.clear()


async def _storm(
    found: Storm, weather: Weather, twilio: SimulatedTwilio, calls: int, rounds: int, rng: random.Random, every_s: float
) -> list[SimulatedCall]:
    made: list[SimulatedCall] = []
    over = asyncio.Event()

    async def one_after_the_other() -> None:
        while not over.is_set():
            found.calls += 1
            call = twilio.start_ringing(caller=_patient(rng.uniform(15, 40)), from_=f"+1415{5590000 + found.calls}")
            made.append(call)
            await _watched(found, call)
            await asyncio.sleep(1.0)

    async with asyncio.TaskGroup() as group:
        for _ in range(calls):
            group.create_task(one_after_the_other())
        await asyncio.sleep(8.0)
        order = list(FAULTS) * rounds
        rng.shuffle(order)
        for name in order:
            found.injected[name] += 1
            await getattr(weather, name)()
            await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
        over.set()
    return made


def _patient(seconds: float) -> Callable[[Handset], Any]:
    async def caller(phone: Handset) -> None:
        until = phone.now + seconds
        while phone.now < until:
            with contextlib.suppress(CallerTimeout):
                await phone.agent_speaks(within_s=15)
                await phone.agent_silent(0.6, within_s=15)
                await phone.say("booking")

    return caller


async def _watched(found: Storm, call: SimulatedCall) -> None:
    """Waits for the end of a call, and measures the longest time in which neither side said anything."""
    loop = asyncio.get_running_loop()
    began, last, sounds = loop.time(), loop.time(), -1
    while not call.is_over:
        await asyncio.sleep(_STEP_S)
        phone = call.phone
        now_heard = phone._speech_frames
        if now_heard != sounds or phone._words or not call.started or call.is_over:
            last, sounds = loop.time(), now_heard
        elif (silent := loop.time() - last) > found.longest_silence_s:
            found.longest_silence_s = silent
            if silent > SILENCE_S and not any(call.sid in fault for fault in found.faults):
                found.faults.append(f"{call.sid}: silent for more than {SILENCE_S:g} s at {loop.time():.1f}")
    found.lived[call.sid] = began, loop.time()


async def _judge(found: Storm, call: SimulatedCall, app: Starlette, journals: Path) -> None:
    """Compares the simulated Twilio, the record and the journal of one call."""
    row = await app.state.phone.call_records.client.call(call.sid)
    if row is None:
        found.faults.append(f"{call.sid}: there is no record")
        return
    found.endings[f"{row.status}: {row.reason}"] += 1
    if not row.over:
        found.faults.append(f"{call.sid}: the record is open ({row.status})")
    if row.status != call.status:
        found.faults.append(f"{call.sid}: Twilio says {call.status}, the record {row.status} ({row.reason})")
    paths = sorted((journals / call.sid).glob("journal*.jsonl"))
    records = [record for path in paths for record in read_journal(path)]
    lost = sum(int(record.data.get("records", 0)) for record in records if record.kind == "lost")
    found.lost_records += lost
    reasons = [str(record.data.get("reason")) for record in records if record.kind == "end"]
    if reasons and row.reason and reasons[-1] != row.reason:
        found.faults.append(f"{call.sid}: the journal ends with {reasons[-1]!r}, the record with {row.reason!r}")
    began, ended = found.lived[call.sid]
    if not records and row.status == "completed" and not found.was_full(began):
        found.faults.append(f"{call.sid}: there is no journal, and the disk was not full when the call began")
    if records and not reasons and not lost and not found.was_full(ended):
        found.faults.append(f"{call.sid}: the journal has no end, and nothing says that records are lost")
