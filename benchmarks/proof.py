"""The long measurements and tests: `make proof`.

The figures, with versions, are written to `benchmarks/figures/` and `docs/measurements.md`.

Everything runs on this machine, in memory or over loopback. The steps, run singly, took over two hours on two cores.
CPU figures are not reliable while other work runs. `--only NAME` runs some steps, and `--only NAME --write` also writes
their figures beside those of the other steps. Each step has the date on which it was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realtime_core.sources import SYSTEM

from . import evals, measurements
from .campaign_cpu import LIMIT_MS, cpu_ms_per_call
from .campaign_faults import REPORTS
from .campaign_sizes import IMPORT_LIMIT_S, REHEARSAL_LIMIT_S, STATUS_LIMIT_MS, import_s, rehearsal_s, status_ms
from .consoles import CPU_LIMIT_PERCENT as CONSOLES_PERCENT
from .consoles import cost
from .endurance.databases import locked_sqlite, stopped_postgresql
from .endurance.hours import Hours, grown, run_hours
from .endurance.soak import soak
from .endurance.storm import SILENCE_S, Storm, run_storm
from .exploration import explore
from .heard_position import CLASSES, CallResult, Summary, measure, summarise
from .journal import CPU_LIMIT_PERCENT, overhead, replaying
from .kill import kill_in_mid_call
from .mutation import KILLED_PERCENT, mutate
from .repeat import repeats, ten_minutes

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures"
LIBRARIES = ("numpy", "starlette", "uvicorn", "websockets", "orjson", "pybase64", "twilio")
LONG_TESTS = (
    "tests/realtime_core/test_import_cost.py",
    "tests/telephony/stories/test_story_hang_ups.py",
    "tests/telephony/test_outbound_faults.py",
    "tests/telephony/test_campaign_contacts.py",
    "tests/telephony/test_campaign_rehearsal.py",
    "tests/telephony/test_campaign_store.py",
    "tests/telephony/test_numbers_proof.py",
    "tests/telephony/test_numbers_killed.py",
    "tests/telephony/test_consent.py",
    "tests/telephony/test_secret_parts.py",
    "tests/telephony/test_docs.py",
    "tests/telephony/test_eval_turns.py",
    "tests/realtime_core/test_repeated_events.py",
)
"""Tests with a long form: see `benchmarks.extent`."""
CONSOLE_TESTS = (
    "tests/telephony/test_campaign_page.py",
    "tests/telephony/test_console_many.py",
    "tests/telephony/test_console_pages.py",
    "tests/telephony/test_console_processes.py",
    "tests/telephony/test_softphone.py",
)
"""The console in a real browser: on one process, and on two processes behind Caddy, one of which is killed."""
FAULT_TESTS = ("tests/telephony/test_webhook_kill.py", "tests/telephony/test_records_survive.py")
"""Tests that kill and freeze processes in the middle of webhooks and calls."""
_CLOSING = re.compile(r"\d+ (?:passed|failed|error).*")


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of each step."""

    seed: int
    calls: int
    runs: int
    kills: int
    replays: int
    rounds: int
    minutes: float
    storms: int


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a step. `summary` is text for people."""

    figures: Any
    holds: bool
    summary: str


def truncations(extent: Extent) -> Result:
    """Compares each truncation with the audio that the caller heard, over six classes of lines."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        summaries = list(_summaries(pool, extent))
    return Result(
        list(map(_as_dict, summaries)), all(summary.holds for summary in summaries), f"{len(summaries)} classes"
    )


def ten_minutes_of_barge_ins(extent: Extent) -> Result:
    """Runs a call with a barge-in every six seconds, in virtual time."""
    cpu_s, virtual_s, barge_ins = ten_minutes(extent.seed)
    figures = {"cpu_s": round(cpu_s, 2), "virtual_s": round(virtual_s), "barge_ins": barge_ins, "limit_s": 4.0}
    return Result(figures, cpu_s <= 4.0, f"{virtual_s:.0f} s with {barge_ins} barge-ins: {cpu_s:.2f} s of CPU")


def repetitions(extent: Extent) -> Result:
    """Checks that one seed always gives the same journal."""
    same = repeats(extent.runs, extent.seed)
    summary = f"{extent.runs} runs with one seed: {'the same journal to the byte' if same else 'DIFFERENT journals'}"
    return Result({"runs": extent.runs, "same": same}, same, summary)


def replays(extent: Extent) -> Result:
    """Replays a call of ten minutes, and many calls of a minute on all cores."""
    figures = replaying(calls=extent.replays)
    many = figures["minutes"]
    summary = f"ten minutes in {figures['ten_minutes_cpu_s']} s of CPU, {many['calls']} minutes in {many['seconds']} s"
    return Result(figures, figures["ten_minutes_cpu_s"] <= 2.0 and many["seconds"] <= 30.0, summary)


def kills(extent: Extent) -> Result:
    """Kills servers during a call: the journal is readable, the WAV is complete, at most a second is lost."""
    survivors = kill_in_mid_call(extent.kills, seed=extent.seed)
    lost_s = max(survivor.lost_s for survivor in survivors)
    whole = all(survivor.wav_is_whole for survivor in survivors)
    summary = f"{len(survivors)} servers killed: every journal readable, {lost_s * 1000:.0f} ms lost at most"
    figures = {"times": len(survivors), "lost_s_at_most": round(lost_s, 3), "wavs_whole": whole}
    return Result(figures, whole and lost_s <= 1.0, summary)


def journal_cost(extent: Extent) -> Result:
    """Compares calls with and without a journal under the same load, and measures its size."""
    figures = overhead(calls=15, seconds=15.0, rounds=extent.rounds)
    percent, size = figures["overhead_percent"], figures["mb_per_minute"]
    summary = f"{percent:+.1f} % of CPU, {size} MB a minute ({figures['mb_per_minute_compressed']} compressed)"
    return Result(figures, percent <= CPU_LIMIT_PERCENT, summary)


def campaign_cpu(extent: Extent) -> Result:
    """Measures the CPU time of a campaign's dialer for each call, beside the call itself."""
    per_call = cpu_ms_per_call(500)
    figures = {"calls": 500, "ms_per_call": round(per_call, 1), "limit_ms": LIMIT_MS}
    _write_campaigns("cpu", figures)
    return Result(figures, per_call <= LIMIT_MS, f"{per_call:.1f} ms of CPU for each call")


def campaign_sizes(extent: Extent) -> Result:
    """Measures the import of 10,000 contacts, the status of a campaign of 100,000, and a rehearsal of 500."""
    imported, status, (rehearsal, outcomes) = import_s(10_000), status_ms(100_000), rehearsal_s(500, seed=extent.seed)
    figures = {
        "import_of_10000_s": round(imported, 2), "import_limit_s": IMPORT_LIMIT_S,
        "status_of_100000_ms": round(status, 1), "status_limit_ms": STATUS_LIMIT_MS,
        "rehearsal_of_500_s": round(rehearsal, 1), "rehearsal_limit_s": REHEARSAL_LIMIT_S, "outcomes": outcomes,
    }  # fmt: skip
    _write_campaigns("sizes", figures)
    holds = imported < IMPORT_LIMIT_S and status < STATUS_LIMIT_MS and rehearsal < REHEARSAL_LIMIT_S
    summary = f"import {imported:.1f} s, status {status:.0f} ms, rehearsal {rehearsal:.0f} s"
    return Result(figures, holds, summary)


def campaign_faults(extent: Extent) -> Result:
    """Runs campaigns on servers that are killed, frozen and replaced, on SQLite and on PostgreSQL."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "reports.jsonl")
        command = [sys.executable, "-m", "pytest", "-n", "0", "-s", "-q", "tests/telephony/test_campaign_faults.py"]
        variables = {**os.environ, "PROOF": "1", REPORTS: str(path)}
        done = subprocess.run(command, env=variables, text=True, stdout=subprocess.PIPE, check=False)
        reports = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    _write_campaigns("faults", reports)
    calls, kills = (sum(each[what] for each in reports) for what in ("calls", "kills"))
    summary = f"{len(reports)} campaigns, {calls} calls, {kills} kills"
    if done.returncode:
        summary = f"{summary}\n{done.stdout[-4000:]}"
    return Result(reports, done.returncode == 0 and len(reports) == 3, summary)


def virtual_hours(extent: Extent) -> Result:
    """Runs ten virtual hours of calls in one process, and compares what it holds after the first and the last hour."""
    found = run_hours(10, calls_per_hour=20, seed=extent.seed)
    figures = hours_figures(found)
    _write_endurance("hours", figures)
    first, last = figures["hours"][0], figures["hours"][-1]
    flat = all(last[name] <= first[name] for name in ("tasks", "timers", "threads", "descriptors"))
    summary = f"{found.calls} calls; objects {first['objects']} after hour 1, {last['objects']} after hour 10"
    return Result(figures, flat and not figures["grown"], f"{summary}; grows: {figures['grown'] or 'nothing'}")


def hours_figures(found: Hours) -> dict[str, Any]:
    return {
        **_versions(), "calls": found.calls, "kinds": found.kinds, "statuses": found.statuses,
        "cpu_s": round(found.cpu_s, 1), "hours": [each.summary() for each in found.counts],
        "rss_mb": [round(mb, 1) for mb in found.rss_mb], "grown": grown(found),
    }  # fmt: skip


def soaking(extent: Extent) -> Result:
    """Runs the real server for 30 minutes with calls that come and go, and follows its memory and its objects."""
    figures = {**_versions(), **soak(extent.minutes, talking=3, measured=5, short=extent.minutes <= 2)}
    _write_endurance("soak", figures)
    per_hour, wide = figures["rss_mb_per_hour"]
    before, after = figures["before"], figures["after"]
    holds = figures["stopped"]["code"] == 0 and after["tasks"] <= before["tasks"] and not figures["failed"]
    summary = (
        f"{figures['calls']}; {per_hour:+.1f} MB an hour (± {wide:.1f}), tasks {before['tasks']}, {after['tasks']}"
    )
    return Result(figures, holds, summary)


def storms(extent: Extent) -> Result:
    """Runs calls through storms of faults: in virtual time, with a stopped PostgreSQL, and with a locked SQLite."""
    found = [run_storm(calls=3, rounds=1, seed=extent.seed + number) for number in range(extent.storms)]
    with (
        tempfile.TemporaryDirectory() as folder,
        stopped_postgresql() as stopped,
        locked_sqlite(Path(folder)) as locked,
    ):
        for url, outage in (stopped, locked):
            found.append(run_storm(calls=3, rounds=1, seed=extent.seed, database_url=url, outage=outage))
    figures = storm_figures(found)
    _write_endurance("storm", figures)
    summary = f"{figures['calls']} calls, {sum(figures['injected'].values())} faults: {figures['endings']}"
    lines = [summary, *(f"        {fault}" for fault in figures["faults"][:5])]
    return Result(figures, not figures["faults"] and not figures["grown"], "\n".join(lines))


def storm_figures(found: Sequence[Storm]) -> dict[str, Any]:
    return {
        **_versions(), "storms": len(found), "calls": sum(each.calls for each in found),
        "injected": dict(sum((each.injected for each in found), Counter())),
        "endings": dict(sum((each.endings for each in found), Counter())),
        "faults": [fault for each in found for fault in each.faults],
        "longest_silence_s": round(max(each.longest_silence_s for each in found), 2), "bound_s": SILENCE_S,
        "lost_records": sum(each.lost_records for each in found),
        "grown": {name: n for each in found for name, n in each.grown.items()},
    }  # fmt: skip


def _write_endurance(name: str, figures: Any) -> None:
    """Writes figures into `endurance.json`, beside those that are there."""
    path = FIGURES / "endurance.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    FIGURES.mkdir(exist_ok=True)
    path.write_text(json.dumps({**known, name: figures}, indent=2) + "\n")


def _write_campaigns(name: str, figures: Any) -> None:
    """Writes figures into `campaigns.json`, beside those that are there."""
    path = FIGURES / "campaigns.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    FIGURES.mkdir(exist_ok=True)
    path.write_text(json.dumps({**known, name: {**_versions(), "figures": figures}}, indent=2) + "\n")


def consoles(extent: Extent) -> Result:
    """Compares 50 calls with and without five open consoles, one of which never reads."""
    figures = cost(calls=50, seconds=15.0, rounds=extent.rounds)
    percent, underruns = figures["added_percent"], figures["underruns"]["with"]
    holds = percent <= CONSOLES_PERCENT and underruns <= figures["underruns"]["without"] and figures["events"] > 0
    return Result(figures, holds, f"{percent:+.1f} % of CPU, {underruns} underruns, {figures['events']} events")


def long_tests(extent: Extent) -> Result:
    """Runs long tests: 200 hang-ups, fault combinations of outgoing calls, a call list whose process is killed."""
    return _pytest(LONG_TESTS)


def console_setups(extent: Extent) -> Result:
    """Runs the browser tests of the console on one process, and on two behind Caddy of which one is killed."""
    return _pytest(("-n", "0", *CONSOLE_TESTS))


def webhooks(extent: Extent) -> Result:
    """Kills 20 processes in the middle of webhooks, and freezes ten: on SQLite, on PostgreSQL, behind Caddy."""
    return _pytest(FAULT_TESTS)


def _pytest(tests: Sequence[str]) -> Result:
    """Runs the long form of these tests. The summary has the last line of pytest and what the tests say."""
    command = [sys.executable, "-m", "pytest", *tests]
    done = subprocess.run(command, env={**os.environ, "PROOF": "1"}, text=True, capture_output=True, check=False)
    closing = _CLOSING.findall(done.stdout)
    said = [*re.findall(r".* webhooks delivered.*", done.stdout), *closing[-1:]]
    summary = "\n        ".join(said) if closing else f"pytest ended with {done.returncode}"
    if done.returncode:
        summary = f"{summary}\n{done.stdout[-4000:]}{done.stderr[-1000:]}"
    return Result({"tests": list(tests), "outcome": summary}, done.returncode == 0, summary)


def exploration(extent: Extent) -> Result:
    """Runs all property tests with new examples."""
    found = explore(extent.seed)
    summary = f"seed {found.seed}: {found.outcome}" + (f"; see {found.report}" if found.report else "")
    return Result(asdict(found), found.holds, summary)


def mutation(extent: Extent) -> Result:
    """Checks that the tests find mutations in the pure modules, and that each survivor is explained."""
    result = mutate()
    percent, total, killed = round(result.killed_percent, 1), sum(result.mutants.values()), sum(result.killed.values())
    figures = {
        "mutmut": version("mutmut"), "mutants": total, "killed": killed, "killed_percent": percent,
        "modules": {name: {"mutants": n, "killed": result.killed.get(name, 0)} for name, n in result.mutants.items()},
    }  # fmt: skip
    lines = [f"{killed} of {total} mutants found ({percent} %), {total - killed} survive"]
    lines += [f"        {name}: {result.killed.get(name, 0)} of {n}" for name, n in result.mutants.items()]
    lines += [f"        survives without an explanation: {each}" for each in result.unexplained]
    lines += [f"        is explained and does not survive: {each}" for each in result.unused]
    return Result(figures, percent >= KILLED_PERCENT and not result.unexplained, "\n".join(lines))


def planted_regressions(extent: Extent) -> Result:
    """Plants regressions in an agent, and compares it with the baseline by evals, with new seeds in each run."""
    with tempfile.TemporaryDirectory() as folder:
        found = evals.measure(evals.PLANTED, evals.write_personas(Path(folder)), runs=evals.RUNS, seed=extent.seed)
    figures = [{"planted": each.planted.name, "right": each.right, "runs": each.runs} for each in found]
    return Result(figures, all(each.holds for each in found), "; ".join(map(str, found)))


STEPS: dict[str, Callable[[Extent], Result]] = {
    "truncation": truncations,
    "ten_minutes": ten_minutes_of_barge_ins,
    "repeats": repetitions,
    "replays": replays,
    "kills": kills,
    "journal": journal_cost,
    "campaign_cpu": campaign_cpu,
    "campaign_sizes": campaign_sizes,
    "campaign_faults": campaign_faults,
    "evals": planted_regressions,
    "consoles": consoles,
    "virtual_hours": virtual_hours,
    "storm": storms,
    "soak": soaking,
    "tests": long_tests,
    "console_setups": console_setups,
    "webhooks": webhooks,
    "exploration": exploration,
    "mutation": mutation,
}


def main() -> int:
    options = _parser().parse_args()
    extent = Extent(
        options.seed,
        options.calls,
        options.runs,
        options.kills,
        options.replays,
        options.rounds,
        options.minutes,
        options.storms,
    )
    out = sys.stderr if options.json else sys.stdout
    chosen = options.only or list(STEPS)
    print(f"Seed {extent.seed}", file=out, flush=True)
    steps: dict[str, Any] = {}
    for number, name in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name}: {(STEPS[name].__doc__ or '').strip()}", file=out, flush=True)
        began = time.perf_counter()
        try:
            result = STEPS[name](extent)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - this step has failed, and the other steps still run
            result = Result(None, False, f"{type(error).__name__}: {error}")
        took_s = time.perf_counter() - began
        print(f"    {'holds' if result.holds else 'FAILS'}: {result.summary} ({took_s:.0f} s)", file=out, flush=True)
        steps[name] = {
            **_versions(), **asdict(extent), "took_s": round(took_s), "holds": result.holds, "figures": result.figures
        }  # fmt: skip
    holds = all(step["holds"] for step in steps.values())
    if options.write or not options.only:
        _write_steps(steps)
    if options.json:
        print(json.dumps(steps))
    print("Everything holds." if holds else "NOT everything holds.", file=out)
    return 0 if holds else 1


def _write_steps(steps: dict[str, Any]) -> None:
    """Writes the figures of these steps into `proof.json`, beside those of the other steps, and into the page."""
    path = FIGURES / "proof.json"
    known = (json.loads(path.read_text()) if path.exists() else {}) | steps
    in_order = {name: known[name] for name in STEPS if name in known}
    FIGURES.mkdir(exist_ok=True)
    path.write_text(json.dumps(in_order, indent=2) + "\n")
    measurements.write(ROOT / "docs" / "measurements.md", in_order)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make proof", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(STEPS), help="this step alone; may be repeated")
    parser.add_argument("--write", action="store_true", help="write the figures also with --only")
    parser.add_argument("--calls", type=int, default=200, help="number of calls for each class of lines")
    parser.add_argument("--runs", type=int, default=50, help="number of runs with one seed")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--replays", type=int, default=100, help="number of recorded minutes to replay")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with and without a journal")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak; 1 is its short form")
    parser.add_argument("--storms", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SYSTEM.random.getrandbits(31))
    parser.add_argument("--json", action="store_true")
    return parser


def _summaries(pool: ProcessPoolExecutor, extent: Extent) -> Iterator[Summary]:
    for number, line_class in enumerate(CLASSES):
        seeds = [extent.seed + number * extent.calls + call for call in range(extent.calls)]
        results: list[CallResult] = []
        for result in pool.map(_measure, [number] * extent.calls, seeds, chunksize=4):
            results.append(result)
            if sys.stderr.isatty():
                progress = f"{line_class.name}: {len(results)}/{extent.calls}"
                print(f"\r{progress}\033[K", end="\r", file=sys.stderr, flush=True)
        summary = summarise(line_class, results)
        print(f"    {summary}", *(f"        {fault}" for fault in summary.faults[:5]), sep="\n", file=sys.stderr)
        yield summary


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
