"""Runs whole calls in virtual time, to measure their duration and to check that they repeat exactly."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path

from realtime_core import RealtimeAgent, function_tool
from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer, Reply, Script
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.session import CallOptions, run_call
from telephony.journal.disk import settle
from telephony.journal.writer import open_journal
from telephony.simulator.callers import demo
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from telephony.simulator.peer import Caller, MediaPeer

__all__ = ["journal_of", "repeats", "talk", "ten_minutes"]


@function_tool
async def book_table(day: str, people: int, time: str) -> str:
    """Book a table; returns the confirmation number."""
    await asyncio.sleep(0.4)
    return "17"


AGENT = RealtimeAgent(name="Trattoria Blu", instructions="You answer for Trattoria Blu.", tools=[book_table])


async def _call(caller: Caller, script: Script | str, line: Line, seed: int, journal: Path) -> None:
    ours, theirs = memory_pair()
    peer = MediaPeer(theirs, line=line, sources=Sources(seed).fork("phone"))
    async with LocalRealtimeServer(script, in_memory=True, sources=Sources(seed).fork("model")) as server:
        options = CallOptions(
            greeting="Greet the caller.",
            model_config=server.model_config,
            journal=lambda info: open_journal(journal),
            sources=Sources(seed).fork("call"),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(run_call(ours, AGENT, options))
            await peer.run(caller)


def journal_of(seed: int) -> bytes:
    """Returns the journal of the demonstration's call over a rough line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        virtual_time.run(_call(demo, "trattoria", Line.rough(seed=seed), seed, path), seed=seed)
        settle()
        return path.read_bytes()


def repeats(runs: int, seed: int) -> bool:
    """Returns whether all journals of `runs` calls with one seed are the same to the byte."""
    return len({hashlib.sha256(journal_of(seed)).digest() for _ in range(runs)}) == 1


def ten_minutes(seed: int) -> tuple[float, float, int]:
    """A call of ten minutes with a barge-in every six seconds: (CPU seconds, seconds of the call, barge-ins)."""
    barge_ins = 0

    async def impatient(phone: Handset) -> None:
        nonlocal barge_ins
        await phone.agent_speaks()
        while phone.now < 600:
            since = phone.now
            await phone.agent_speaks()
            await phone.heard(1.0)
            await phone.say("sorry_hours")
            barge_ins += 1
            await asyncio.sleep(max(0.0, 6 - (phone.now - since)))
        phone.hang_up()

    answer = Reply(say="We are open every day from noon until eleven in the evening. To hear that again, press one.")
    journal_of(seed)  # triggers late imports and prepares the voice
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        start = time.process_time()
        script = Script(greeting=answer, otherwise=answer)
        virtual_time.run(_call(impatient, script, Line(round_trip_s=0.08, seed=seed), seed, path), seed=seed)
        return time.process_time() - start, 600.0, barge_ins


SENTENCE = "We are open every day from noon until eleven in the evening. To hear that again, press one."
CLIPS = ("booking", "busy", "sorry_hours", "next_in_line")


def talk(seconds: float, path: Path) -> Path:
    """Records a conversation of this length. Caller and agent take turns; in each fourth turn the caller interrupts."""

    async def caller(phone: Handset) -> None:
        turn = 0
        while phone.now < seconds:
            await phone.agent_speaks()
            await (phone.heard(1.0) if turn % 4 == 3 else phone.agent_silent(1.0))
            await phone.say(CLIPS[turn % 4])
            turn += 1
        phone.hang_up()

    path.parent.mkdir(parents=True, exist_ok=True)
    script = Script(greeting=Reply(say=SENTENCE), otherwise=Reply(say=SENTENCE))
    virtual_time.run(_call(caller, script, Line(round_trip_s=0.08, seed=1), 1, path), seed=1)
    settle()
    return path
