"""Calls that are over leave nothing behind. The long forms run in `make proof`."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.endurance.hours import grown, run_hours
from realtime_core.sources import Sources
from telephony.console.board import Board
from telephony.console.live_call import LiveCall


def test_hours_of_calls_leave_nothing_in_the_process() -> None:
    kinds = ["interrupts", "leaves early", "is gone", "loses the stream", "placed", "placed, busy"]
    found = run_hours(2, calls_per_hour=6, seed=1, kinds=kinds, stores=False)
    first, last = (each.summary() for each in (found.counts[0], found.counts[-1]))
    assert grown(found) == {}
    assert {name: last[name] for name in ("tasks", "timers", "threads", "descriptors")} == {
        name: first[name] for name in ("tasks", "timers", "threads", "descriptors")
    }


@pytest.mark.virtual_time
async def test_the_console_forgets_an_ended_call_that_no_page_asks_about() -> None:
    board = Board(Sources(1))
    call: Any = SimpleNamespace(sid="CA1")
    board.start(call, LiveCall())
    board.end(call)
    assert board.get("CA1") is not None
    await asyncio.sleep(8.1)
    assert board.get("CA1") is None


@pytest.mark.virtual_time
async def test_the_console_keeps_a_call_that_began_again_under_its_sid() -> None:
    board = Board(Sources(1))
    first: Any = SimpleNamespace(sid="CA1")
    second: Any = SimpleNamespace(sid="CA1")
    board.start(first, LiveCall())
    board.end(first)
    board.start(second, LiveCall())
    await asyncio.sleep(8.1)
    row = board.get("CA1")
    assert row is not None and row.call is second


def test_entries_of_containers_without_collected_objects_are_counted() -> None:
    from benchmarks.endurance.counts import count, growth

    class Register:
        def __init__(self) -> None:
            self.by_caller: dict[str, float] = {}

    async def run() -> dict[str, int]:
        gc.collect()
        gc.freeze()
        register = Register()
        before = count()
        register.by_caller.update({f"+1415555{n}": float(n) for n in range(100)})
        after = count()
        gc.unfreeze()
        return growth(before.entries, after.entries, more_than=50)

    assert any("Register" in name for name in asyncio.run(run()))
