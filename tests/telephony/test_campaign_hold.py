"""Why a campaign starts no call now: in the stores, on the command line and in the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.campaigns.campaign import Campaign, CampaignStatus, PauseReason
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Contact, Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.campaigns.hold_status import HoldStatus, hold_status
from telephony.campaigns.memory_store import MemoryStore
from telephony.campaigns.queue_backoff import QueueBackoff
from telephony.campaigns.store import CampaignStore
from telephony.cli.app import app
from telephony.outbound.dialing_rules import DialingRules
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey

NOON = datetime(2026, 6, 1, 19, tzinfo=UTC)
"""A Monday, 12:00 in California."""
PEOPLE = [f"+1415555012{n}" for n in range(3, 6)]
FREE = DialingRules.none()
QUIET = replace(FREE, quiet_from=time(11), quiet_until=time(13))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CampaignStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as records:
        yield DatabaseStore(records.transaction, SubjectKey(b"of the tests").of)


def held(store: CampaignStore, rules: DialingRules = FREE, at: datetime = NOON) -> HoldStatus | None:
    campaign = store.campaign("spring")
    assert campaign is not None
    return hold_status(store, campaign, at, rules)


def add(store: CampaignStore, **config: Any) -> None:
    options = CampaignConfig(**{"at_once": 10, "per_second": 100, "windows": [], **config})
    store.add(Campaign("spring", options, NOON), [Contact(f"c{n}", number) for n, number in enumerate(PEOPLE)])
    store.set_status("spring", CampaignStatus.RUNNING, NOON)


def begin(store: CampaignStore, contact: str, after_s: float = 0.0) -> Attempt:
    at = NOON + timedelta(seconds=after_s)
    attempt = store.begin("spring", contact, at, attempt_id=contact, owner="me", rules=FREE)
    assert isinstance(attempt, Attempt), attempt
    return attempt


def call(store: CampaignStore, contact: str, outcome: Outcome, after_s: float = 0.0) -> None:
    attempt = begin(store, contact, after_s)
    store.end(replace(attempt, outcome=outcome, ended_at=attempt.started_at), attempt.started_at, rules=FREE)


def test_a_campaign_that_may_call_is_not_held(store: CampaignStore) -> None:
    add(store)
    assert held(store) is None
    store.set_status("spring", CampaignStatus.STOPPED, NOON)
    assert held(store) is None


def test_a_paused_campaign_says_who_paused_it(store: CampaignStore) -> None:
    add(store)
    store.set_status("spring", CampaignStatus.PAUSED, NOON, reason=PauseReason.USER)
    assert held(store) == HoldStatus("paused", "paused by a person")


@pytest.mark.parametrize(
    ("config", "rules", "reason", "until"),
    [
        ({}, QUIET, "quiet-hours", NOON + timedelta(hours=1)),
        ({"windows": ["mon-fri 14:00-18:00"]}, FREE, "window", NOON + timedelta(hours=2)),
        ({"starts_at": NOON + timedelta(days=1)}, FREE, "campaign-start", NOON + timedelta(days=1)),
    ],
    ids=["quiet hours", "windows", "start"],
)
def test_the_hours_that_hold_a_campaign_are_said_with_their_end(
    config: dict[str, Any], rules: DialingRules, reason: str, until: datetime, store: CampaignStore
) -> None:
    add(store, **config)
    status = held(store, rules)
    assert status is not None and (status.reason, status.until) == (reason, until)
    store.begin("spring", "c0", NOON, attempt_id="a", owner="me", rules=rules)
    assert held(store, rules) == status, "also after the contacts were looked at"


def test_a_holiday_holds_a_campaign(store: CampaignStore) -> None:
    add(store)
    status = held(store, at=datetime(2026, 12, 25, 19, tzinfo=UTC))
    assert status is not None and status.reason == "holiday"


def test_a_limit_of_the_day_holds_a_campaign(store: CampaignStore) -> None:
    add(store, max_abandoned_per_day=1)
    call(store, "c0", Outcome.ABANDONED)
    status = held(store)
    assert status is not None and (status.reason, status.until) == ("abandoned", NOON + timedelta(days=1))
    assert str(status) == "max_abandoned_per_day is reached, until 2026-06-02 19:00 UTC"


def test_a_budget_holds_a_campaign(store: CampaignStore) -> None:
    add(store, max_minutes=10, max_s=240)
    begin(store, "c0")
    assert held(store, at=NOON + timedelta(seconds=1)) is None
    begin(store, "c1", 1.0)
    status = held(store, at=NOON + timedelta(seconds=2))
    assert status is not None and status.reason == "budget"


def test_a_campaign_whose_contacts_wait_says_when_the_next_is_due(store: CampaignStore) -> None:
    add(store, retry={"busy": "1/30m"})
    for n, contact in enumerate(("c0", "c1", "c2")):
        call(store, contact, Outcome.BUSY, float(n))
    status = held(store, at=NOON + timedelta(seconds=5))
    assert status == HoldStatus("not-due", "no contact is due", NOON + timedelta(minutes=30))


def test_the_command_line_says_why_a_campaign_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_DATA_DIR", str(tmp_path))
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as records:
        later = datetime(2999, 1, 1, tzinfo=UTC)
        add(DatabaseStore(records.transaction, SubjectKey(b"of the tests").of), starts_at=later)
    for name in (["spring"], []):
        result = CliRunner().invoke(app, ["campaign", "status", *name])
        assert "held: starts_at is not reached, until 2999-01-01 00:00 UTC" in result.output
        result = CliRunner().invoke(app, ["campaign", "status", *name, "--json"])
        found = json.loads(result.stdout)
        assert (found if name else found[0])["held"] == {
            "reason": "campaign-start", "text": "starts_at is not reached", "until": "2999-01-01T00:00:00+00:00",
        }  # fmt: skip


def test_the_queue_is_tried_again_later_and_later() -> None:
    backoff = QueueBackoff()
    assert backoff.is_due(0.0) and backoff.failed(0.0, "no disk")
    now, pauses = 0.0, list[float]()
    for _ in range(7):
        began = now
        while not backoff.is_due(now):
            now += 0.5
        pauses.append(now - began)
        assert not backoff.failed(now, "no disk"), "only the first error in a row is logged"
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert backoff.error == "no disk" and backoff.succeeded() and not backoff.error
    assert not backoff.succeeded() and backoff.failed(now, "again")
    assert not backoff.is_due(now + 0.9) and backoff.is_due(now + 1.0)
