"""The end of an attempt whose process has ended: what the call record says becomes the outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Outcome
from telephony.campaigns.finished_call import ended_elsewhere
from telephony.records.call_record import CallRecord

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
ATTEMPT = Attempt("a1", "ada", "+14155550123", NOON)


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({"status": "busy"}, Outcome.BUSY),
        ({"status": "no-answer"}, Outcome.NO_ANSWER),
        ({"status": "failed"}, Outcome.FAILED),
        ({"status": "canceled"}, Outcome.CANCELED),
        ({"status": "completed", "answered_by": "machine"}, Outcome.MACHINE),
        ({"status": "completed", "answered_by": "human"}, Outcome.REACHED),
        ({"status": "completed"}, Outcome.ABANDONED),
        ({"status": "completed", "answered_at": NOON}, Outcome.INCOMPLETE),
    ],
)
def test_each_ending_of_a_call_record_is_an_outcome(row: dict[str, Any], outcome: Outcome) -> None:
    end = NOON + timedelta(minutes=1)
    record = CallRecord("a1", sid="CA1", ended_at=end, **row)
    ended = ended_elsewhere(ATTEMPT, record, CampaignConfig(), NOON + timedelta(hours=1))
    assert (ended.outcome, ended.sid, ended.ended_at) == (outcome, "CA1", end)
