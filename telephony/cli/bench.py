"""Implements `telephony bench`, which measures the cost and the latencies of calls under load."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Any

import typer

from telephony.bench import measuring, plot, report
from telephony.bench.processes import SYSTEMS, former

from .errors import FAILED, CliError

__all__ = ["run_bench"]

_SEARCH_STEPS = 7
_PROOF_CALLS = 500
_SWEPT = ("ours", "bare bridge", "bare pass-through")


def run_bench(
    *,
    calls: int,
    seconds: float,
    rounds: int,
    sweep: str | None,
    search: bool,
    prove: bool,
    beside: Path | None,
    out: Path | None,
    limit: float | None,
    short: bool,
    json: bool,
) -> None:
    """Runs the benchmark and prints the report, with `json` as JSON. The benchmark measures this server, and minimal
    programs that only pass audio between Twilio and the model. Each of these systems is measured `rounds` times, with
    `calls` simultaneous calls for `seconds` seconds. With `short`, 5 calls run once for 4 seconds. With `out`, writes
    the report and the plot into this folder. Raises `CliError` if this server needs more than `limit` times the CPU
    time of the minimal program `bare bridge`.

    `sweep` has numbers of calls that are also measured, such as `10,25,50`. With `search`, also finds the maximum
    number of calls on one core. With `prove`, first checks that the load generator is fast enough. `beside` is the
    folder of another version of this repository, which is also measured.
    """
    if not sys.platform.startswith("linux"):
        raise CliError("The CPU time and memory of the server are read from /proc: this runs on Linux only.")
    if short:
        calls, seconds, rounds = 5, 4.0, 1
    systems = {name: system for name, system in SYSTEMS.items() if name != "echo"}
    if beside is not None:
        systems["former version, journal off"] = former(beside)
    result: dict[str, Any] = {**report.conditions(), "calls": calls, "seconds": seconds, "rounds": rounds}
    if prove:
        _say(f"proof of the load: {_PROOF_CALLS} calls against an echo")
        result["load_proof"] = measuring.prove(SYSTEMS["echo"], calls=_PROOF_CALLS, seconds=seconds)
    runs = measuring.rounds(systems, calls=calls, seconds=seconds, count=rounds, say=_say)
    result["systems"] = {name: measuring.summary(each) for name, each in runs.items()}
    result["ratios"] = report.ratios(result["systems"])
    if sweep:
        counts = [int(count) for count in sweep.split(",")]
        systems = {name: system for name, system in SYSTEMS.items() if name in _SWEPT}
        result["sweep"] = measuring.sweep(systems, counts=counts, seconds=seconds, say=_say)
    if search:
        result["most_calls"] = {
            name: measuring.search(
                name, system, seconds=seconds, start=_start(result["systems"][name]), steps=_SEARCH_STEPS, say=_say
            )
            for name, system in systems.items()
        }
    if json:
        typer.echo(jsonlib.dumps(result, indent=1))
    else:
        report.show(result)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "load.json").write_text(jsonlib.dumps(result, indent=1) + "\n")
        if "sweep" in result:
            (out / "load.svg").write_text(plot.draw(result["sweep"]))
    ratio = result["ratios"]["ours"]
    if limit is not None and ratio > limit:
        raise CliError(f"CPU: {ratio:.2f} times the bare bridge's, over {limit:g}.", code=FAILED)


def _start(figures: dict[str, Any]) -> int:
    """Returns the number of calls at which the search begins: four fifths of a core."""
    cpu_ms: float = figures["cpu_ms_per_call_s"]
    return max(10, round(800 / cpu_ms))


def _say(line: str) -> None:
    typer.echo(line, err=True)
