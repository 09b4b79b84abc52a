"""`make bench`: compares the real server with a bare bridge on the same stack, under the same load, in the same run.

Server and load are separate processes, each on its own core where there are two. The systems run in turns, so that
other work of the machine affects both. Read the ratio, not the absolute figures.

- CPU: user and system time of the server process, per call and second
- RSS: growth of the server process's memory with the calls, per call
- in: from a caller's 20 ms frame sent to its last sample at the model's socket
- out: from the first delta of an answer sent to its first media message at the caller's end
- barge: from speech_started sent to `clear` at the caller's end
- underruns: audible holes within an answer
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from telephony.urls import websocket_address

SYSTEMS = {
    "ours": ["-m", "telephony", "serve", "examples.receptionist:agent", "--port", "0", "--json"],
    "bare": ["-m", "benchmarks.bare_bridge"],
}
RATIO_LIMIT = 1.5


def main() -> int:
    arguments = parse_arguments()
    if not sys.platform.startswith("linux"):
        sys.stderr.write("The CPU time and memory of the server are read from /proc: this runs on Linux only.\n")
        return 2
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
    for number in range(arguments.rounds):
        # The first system changes from round to round.
        for name in list(SYSTEMS) if number % 2 == 0 else list(SYSTEMS)[::-1]:
            sys.stderr.write(f"round {number + 1} of {arguments.rounds}: {name}\n")
            runs[name].append(run_once(name, arguments.calls, arguments.seconds))
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions(),
        "cores": len(cores()),
        "calls": arguments.calls,
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "systems": {name: summary(each) for name, each in runs.items()},
    }
    report["cpu_ratio"] = (
        report["systems"]["ours"]["cpu_ms_per_call_s"] / report["systems"]["bare"]["cpu_ms_per_call_s"]
    )
    if arguments.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        show(report)
    if arguments.check and report["cpu_ratio"] > RATIO_LIMIT:
        sys.stderr.write(f"CPU: {report['cpu_ratio']:.2f} times the bare bridge's, over {RATIO_LIMIT}\n")
        return 1
    return 0


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in ("uvicorn", "websockets", "starlette", "numpy", "uvloop"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=25, help="calls at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each system, in turns")
    parser.add_argument("--short", action="store_true", help="5 calls for 6 s, once")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--check", action="store_true", help=f"fail when the CPU ratio is over {RATIO_LIMIT}")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.calls, arguments.seconds, arguments.rounds = 5, 6.0, 1
    return arguments


def run_once(name: str, calls: int, seconds: float, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run one system once, in fresh processes. `settings` are added to the server's environment."""
    server_core, *others = cores()
    with process(["-m", "benchmarks.load"], core=others[0] if others else None) as load:
        model = read(load)["model"]
        core = server_core if others else None
        with process(SYSTEMS[name], core=core, model=model, settings=settings) as server:
            address = websocket_address(read(server)["listening"], "/media-stream")
            order = {"server": address, "pid": server.pid}
            # The first call triggers late imports and is not counted.
            write(load, order | {"calls": 1, "seconds": 2.0})
            read(load)
            write(load, order | {"calls": calls, "seconds": seconds})
            return read(load)


@contextlib.contextmanager
def process(
    arguments: list[str], *, core: int | None, model: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a Python process that speaks JSON lines, on one core."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TWILIO_", "TELEPHONY_"))}
    environment.pop("PUBLIC_URL", None)
    if model is not None:
        environment |= {"OPENAI_BASE_URL": model, "OPENAI_API_KEY": "bench", "LOG_LEVEL": "warning"}
    environment |= settings or {}
    child = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    with child:
        try:
            yield child
        finally:
            child.terminate()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def read(child: subprocess.Popen[str]) -> dict[str, Any]:
    pipe: IO[str] | None = child.stdout
    assert pipe is not None
    line = pipe.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, child.args))} ended with {child.wait()}")  # type: ignore[arg-type]
    message: dict[str, Any] = json.loads(line)
    return message


def write(child: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(message) + "\n")
    child.stdin.flush()


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the runs: CPU and memory as medians, latencies over all runs."""
    figures = [run["figures"] for run in runs]
    result: dict[str, Any] = {
        "cpu_ms_per_call_s": median(run["cpu_ms_per_call_second"] for run in runs),
        "cpu_ms_per_call_s_runs": [round(run["cpu_ms_per_call_second"], 3) for run in runs],
        "rss_mb_per_call": median(run["rss_mb_per_call"] for run in runs),
    }
    for key, name in (("in", "up"), ("out", "out"), ("barge", "barge"), ("load_late", "late")):
        seconds = sorted(value for each in figures for value in each[name])
        result[f"{key}_ms"] = {
            "p50": 1000 * quantile(seconds, 0.5),
            "p99": 1000 * quantile(seconds, 0.99),
            "n": len(seconds),
        }
    for name in ("answers", "underruns", "underrun_s", "frames_sent", "frames_received"):
        result[name] = sum(each[name] for each in figures)
    result["load_busy"] = max(run["load_busy"] for run in runs)
    return result


def quantile(ordered: list[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def show(report: dict[str, Any]) -> None:
    table = Table(
        title=f"{report['calls']} calls at once for {report['seconds']:g} s, {report['rounds']} rounds; "
        f"Python {report['python']}, {report['cores']} cores"
    )
    for column in ("", "CPU", "MB/call", "in p50/p99", "out p50/p99", "barge p50/p99"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_column("underruns", justify="right")
    for name, figures in report["systems"].items():
        spans = [f"{figures[key]['p50']:.1f}/{figures[key]['p99']:.1f}" for key in ("in_ms", "out_ms", "barge_ms")]
        table.add_row(
            name,
            f"{figures['cpu_ms_per_call_s']:.2f}",
            f"{figures['rss_mb_per_call']:.2f}",
            *spans,
            f"{figures['underruns']} ({1000 * figures['underrun_s']:.0f} ms)",
        )
    console = Console()
    console.print(table)
    late = report["systems"]["ours"]["load_late_ms"]
    console.print(
        f"CPU, ours / bare: {report['cpu_ratio']:.2f}. CPU in ms per call-second, times in ms; "
        f"the load's own frames went out {late['p50']:.1f}/{late['p99']:.1f} late."
    )


if __name__ == "__main__":
    sys.exit(main())
