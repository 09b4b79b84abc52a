"""Calls that are over leave nothing behind. The long forms run in `make proof`."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.endurance.soak import slope
from benchmarks.endurance.storm import FAULTS, SILENCE_S
from realtime_core.sources import Sources
from telephony.console.board import Board
from telephony.console.live_call import LiveCall
from tests.support import commands

HOURS = """
import json
from benchmarks.endurance.hours import grown, run_hours

kinds = ["interrupts", "leaves early", "is gone", "loses the stream", "placed", "placed, busy"]
found = run_hours(2, calls_per_hour=6, seed=1, kinds=kinds, stores=False)
counts = [found.counts[0].summary(), found.counts[-1].summary()]
print(json.dumps({"grown": grown(found), "kept": found.kept, "counts": counts}))
"""
STORM = """
import json
from benchmarks.endurance.storm import run_storm

storm = run_storm(calls=2, rounds=1, seed=1, every_s=2.0)
result = {name: getattr(storm, name) for name in ("faults", "calls", "longest_silence_s", "lost_records", "grown")}
counts = [storm.before.summary(), storm.after.summary()]
print(json.dumps({**result, "injected": sorted(storm.injected), "counts": counts}))
"""
SAME = ("tasks", "timers", "threads", "descriptors")


def result_of(program: str) -> dict[str, Any]:
    """Returns what the program prints. It has a process of its own, because it counts all objects of its process."""
    result: dict[str, Any] = json.loads(commands.run("-c", program, check=True, timeout=300).stdout)
    return result


def test_hours_of_calls_leave_nothing_in_the_process() -> None:
    found = result_of(HOURS)
    first, last = found["counts"]
    assert found["grown"] == {}
    assert found["kept"] <= 2, "the dialer kept more ended calls than its bound, which is one here, and the next call's"
    assert {name: last[name] for name in SAME} == {name: first[name] for name in SAME}


def test_calls_survive_a_storm_or_end_by_their_policy() -> None:
    storm = result_of(STORM)
    assert storm["faults"] == []
    assert storm["injected"] == sorted(FAULTS)
    assert storm["calls"] >= 2 and storm["longest_silence_s"] <= SILENCE_S
    assert storm["lost_records"] > 0, "the disk was full while a call was in progress"
    assert storm["grown"] == {}
    before, after = storm["counts"]
    assert {name: after[name] for name in SAME} == {name: before[name] for name in SAME}


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


ENTRIES = """
import asyncio, json
from benchmarks.endurance.counts import count, growth


class Register:
    def __init__(self):
        self.by_caller = {}


async def main():
    register = Register()
    before = count()
    register.by_caller.update({f"+1415555{n}": float(n) for n in range(100)})
    return growth(before.entries, count().entries, more_than=50)


print(json.dumps(asyncio.run(main())))
"""


def test_entries_of_containers_without_collected_objects_are_counted() -> None:
    assert any("Register" in name for name in result_of(ENTRIES))
