"""`telephony certify` on the simulated Twilio: a clean run passes, and each planted deviation is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core.testing import virtual_time
from telephony.certify.report import page
from telephony.certify.runner import Certificate, cost_usd
from telephony.certify.scenarios import SCENARIOS
from telephony.certify.simulated import certify_simulated
from telephony.simulator.deviations import Deviations


def certified(*names: str, **planted: Any) -> Certificate:
    async def main() -> Certificate:
        scenarios = [each for each in SCENARIOS if not names or each.name in names]
        return await certify_simulated(scenarios=scenarios, silence_s=4.0, **planted)

    return virtual_time.run(main, seed=1)


@pytest.fixture(scope="module")
def clean() -> Certificate:
    return certified()


def test_a_clean_run_passes(clean: Certificate) -> None:
    assert [check for check in clean.checks if not check.passed] == []
    assert clean.suspects == [] and clean.to_json()["proposals"] == []
    assert len(clean.calls) == 10


PLANTED: dict[str, tuple[str, dict[str, Any]]] = {
    "start delay": ("line", {"start_delay_s": 0.4}),
    "marks late": ("line", {"deviations": Deviations(marks_late_s=0.4)}),
    "marks before playing": ("line", {"deviations": Deviations(marks_early=True)}),
    "timestamps that jump": ("line", {"deviations": Deviations(stamps_jump_ms=500)}),
    "clear ignored": ("barge-in", {"deviations": Deviations(ignores_clear=True)}),
    "AMD wrong": ("machine", {"deviations": Deviations(verdict="human")}),
    "signatures over another URL": ("near hangs up", {"deviations": Deviations(signed_for="https://other.example")}),
    "callbacks lost": ("near hangs up", {"lost": ("completed",)}),
}


@pytest.mark.parametrize("deviation", PLANTED)
def test_a_planted_deviation_is_named(deviation: str) -> None:
    scenario, planted = PLANTED[deviation]
    found = certified(scenario, **planted)
    assert found.suspects == [deviation]
    assert not found.passed


def test_a_correction_of_the_simulator_is_proposed() -> None:
    (proposal,) = certified("line", start_delay_s=0.4).to_json()["proposals"]
    assert proposal.startswith("Line(start_delay_s=0.")


def test_a_run_costs_less_than_five_dollars() -> None:
    assert 0 < cost_usd() < 5


def test_the_report_says_simulated(clean: Certificate) -> None:
    html = page(clean.to_json())
    assert "simulated" in html and "machine detection" in html and "<script" not in html


def test_the_command_runs_against_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony.cli.app import app

    monkeypatch.setenv("TELEPHONY_SIMULATE", "1")
    done = CliRunner().invoke(app, ["certify", "--json", "--output", str(tmp_path / "report.html"), "--silence", "4"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["simulated"] is True
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True


def test_the_command_asks_for_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony.cli.app import app

    for name in ("TELEPHONY_SIMULATE", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["certify", "--from", "+14155550100", "--to", "+14155550101", "--yes"])
    assert done.exit_code != 0 and "TWILIO_ACCOUNT_SID" in done.output
