"""The report of the benchmark, as a table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["BASE", "conditions", "ratios", "show"]

BASE = "bare bridge"
"""The name of the system with which the report compares all other systems: a minimal program that only passes audio
between Twilio and the model. The ratios in the report are relative to this program.
"""
_COLUMNS = 140
_LIBRARIES = ("uvicorn", "websockets", "starlette", "numpy", "orjson", "uvloop")


def conditions() -> dict[str, Any]:
    """Returns the conditions of the measurement: the date, the machine and the versions of the software."""
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 1),
        "versions": found,
    }


def ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Returns the CPU time of each system divided by the CPU time of the bare bridge in the same run. `systems` has the
    measurements of each system by its name.
    """
    base = systems[BASE]["cpu_ms_per_call_s"]
    return {name: round(each["cpu_ms_per_call_s"] / base, 3) for name, each in systems.items()}


def show(report: Mapping[str, Any]) -> None:
    """Prints the report as a table."""
    console, systems = Console(width=_COLUMNS), report["systems"]
    table = Table(
        title=f"{report['calls']} calls at once for {report['seconds']:g} s, {report['rounds']} rounds; "
        f"Python {report['python']}, {report['machine']}"
    )
    for column in (
        "", "CPU", "range", "ratio", "MB/call", "in p50/p99", "oldest p99", "out p50/p99", "barge p50/p99",
        "heard p50/p99", "underruns",
    ):  # fmt: skip
        table.add_column(column, justify="left" if not column else "right")
    for name, each in systems.items():
        low, high = each["cpu_ms_per_call_s_range"]
        table.add_row(
            name,
            f"{each['cpu_ms_per_call_s']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{report['ratios'][name]:.2f}",
            f"{each['rss_mb_per_call']:.2f}",
            _pair(each["in_ms"]),
            f"{each['in_oldest_ms']['p99']:.1f}",
            _pair(each["out_ms"]),
            _pair(each["barge_ms"]),
            _pair(each["heard_error_ms"]) if each["heard_error_ms"]["n"] else "-",
            f"{each['underruns']} ({1000 * each['underrun_s']:.0f} ms)",
        )
    console.print(table)
    late = max(each["load_late_ms"]["p99"] for each in systems.values())
    console.print(
        f"CPU in ms per call and second, ratio to the {BASE}, times in ms. The load's own frames went out at most "
        f"{late:.1f} ms late (p99). The load average was {report['load_average']}."
    )
    if (proof := report.get("load_proof")) is not None:
        console.print(
            f"The load generator {'sustains' if proof['holds'] else 'does NOT sustain'} {proof['calls']} calls against "
            f"an echo: busy {proof['load_busy']:.0%}, p99 {proof['load_late_ms']['p99']:.1f} ms late."
        )
    for name, most in report.get("most_calls", {}).items():
        console.print(f"Most calls on one core, {name}: {most}")


def _pair(figures: Mapping[str, float]) -> str:
    return f"{figures['p50']:.1f}/{figures['p99']:.1f}"
