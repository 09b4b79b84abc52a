"""Measures the cost of journals: `python -m benchmarks.journal`.

- `on / off`: CPU of the real server with a journal of each call and without, at the same time on the same core
- MB per minute of a call with continuous speech, as written and compressed
- replaying: CPU of a call of ten minutes, and many calls of a minute on all cores
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from telephony.bench.processes import SYSTEMS, running
from telephony.journal.compression import compress
from telephony.replay.batch import Job, run
from telephony.replay.replaying import replay_call

from .repeat import talk

__all__ = ["CPU_LIMIT_PERCENT", "main", "overhead", "replaying"]

CPU_LIMIT_PERCENT = 10.0
"""The limit for the journal's CPU cost, in percent."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=15, help="calls at once")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    report = {**overhead(arguments.calls, arguments.seconds, arguments.rounds), **replaying(calls=100)}
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0


def overhead(calls: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Returns the CPU cost (ms per call and second) and the size of journals.

    In each round a server with journals and one without run at the same time on the same core, each with `calls` calls.
    So other work on the machine affects both about equally. The cost in percent is the median of the rounds.
    """
    cpu: dict[str, list[float]] = {"off": [], "on": []}
    mb_per_minute = packed = 0.0
    off = SYSTEMS["ours, journal off"]
    for _ in range(rounds):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            on = replace(off, environment={"TELEPHONY_JOURNAL_DIR": os.fspath(folder)})
            targets = [stack.enter_context(running(system)) for system in (off, on)]
            with ThreadPoolExecutor(2) as pool:
                results = list(pool.map(lambda target: target.measure(calls, seconds), targets))
            for name, result in zip(cpu, results, strict=True):
                cpu[name].append(result["cpu_ms_per_call_second"])
            journals = sorted(folder.rglob("journal.jsonl"), key=lambda path: path.stat().st_size)
            mb_per_minute = sum(path.stat().st_size for path in journals[1:]) / 1e6 / calls / seconds * 60
            packed = compress(journals[-1]).stat().st_size / 1e6 / seconds * 60
    added = sorted(100 * (with_ / without - 1) for without, with_ in zip(cpu["off"], cpu["on"], strict=True))
    return {
        "cpu_ms_per_call_s": {name: round(median(each), 3) for name, each in cpu.items()} | {"rounds": cpu},
        "overhead_percent": round(median(added), 1),
        "overhead_percent_range": [round(added[0], 1), round(added[-1], 1)],
        "mb_per_minute": round(mb_per_minute, 2),
        "mb_per_minute_compressed": round(packed, 2),
    }


def replaying(*, calls: int) -> dict[str, Any]:
    """Returns the CPU time of a long replay, and the time of many short ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long, short = talk(600.0, folder / "long" / "journal.jsonl"), talk(60.0, folder / "short" / "journal.jsonl")
        replay_call(short)  # triggers late imports
        cpu_s = min(_cpu_s(long) for _ in range(3))
        began = time.perf_counter()
        results = list(run([Job(short)] * calls, workers=os.cpu_count() or 1))
        assert not any(result["diverged"] for result in results)
        seconds = round(time.perf_counter() - began, 1)
        used_s = round(sum(result["cpu_s"] for result in results), 1)
        return {
            "ten_minutes_cpu_s": round(cpu_s, 2),
            "minutes": {"calls": calls, "seconds": seconds, "cpu_s": used_s, "cores": os.cpu_count()},
        }


def _cpu_s(journal: Path) -> float:
    start = time.process_time()
    call = replay_call(journal)
    assert call.divergence is None, call.divergence
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
