"""Recordings for tests: calls made in virtual time by the real call session, session, model server and simulated
phone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.connection.memory import memory_pair
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.options import CallOptions
from telephony.call.session import run_call
from telephony.journal.disk import Disk, settle
from telephony.journal.writer import JournalWriter
from telephony.simulator import Handset, Line, MediaPeer
from telephony.simulator.callers import demo
from telephony.simulator.peer import Caller

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)
tools_run: list[str] = []
"""The calls of the agents' own tools. A replay adds no call."""


@function_tool
async def book_table(day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation."""
    tools_run.append("book_table")
    await asyncio.sleep(0.4)
    return "Booked. The confirmation number is 2711."


@function_tool
async def say_goodbye(ctx: RunContextWrapper[Any]) -> str:
    """End the call."""
    tools_run.append("say_goodbye")
    await ctx.context.hang_up()
    return "done"


AGENT: RealtimeAgent[Any] = RealtimeAgent(
    name="Trattoria Blu", instructions="You answer for Trattoria Blu.", tools=[book_table, say_goodbye]
)


async def breaks_in(phone: Handset) -> None:
    """Breaks into three answers, one soon after the other."""
    for seconds in (2.0, 0.6, 1.2):
        await phone.agent_speaks()
        await phone.heard(seconds)
        await phone.say("hello")
        await asyncio.sleep(0.5)
    await phone.agent_speaks()
    await phone.heard(1.0)
    phone.hang_up()


async def presses_keys(phone: Handset) -> None:
    """Presses keys into the answers, so soon that marks of the last one are still on their way when the next begins."""
    for seconds in (2.0, 0.5, 0.5, 0.5):
        await phone.agent_speaks()
        await phone.heard(seconds)
        phone.press("4")
        await phone.agent_silent(0.2)
    await phone.agent_speaks()
    phone.hang_up()


async def is_let_go(phone: Handset) -> None:
    """Says goodbye, and waits for the agent to hang up."""
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("goodbye")
    await phone.agent_silent(30.0)


async def books(phone: Handset) -> None:
    """Says one sentence, hears the answer, and hangs up."""
    await phone.agent_speaks()
    await phone.agent_silent(0.5)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(0.5)
    phone.hang_up()


def _booking() -> Script:
    calls = [Call("book_table", '{"day": "Friday", "people": 2, "time": "19:00"}')]
    return Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say="It is booked."), calls=calls)])


def _long() -> Script:
    return Script(greeting=Reply(say=LONG), otherwise=Reply(say=LONG))


def _goodbye() -> Script:
    calls = [Call("say_goodbye", "{}")]
    return Script(
        greeting=Reply(say="Hello."), turns=[Turn(Reply(say=LONG), calls=calls, filler="Goodbye, and thank you.")]
    )


_KINDS: dict[str, tuple[Callable[[], Script | str], Caller, Line]] = {
    "demo": (lambda: "trattoria", demo, Line(round_trip_s=0.08, seed=1)),
    "breaks_in": (_long, breaks_in, Line(round_trip_s=0.413, jitter_s=0.02, seed=2)),
    "keys": (_long, presses_keys, Line(round_trip_s=0.933, seed=4)),
    "books": (_booking, books, Line(round_trip_s=0.06, seed=5)),  # short: for tests that need only its tool call
    "let_go": (_goodbye, is_let_go, Line(round_trip_s=0.06, seed=3)),
}
"""On some lines, a timer of the call and a message of the model are due at the same instant. Their order may then
differ between a call and its replay, and the replay sends 20 to 80 ms more or less of an interrupted answer. These
lines have no such instant.
"""


@cache
def recorded(kind: str) -> Path:
    """Returns the journal of a call of this kind. Each journal is made once."""
    path = Path(mkdtemp()) / kind / "journal.jsonl"
    script, caller, line = _KINDS[kind]

    async def call() -> None:
        ours, theirs = memory_pair()
        peer = MediaPeer(theirs, line=line, sources=Sources(1))
        async with LocalRealtimeServer(script(), in_memory=True, sources=Sources(2)) as server:
            options = CallOptions(
                greeting="Greet the caller.", model_config=server.model_config, sources=Sources(3),
                journal=lambda info: JournalWriter(path),
            )  # fmt: skip
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(ours, AGENT, options))
                await peer.run(caller)
        assert peer.violations == []

    virtual_time.run(call, seed=1)
    settle()
    return path


def written(records: Iterable[tuple[float, str, dict[str, Any]]], path: Path) -> Path:
    """Records of a call as its journal."""
    journal = JournalWriter(path, disk=Disk(max_queued_chars=2**40))
    for t, kind, fields in records:
        journal.write(kind, t, **fields)
    journal.finish()
    return journal.path
