"""Calls that are over leave nothing behind. The long forms run in `make proof`."""

from __future__ import annotations

import asyncio
import gc
import math
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.endurance.hours import grown, run_hours
from benchmarks.endurance.soak import slope
from benchmarks.endurance.storm import FAULTS, SILENCE_S, run_storm
from realtime_core.sources import Sources
from telephony.console.board import Board
from telephony.console.live_call import LiveCall


def test_hours_of_calls_leave_nothing_in_the_process() -> None:
    kinds = ["interrupts", "leaves early", "is gone", "loses the stream", "placed", "placed, busy"]
    found = run_hours(2, calls_per_hour=6, seed=1, kinds=kinds, stores=False)
    first, last = (each.summary() for each in (found.counts[0], found.counts[-1]))
    assert grown(found) == {}
    assert found.kept <= 2, "the dialer kept more ended calls than its bound, which is one here, and the next call's"
    assert {name: last[name] for name in ("tasks", "timers", "threads", "descriptors")} == {
        name: first[name] for name in ("tasks", "timers", "threads", "descriptors")
    }


def test_calls_survive_a_storm_or_end_by_their_policy() -> None:
    storm = run_storm(calls=2, rounds=1, seed=1, every_s=2.0)
    assert storm.faults == []
    assert set(storm.injected) == set(FAULTS)
    assert storm.calls >= 2 and storm.longest_silence_s <= SILENCE_S
    assert storm.lost_records > 0, "the disk was full while a call was in progress"
    assert storm.before is not None and storm.after is not None
    assert storm.grown == {}
    names = ("tasks", "timers", "threads", "descriptors")
    assert [storm.after.summary()[name] for name in names] == [storm.before.summary()[name] for name in names]


def test_the_slope_of_a_line_is_found_with_its_confidence() -> None:
    found, wide = slope([(x / 100, 50 + 3 * x / 100 + (0.1 if x % 2 else -0.1)) for x in range(100)])
    assert abs(found - 3) <= wide < 0.3
    assert slope([(0.0, 1.0)])[1] == math.inf


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
