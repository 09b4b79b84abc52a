"""Campaigns on real processes that are killed, frozen and replaced, with faults of requests and callbacks. Each run
checks every call: none twice for one attempt, no contact lost, none after its opt-out, never too many at once.

Two tests have 500 contacts and 20 kills: on SQLite with one process, and on PostgreSQL with three. `make test`
leaves the tests of this file out, because each server process takes several seconds of CPU to start. `make test` has
the parts without a kill: `test_campaign_finished_call.py`, `test_campaign_server.py` and `test_campaign_store.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.campaign_faults import REPORTS, Plan, Report, run_campaign
from tests.support.databases import Cluster

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.proof]


def proven(plan: Plan) -> Report:
    """Runs the campaign. `benchmarks.proof` names a file for the reports."""
    report = run_campaign(plan)
    if path := os.environ.get(REPORTS):
        figures = {**asdict(report), "processes": plan.processes, "seconds": round(report.seconds)}
        with Path(path).open("a") as file:
            file.write(json.dumps({**figures, "cpu_s": round(report.cpu_s)}) + "\n")
    assert report.problems == []
    return report


def test_one_process_on_sqlite_is_killed_and_no_call_is_made_twice(tmp_path: Path) -> None:
    report = proven(Plan(f"sqlite:///{tmp_path}/records.db", 500, kills=20, opted_out=2, seed=1))
    assert report.kills == 20


def test_processes_on_postgresql_are_killed_and_no_call_is_made_twice(postgresql: Cluster) -> None:
    report = proven(Plan(postgresql.new_database(), 500, processes=3, kills=20, opted_out=1, seed=2))
    assert report.kills == 20


def test_a_frozen_process_a_deploy_and_two_processes_with_one_name(postgresql: Cluster) -> None:
    plan = Plan(postgresql.new_database(), 200, processes=3, kills=2, freezes=2, deploys=2, twin=True, seed=3)
    report = proven(plan)
    assert (report.freezes, report.deploys) == (2, 2)
