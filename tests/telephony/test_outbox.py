"""The outbox of the records: written with the end of a call, claimed by one process, taken over, bounded."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from telephony.records import Records
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.outbox import MAX_PAYLOAD_BYTES, Message, MessageState

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


def at(s: float) -> datetime:
    return NOON + timedelta(seconds=s)


def ended(key: str, s: float = 0.0, *, announce_s: float | None = 0.0, **changes: Any) -> CallUpdate:
    return CallUpdate(key, at(s), True, {"sid": key, "status": "completed", **changes}, announce_s)


def claim(records: Records, s: float, *, limit: int = 10) -> list[Message]:
    return records.outbox.claim_due(at(s), lease_s=60.0, limit=limit)


def test_only_a_call_that_is_over_has_a_message(records: Records) -> None:
    records.note([CallUpdate("CA1", NOON, True, {"status": "in-progress"}, 0.0), ended("CA2", announce_s=None)])
    assert records.outbox.messages() == []
    records.note([ended("CA1", 1)])
    (message,) = claim(records, 1)
    body = json.loads(message.payload)
    assert (body["type"], body["data"]["id"], body["data"]["status"]) == ("call.ended", "CA1", "completed")
    assert (message.call_id, message.attempts, message.state) == ("CA1", 1, MessageState.PENDING)


def test_news_of_a_call_change_a_message_that_no_process_has_tried(records: Records) -> None:
    records.note([ended("CA1", announce_s=60.0), ended("CA1", 1, announce_s=0.0, summary="A table.")])
    records.note([ended("CA1", 2, announce_s=60.0, summary="A table for two.")])
    (message,) = claim(records, 2)
    assert "A table for two." in message.payload, "and the earlier time counts"
    records.note([ended("CA1", 3, summary="Late.")])
    (known,) = records.outbox.messages()
    assert known.payload == message.payload, "a receiver may have it"
    assert claim(records, 4) == []


def test_a_message_is_claimed_once_and_again_when_the_claim_has_run_out(records: Records) -> None:
    records.note([ended("CA1")])
    (first,) = claim(records, 0)
    assert claim(records, 59) == []
    (second,) = claim(records, 61)
    assert (second.id, second.payload, second.attempts) == (first.id, first.payload, 2)
    delivered = {"state": MessageState.DELIVERED, "due_at": at(62)}
    assert not records.outbox.settle(_with(first, **delivered)), "the process that was too slow changes nothing"
    assert records.outbox.settle(_with(second, **delivered))
    assert claim(records, 1000) == []


def test_a_dead_message_is_redelivered_on_request(records: Records) -> None:
    records.note([ended("CA1"), ended("CA2")])
    for message in claim(records, 0):
        assert records.outbox.settle(_with(message, state=MessageState.DEAD, error="HTTP 500"))
    assert records.outbox.waiting().dead == 2
    one = records.outbox.messages()[0]
    assert records.outbox.redeliver([one.id], at(90_000)) == 1
    assert [each.id for each in claim(records, 90_000)] == [one.id]
    assert records.outbox.redeliver(None, at(90_001)) == 1
    (other,) = claim(records, 90_001)
    assert other.give_up_at == at(90_001) + timedelta(days=1)


def test_pending_messages_are_counted(records: Records) -> None:
    assert records.outbox.waiting().pending == 0
    records.note([ended("CA1", 5), ended("CA2", 3)])
    waiting = records.outbox.waiting()
    assert (waiting.pending, waiting.dead, waiting.oldest) == (2, 0, at(3))


def test_an_interrupted_call_has_a_message_and_another_when_it_ends_after_all(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as records:
        records.renew("dead", ttl_s=60, now=NOON)
        records.note([CallUpdate("CA1", NOON, True, {"sid": "CA1", "process": "dead", "status": "in-progress"})])
        assert records.interrupt(at(61), announce=True) == 1
        (lost,) = claim(records, 61)
        assert json.loads(lost.payload)["data"]["status"] == "interrupted"
        records.note([ended("CA1", 70)])
        (ending,) = claim(records, 70)
        assert json.loads(ending.payload)["data"]["status"] == "completed"
        assert ending.id != lost.id


def test_a_message_goes_with_its_call(records: Records) -> None:
    records.note([ended("CA1"), ended("CA2", 100)])
    records.purge(at(50))
    assert [each.call_id for each in records.outbox.messages()] == ["CA2"]


def test_a_payload_is_bounded(records: Records) -> None:
    much = {"text": "x" * MAX_PAYLOAD_BYTES}
    records.note([ended("CA1", result=much, summary="Short.")])
    (message,) = claim(records, 0)
    assert len(message.payload.encode()) <= MAX_PAYLOAD_BYTES
    data = json.loads(message.payload)["data"]
    assert data["result"] is None
    assert data["summary"] == "Short."
    assert "result" in data["left_out"]


def test_two_processes_share_the_messages(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as one, closing(DatabaseRecords(database_url)) as other:
        one.note([ended(f"CA{n}") for n in range(10)])
        taken = claim(one, 0, limit=4) + claim(other, 0, limit=4) + claim(one, 0, limit=4)
        assert sorted(each.call_id for each in taken) == sorted(f"CA{n}" for n in range(10))


def _with(message: Message, **changes: Any) -> Message:
    import dataclasses

    return dataclasses.replace(message, **changes)
