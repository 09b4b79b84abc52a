"""Hours of calls in virtual time, in one process and in memory: nothing may grow with the number of calls.

The whole application answers a simulated Twilio. Callers of many kinds come and go: some talk, interrupt, press keys,
hang up in the middle, say nothing, lose their media stream, or call too often. Some calls are placed, and some models
fail. After the first hour and after the last one, with no call in progress, the process must hold the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from starlette.applications import Starlette

from realtime_core import RealtimeAgent, RealtimeModelConfig, function_tool
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Trouble, Turn
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony import create_app
from telephony.errors import CallerTimeout
from telephony.journal.disk import settle
from telephony.outbound.plan import CallPlan
from telephony.settings import Settings
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.callees import Callee
from telephony.simulator.twilio import OWN_NUMBER
from telephony.tools import hang_up
from telephony.twilio.rest import TwilioRest

from .counts import Counts, count, growth

__all__ = ["PUBLIC", "SCRIPT", "Hours", "book_table", "grown", "inbound_kinds", "office", "run_hours"]

_BOUNDS = (
    "telephony.call.registry._MAX_ENDED",
    "telephony.journal.journals._MAX_BEGUN",
    "telephony.outbound.dialer._MAX_ENDED",
    "telephony.web.call_outcomes._MAX_PLACED",
    "telephony.web.call_records._MAX_PLACED",
    "telephony.web.canaries._MAX_CALLS",
    "telephony.web.limits._MAX_CALLERS",
)
_BOUND = 1
"""The number of calls that each bounded register keeps here, so that it is full after the first hour. In a server most
registers keep 1,000 or 10,000 calls.
"""

PUBLIC = "https://phone.example.com"
_BETWEEN_S = 0.37
"""Whole seconds are when timers of the application are due, and for a moment not set."""
REST_S = 700.0
"""The quiet time after the last call of an hour. The ends of calls are kept for ten minutes."""


@dataclass
class Hours:
    """The counts after each hour, and what the calls were."""

    counts: list[Counts] = field(default_factory=list)
    calls: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    rss_mb: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    kept: int = 0
    """The most ended calls that the dialer kept."""


def run_hours(hours: int, *, calls_per_hour: int, seed: int, kinds: Sequence[str] = (), stores: bool = True) -> Hours:
    """Runs `hours` virtual hours with this number of calls in each, and counts after each hour. `kinds` are the kinds
    of calls that come in turn, by default all. Objects that exist before are not counted. With `stores`, the records
    are in SQLite, else in memory.
    """
    gc.collect()
    gc.freeze()
    try:
        return _counted_hours(hours, calls_per_hour, seed, kinds, stores)
    finally:
        gc.unfreeze()


def _counted_hours(hours: int, calls_per_hour: int, seed: int, kinds: Sequence[str], stores: bool) -> Hours:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for name in _BOUNDS:
            stack.enter_context(mock.patch(name, _BOUND))
        return virtual_time.run(_run(hours, calls_per_hour, seed, Path(folder), kinds, stores), seed=seed)


def grown(found: Hours) -> dict[str, int]:
    """Returns the types and containers that have grown from the first to the last hour. Objects of this repository may
    not grow at all. Those of libraries may fill their caches.
    """
    first, last = found.counts[0], found.counts[-1]
    types = growth(first.types, last.types)
    entries = growth(first.entries, last.entries)
    found_types = {name: n for name, n in types.items() if n > _allowed(name)}
    return found_types | {f"entries of {name}": n for name, n in entries.items() if n > max(_FEW, _allowed(name))}


def _allowed(name: str) -> int:
    if name.startswith(("telephony.", "realtime_core.")):
        return _FEW if name.startswith(("telephony.simulator.", "realtime_core.testing.")) else 0
    return _LIBRARY_CACHES.get(name, _FEW)


_FEW = 50
_LIBRARY_CACHES = {
    "weakref.ReferenceType": 250,
    "sqlite3.Connection": 250,  # the module drops its references to unused cursors with each 200th cursor
    "functools._lru_cache_wrapper": 250,
    "urllib.parse.urlsplit()": 128,
    "urllib.parse.SplitResult": 128,
}
"""The caches of libraries with their sizes."""


@function_tool
async def book_table(day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation number."""
    await asyncio.sleep(0.4)
    return "17"


SAYS = "We are open every day from noon until eleven."
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[
        Turn(Reply(say=SAYS), calls=[Call("book_table", '{"day": "Friday", "people": 2, "time": "19:00"}')]),
        Turn(Reply(say=SAYS)),
        Turn(Reply(say=SAYS, trouble=Trouble("close", 1.0, close_code=1006))),
        Turn(Reply(say=SAYS)),
        Turn(Reply(trouble=Trouble("fail"))),
        Turn(Reply(say=SAYS), calls=[Call("hang_up", "{}")]),
    ],
    otherwise=Reply(say=SAYS),
)


async def _run(hours: int, calls_per_hour: int, seed: int, folder: Path, chosen: Sequence[str], stores: bool) -> Hours:
    found = Hours()
    began = time.process_time()
    rng = random.Random(seed)
    kinds = {name: kind for name, kind in _kinds().items() if not chosen or name in chosen}
    database_url = f"sqlite:///{folder}/records.db" if stores else None
    async with office(folder, Sources(seed), database_url=database_url) as (twilio, app):
        phone = app.state.phone
        phone.progress._max_calls = phone.call_records.client._memory._max_calls = _BOUND
        for hour in range(hours):
            end = (hour + 1) * 3600.0
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as group:
                for number in range(calls_per_hour):
                    at = hour * 3600.0 + (3600.0 - REST_S - 300.0) * number / calls_per_hour
                    name = list(kinds)[number % len(kinds)]
                    found.kinds[name] = found.kinds.get(name, 0) + 1
                    found.calls += 1
                    from_ = f"+1415{5560000 + found.calls}" if number % 5 else "+14155570000"
                    group.create_task(_call(kinds[name], twilio, app, from_, at, rng, found.statuses))
            twilio.calls.clear()
            twilio.requests.clear()
            twilio.log_lines.clear()
            await asyncio.sleep(max(0.0, end + _BETWEEN_S - loop.time()))
            settle()
            # What a kept call holds depends on its conversation.
            found.kept = max(found.kept, len(app.state.dialer.calls))
            app.state.dialer.calls.clear()
            found.counts.append(count())
            found.rss_mb.append(_rss_mb())
    found.cpu_s = time.process_time() - began
    return found


async def _call(
    kind: Callable[..., Any], twilio: SimulatedTwilio, app: Starlette, from_: str, at: float,
    rng: random.Random, statuses: dict[str, int],
) -> None:  # fmt: skip
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
    status = await kind(twilio, app, from_, rng)
    statuses[status] = statuses.get(status, 0) + 1


# --- the kinds of calls ----------------------------------------------------------------------------------------------


def _inbound(caller: Callable[[Handset], Any]) -> Callable[..., Any]:
    async def call(twilio: SimulatedTwilio, app: Starlette, from_: str, rng: random.Random) -> str:
        async def patiently(phone: Handset) -> None:
            with contextlib.suppress(CallerTimeout):
                await caller(phone)

        made = await twilio.ring(caller=patiently, from_=from_)
        await made.finished()
        return made.status

    return call


async def _talks(phone: Handset) -> None:
    for clip in ("booking", "busy", "sorry_hours", "next_in_line"):
        await phone.agent_speaks(within_s=10)
        await phone.agent_silent(0.6, within_s=20)
        await phone.say(clip)


async def _interrupts(phone: Handset) -> None:
    for _ in range(2):
        await phone.agent_speaks(within_s=10)
        await phone.heard(0.5, within_s=5)
        await phone.say("sorry_hours")
    phone.press("1")
    await phone.agent_silent(0.5, within_s=10)


async def _leaves_early(phone: Handset) -> None:
    await phone.heard(0.3, within_s=10)


async def _is_gone(phone: Handset) -> None:
    phone.hang_up()


async def _to_the_end(phone: Handset) -> None:
    for _ in range(6):
        await phone.agent_speaks(within_s=10)
        await phone.agent_silent(0.6, within_s=10)
        await phone.say("booking")


async def _says_nothing(phone: Handset) -> None:
    await asyncio.sleep(30)


async def _loses_the_stream(twilio: SimulatedTwilio, app: Starlette, from_: str, rng: random.Random) -> str:
    async def caller(phone: Handset) -> None:
        with contextlib.suppress(CallerTimeout):
            await phone.agent_speaks(within_s=10)
            call = next(it for it in twilio.calls.values() if it.from_ == from_ and not it.is_over)
            if call.stream is None:
                return  # the agent did not speak: it was an announcement of Twilio
            call.stream.lose()
            await asyncio.sleep(1.0)
            await phone.agent_speaks(within_s=10)
            await phone.say("booking")
            await phone.agent_speaks(within_s=10)

    made = await twilio.ring(caller=caller, from_=from_)
    await made.finished()
    return made.status


def _placed(callee: Callable[[], Callee]) -> Callable[..., Any]:
    async def call(twilio: SimulatedTwilio, app: Starlette, from_: str, rng: random.Random) -> str:
        to = from_ if from_ != "+14155570000" else "+14155570001"
        twilio.callees[to] = callee()
        try:
            result = await app.state.dialer.place(CallPlan(to, app.state.phone.routing.source, max_s=30)).finished()
        finally:
            del twilio.callees[to]
        return str(result.status)

    return call


def inbound_kinds() -> Mapping[str, Callable[..., Any]]:
    """Returns the kinds of calls that people make."""
    return {name: kind for name, kind in _kinds().items() if not name.startswith("placed")}


def _kinds() -> Mapping[str, Callable[..., Any]]:
    return {
        "talks": _inbound(_talks),
        "interrupts": _inbound(_interrupts),
        "leaves early": _inbound(_leaves_early),
        "is gone": _inbound(_is_gone),
        "to the end": _inbound(_to_the_end),
        "says nothing": _inbound(_says_nothing),
        "loses the stream": _loses_the_stream,
        "placed": _placed(lambda: callees.person()),
        "placed, voicemail": _placed(lambda: callees.voicemail()),
        "placed, busy": _placed(callees.busy),
    }


@asynccontextmanager
async def office(
    folder: Path, sources: Sources, *, database_url: str | None, transport: Callable[..., Any] | None = None
) -> AsyncIterator[tuple[SimulatedTwilio, Starlette]]:
    """The whole application on a simulated Twilio, with journals. Without a `database_url`, the records are in memory.
    `transport` replaces the way to the model.
    """
    async with (
        LocalRealtimeServer(SCRIPT, in_memory=True, sources=sources.fork("model")) as model,
        SimulatedTwilio(sources=sources.fork("twilio"), in_memory=True) as twilio,
    ):
        settings = Settings(
            twilio_account_sid=twilio.account_sid,
            twilio_auth_token=twilio.auth_token,
            twilio_phone_number=OWN_NUMBER,
            telephony_twilio_api_url=twilio.base_url,
            public_url=PUBLIC,
            openai_api_key="unused",
            telephony_journal_dir=folder / "journals",
            database_url=database_url,
            telephony_quiet_hours="off",
        )
        config = RealtimeModelConfig(**model.model_config)
        if transport is not None:
            config["transport"] = transport(config["transport"])
        app = create_app(
            RealtimeAgent(name="Desk", instructions="Short sentences.", tools=[book_table, hang_up()]),
            greeting="Greet the caller.",
            settings=settings,
            model_config=config,
            rest=TwilioRest.of(settings, twilio.http_client()),
            sources=sources,
        )
        async with twilio.serving(app) as address:
            twilio.webhooks.reach[PUBLIC] = address
            twilio.numbers[OWN_NUMBER].voice_url = f"{PUBLIC}/incoming-call"
            yield twilio, app


def _rss_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
