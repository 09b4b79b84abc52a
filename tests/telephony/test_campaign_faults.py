"""Campaigns on real processes that are killed, frozen and replaced, with faults of requests and callbacks. Each run
checks every call: none twice for one attempt, no contact lost, none after its opt-out, never too many at once.

PROOF=1 has the long form: 500 contacts and 20 kills, on SQLite with one process and on PostgreSQL with three.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.campaign_faults import Plan, run_campaign
from benchmarks.extent import extent
from tests.support.databases import Cluster

pytestmark = pytest.mark.xdist_group("processes")

PROOF = extent(0, 1)


def test_one_process_on_sqlite_is_killed_and_no_call_is_made_twice(tmp_path: Path) -> None:
    contacts, kills = (500, 20) if PROOF else (10, 1)
    report = run_campaign(Plan(f"sqlite:///{tmp_path}/records.db", contacts, kills=kills, opted_out=2, seed=1))
    assert report.problems == [] and report.kills == kills


def test_processes_on_postgresql_are_killed_and_no_call_is_made_twice(postgresql: Cluster) -> None:
    contacts, processes, kills = (500, 3, 20) if PROOF else (10, 2, 1)
    plan = Plan(
        postgresql.new_database(), contacts, processes=processes, kills=kills, restarts=bool(PROOF), opted_out=1, seed=2
    )
    report = run_campaign(plan)
    assert report.problems == [] and report.kills == kills


@pytest.mark.skipif(not PROOF, reason="the long form: PROOF=1")
def test_a_frozen_process_a_deploy_and_two_processes_with_one_name(postgresql: Cluster) -> None:
    plan = Plan(postgresql.new_database(), 200, processes=3, kills=2, freezes=2, deploys=2, twin=True, seed=3)
    report = run_campaign(plan)
    assert report.problems == [] and (report.freezes, report.deploys) == (2, 2)
