"""The end of an attempt whose process has ended: the call record decides the outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime_core.events import AudioData, RealtimeAudio, RealtimeEventInfo
from realtime_core.run_context import RunContextWrapper
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Outcome
from telephony.campaigns.finished_call import ended_elsewhere
from telephony.records.call_record import CallRecord
from telephony.web.call_details import CallDetails

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SPOKEN = {"at_ms": 900, "latency_ms": None}
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
        ({"status": "completed", "answered_at": NOON}, Outcome.ABANDONED),
        ({"status": "completed", "answered_at": NOON, "turns": []}, Outcome.ABANDONED),
        ({"status": "completed", "answered_by": "human", "turns": []}, Outcome.ABANDONED),
        ({"status": "completed", "answered_at": NOON, "turns": [SPOKEN]}, Outcome.INCOMPLETE),
    ],
)
def test_each_ending_of_a_call_record_is_an_outcome(row: dict[str, Any], outcome: Outcome) -> None:
    end = NOON + timedelta(minutes=1)
    record = CallRecord("a1", sid="CA1", ended_at=end, **row)
    ended = ended_elsewhere(ATTEMPT, record, CampaignConfig(), NOON + timedelta(hours=1))
    assert (ended.outcome, ended.sid, ended.ended_at) == (outcome, "CA1", end)


def test_the_first_words_are_due_for_the_record_at_once() -> None:
    """So the record of a killed process says whether the agent has spoken."""

    def audio(response: str) -> RealtimeAudio:
        info = RealtimeEventInfo(RunContextWrapper(None))
        return RealtimeAudio(AudioData(bytes(2), response_id=response), "item", 0, info)

    details = CallDetails()
    details.begin(10.0)
    assert not details.is_due(10.5)
    details.on_event(audio("r1"), 11.0)
    assert details.is_due(11.0) and details.changes()["turns"] == [{"at_ms": 1000, "latency_ms": None}]
    details.on_event(audio("r2"), 12.0)
    assert not details.is_due(12.0) and details.is_due(21.0), "the next turns wait for ten seconds"
