"""The load benchmark in its short form, and its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from telephony.bench import measuring, plot, report
from telephony.bench.processes import SYSTEMS, System, running
from telephony.cli.app import app
from telephony.errors import BenchmarkFailed

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@LINUX
@pytest.mark.real_time
@pytest.mark.parametrize("name", ["ours", "echo"])
def test_a_system_is_measured_by_calls_over_real_sockets(name: str) -> None:
    with running(SYSTEMS[name]) as target:
        result = measuring.summary([target.measure(2, 3.0)])
    assert 280 <= result["frames_sent"] <= 302
    assert result["frames_received"] > 260
    assert result["cpu_ms_per_call_s"] > 0 and result["server_busy"] > 0
    assert result["in_ms"]["n"] == result["frames_received"]
    assert result["answers"] >= 1 and result["out_ms"]["n"] >= 1


def run(calls: int, *, late_s: float = 0.001, cpu_ms: float = 4.0) -> dict[str, Any]:
    """Returns the measurements of a load of this size."""
    figures = {name: [late_s] * 100 for name in ("up", "up_oldest", "out", "barge", "heard_error", "late")}
    counts = {"underruns": 0, "underrun_s": 0.0, "answers": 1, "frames_sent": 100, "frames_received": 100}
    return {
        "calls": calls, "seconds": 4.0, "cpu_ms_per_call_second": cpu_ms, "rss_mb_per_call": 0.2,
        "server_busy": cpu_ms * calls / 1000, "load_busy": 0.1, "figures": figures | counts,
    }  # fmt: skip


@pytest.fixture
def sustains(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """In place of processes: systems that sustain so many calls, by the arguments of their process."""
    most: dict[str, int] = {}

    class Pretended:
        def __init__(self, name: str) -> None:
            self._name = name

        def measure(self, calls: int, seconds: float) -> dict[str, Any]:
            limit = most.get(self._name, 1000)
            if calls > 2 * limit:
                raise BenchmarkFailed("too many")
            return run(calls, late_s=0.001 if calls <= limit else 0.1)

    @contextmanager
    def pretended(system: System) -> Iterator[Pretended]:
        yield Pretended(system.arguments[-1])

    monkeypatch.setattr(measuring, "running", pretended)
    return most


@pytest.mark.parametrize("most", [3, 60, 140, 300, 777])
def test_the_search_finds_the_most_calls(sustains: dict[str, int], most: int) -> None:
    sustains["it"] = most
    found = measuring.search("it", System(("it",)), seconds=1, start=100, steps=20, say=lambda line: None)
    assert most - max(2, most // 20) <= found <= most


def test_the_command_prints_every_figure_as_a_ratio_and_writes_report_and_plot(
    sustains: dict[str, int], tmp_path: Path
) -> None:
    arguments = ["bench", "--rounds", "2", "--sweep", "10,25", "--prove", "--search", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Most calls on one core, ours" in done.output and "sustains 500 calls" in done.output
    written = json.loads((tmp_path / "load.json").read_text())
    assert set(written["systems"]) == set(SYSTEMS) - {"echo"} == set(written["ratios"])
    assert set(written["sweep"]) == {"ours", "bare bridge", "bare pass-through"}
    assert written["ratios"][report.BASE] == 1.0
    assert [point["calls"] for point in written["sweep"]["ours"]] == [10, 25]
    drawing = ElementTree.parse(tmp_path / "load.svg")
    assert len(drawing.findall("{http://www.w3.org/2000/svg}polyline")) == 2 * len(written["sweep"])


def test_a_ratio_over_the_limit_fails_the_command(sustains: dict[str, int]) -> None:
    assert CliRunner().invoke(app, ["bench", "--short", "--limit", "1.0"]).exit_code == 0
    failed = CliRunner().invoke(app, ["bench", "--short", "--limit", "0.5"])
    assert failed.exit_code == 1 and "over 0.5" in failed.output


def test_a_load_whose_frames_are_late_is_not_proved(sustains: dict[str, int]) -> None:
    sustains["echo"] = 100
    assert measuring.prove(SYSTEMS["echo"], calls=100, seconds=1)["holds"]
    assert not measuring.prove(SYSTEMS["echo"], calls=150, seconds=1)["holds"]


def test_a_sweep_ends_where_a_core_is_full(sustains: dict[str, int]) -> None:
    steps = measuring.sweep({"it": System(("it",))}, counts=[10, 250, 400], seconds=1, say=lambda line: None)
    assert [step["calls"] for step in steps["it"]] == [10, 250]


def test_a_plot_without_points_is_a_plot() -> None:
    ElementTree.fromstring(plot.draw({"ours": []}))
