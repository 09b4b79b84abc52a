"""The long forms of the proofs: `make proof`. Writes their figures, with date and versions, to `benchmarks/figures/`.

`--calls N` calls per class (default 200), `--seed S` to repeat a run, `--json` for scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realtime_core.sources import SYSTEM

from .kill import kill_in_mid_call
from .repeat import repeats, ten_minutes
from .truth import CLASSES, CallResult, Summary, measure, summarise

FIGURES = Path(__file__).parent / "figures"
LIBRARIES = ("numpy", "starlette", "uvicorn", "websockets", "orjson", "twilio")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=SYSTEM.random.getrandbits(31))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    say = (lambda line: None) if options.json else lambda line: print(line, flush=True)
    say(f"Seed {options.seed}")
    figures: dict[str, Any] = {"seed": options.seed, **_versions(), "truncation": []}
    holds = True
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for summary in _truncations(pool, options.calls, options.seed):
            say(str(summary))
            for fault in summary.faults[:5]:
                say(f"    {fault}")
            holds &= summary.holds
            figures["truncation"].append(_as_dict(summary))
    cpu_s, virtual_s, barge_ins = ten_minutes(options.seed)
    say(f"A call of {virtual_s:.0f} s with {barge_ins} barge-ins: {cpu_s:.1f} s of CPU")
    figures["ten_minutes"] = {"cpu_s": round(cpu_s, 2), "virtual_s": round(virtual_s), "barge_ins": barge_ins}
    same = repeats(options.runs, options.seed)
    say(f"{options.runs} runs with one seed: {'the same journal to the byte' if same else 'DIFFERENT journals'}")
    figures["repeats"] = {"runs": options.runs, "same": same}
    holds &= same
    survivors = kill_in_mid_call(options.kills, seed=options.seed)
    lost_s = max(survivor.lost_s for survivor in survivors)
    say(f"{len(survivors)} servers killed in mid-call: every journal readable, {lost_s * 1000:.0f} ms lost at most")
    figures["kills"] = {"times": len(survivors), "lost_s_at_most": round(lost_s, 3)}
    holds &= lost_s <= 1.0
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / "proof.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    if options.json:
        print(json.dumps(figures))
    say(f"{'Everything holds' if holds else 'NOT everything holds'}; figures in {os.path.relpath(path)}")
    return 0 if holds else 1


def _truncations(pool: ProcessPoolExecutor, calls: int, seed: int) -> Iterator[Summary]:
    for number, line_class in enumerate(CLASSES):
        seeds = [seed + number * calls + call for call in range(calls)]
        results: list[CallResult] = []
        for result in pool.map(_measure, [number] * calls, seeds, chunksize=4):
            results.append(result)
            if sys.stderr.isatty():
                print(f"\r{line_class.name}: {len(results)}/{calls}\033[K", end="\r", file=sys.stderr, flush=True)
        yield summarise(line_class, results)


def _measure(number: int, seed: int) -> CallResult:
    return measure(CLASSES[number], seed)


def _as_dict(summary: Summary) -> dict[str, Any]:
    return {
        "class": summary.line_class.name,
        "calls": summary.calls,
        "truncations": summary.truncations,
        "p50_ms": round(summary.p50_ms, 2),
        "p95_ms": round(summary.p95_ms, 2),
        "worst_ms": round(summary.worst_ms, 2),
        "limit_ms": summary.line_class.limit_ms,
        "faults": len(summary.faults),
    }


def _versions() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "libraries": {name: version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    sys.exit(main())
