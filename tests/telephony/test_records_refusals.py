"""One text, number or key that a database does not take costs at most one record: never the others, no claim, no call,
and not the writer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy

from telephony.errors import RecordRefused, RecordsUnavailable
from telephony.records import Records, call_record
from telephony.records.call_record import MAX_CHARS, CallUpdate
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.records.storable import clean_json, clean_number, clean_text, is_key
from telephony.simulator import callees
from tests.support.call_processes import OWN, PUBLIC, TO, TOKEN, finished, listener, until, world

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ODD_TEXTS = ["\0", "a\0b", "\ud800", "\udfff\ud800", "x" * 100_000, "\ud83d\ude00", "\N{GRINNING FACE}\n\x1b[31m\u2028"]
ODD_NUMBERS = [2**31, -(2**31), 2**63, 10**30, math.nan, math.inf, -math.inf]
ODD_KEYS = ["", "\0", "CA\0", "\ud800", "x" * 65, "x" * 100_000]
TEXTS = sorted(set(MAX_CHARS) - {"id", "sid"})


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- at the border -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_a_clean_text_can_be_encoded_and_has_no_nul(text: str) -> None:
    cleaned = clean_text(text, 300)
    assert len(cleaned) == min(len(text), 300) and "\0" not in cleaned
    assert clean_text(cleaned) == cleaned == cleaned.encode().decode()


def test_clean_json_is_json_for_every_reader() -> None:
    odd = {"a\0": ["\ud800", {"b": math.nan}, (math.inf, 1, True, None)]}
    assert clean_json(odd) == {"a\N{REPLACEMENT CHARACTER}": [
        "\N{REPLACEMENT CHARACTER}", {"b": None}, [None, 1, True, None]]}  # fmt: skip


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_a_number_that_fits_no_column_is_none(number: float) -> None:
    assert clean_number(number) is None or abs(number) < 2**31
    assert clean_number(17) == 17 and clean_number(0.5) == 0.5


def test_every_text_of_a_call_can_be_odd(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as database:
        for at, text in enumerate(ODD_TEXTS):
            key = f"CA{at}"
            database.note([CallUpdate(key, NOON, True, dict.fromkeys(TEXTS, text) | {"sid": text})])
            row = database.call(key)
            assert row is not None and row.sid in (None, text)
            for name in TEXTS:
                assert getattr(row, name) == clean_text(text, MAX_CHARS[name])


def test_every_number_of_a_call_can_be_odd(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as database:
        for at, number in enumerate(ODD_NUMBERS):
            database.note([CallUpdate(f"CA{at}", NOON, True, {"duration_s": number, "cost": number})])
            row = database.call(f"CA{at}")
            assert row is not None and row.duration_s == row.cost == clean_number(number)


def test_an_odd_key_is_no_call_s(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as database:
        for key in ODD_KEYS:
            assert not is_key(key) and database.call(key) is None
            assert database.claim("idempotency key", key, ttl_s=60, now=NOON, value=key).first
            assert not database.claim("idempotency key", key, ttl_s=60, now=NOON).first
            database.release("idempotency key", key)


@pytest.mark.real_time
async def test_an_odd_key_is_dropped_by_the_recorder(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with RecordsClient(DatabaseRecords(database_url)) as client:
        for key in ODD_KEYS:
            client.note(key, status="completed")
            assert await client.call(key) is None
        assert (client.state, client.waiting) == ("ok", 0)
    assert len(caplog.records) == len(ODD_KEYS) and len(caplog.text) < 5000


# --- behind the border -------------------------------------------------------------------------------------------


async def check_goes_on(client: RecordsClient, key: str) -> None:
    """Checks that notes are written, that tokens and keys are claimed, and that the readiness reports this."""
    client.note(key, status="completed")
    await until(lambda: not client.waiting)
    assert client.state == "ok"
    assert await client.claim("stream token", key, 60)
    begun = CallUpdate(f"of {key}", NOON, True, {"status": "queued"})
    assert (await client.reserve("idempotency key", key, 60, "", begun)).first
    assert not (await client.reserve("idempotency key", key, 60, "", begun)).first


NOT_CLEANED: list[dict[str, Any]] = [
    {"reason": "a\0b"},
    {"reason": "\ud800"},
    {"duration_s": 2**70},
    {"status": "x" * 1000},
    {"started_at": "no date"},
    {"error": {"of": "a gateway"}},
    {"no_such_column": 1},
]


@pytest.mark.real_time
@pytest.mark.parametrize("changes", NOT_CLEANED, ids=lambda it: str(it)[:30].encode("ascii", "replace").decode())
async def test_a_record_that_the_database_refuses_is_dropped_alone(
    database_url: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Behaves as if values were not cleaned before they reach the database."""
    async with RecordsClient(DatabaseRecords(database_url), retry_s=0.05) as client:
        monkeypatch.setattr(call_record, "_fitting", lambda name, value: value)
        monkeypatch.setattr(client._memory, "note", lambda news: None)
        for number in range(30):
            client.note(f"CA{number}", **(changes if number == 7 else {"status": "completed"}))
        await check_goes_on(client, "CA99")
    with closing(DatabaseRecords(database_url)) as database:
        known = [number for number in range(30) if database.call(f"CA{number}") is not None]
    is_taken = database_url.startswith("sqlite") and changes in ({"reason": "a\0b"}, {"status": "x" * 1000})
    assert known == [number for number in range(30) if number != 7 or is_taken]
    assert (client.dropped, len(errors(caplog)) > 0) == ((0, False) if is_taken else (1, True))


def test_a_violated_constraint_refuses_one_record(database_url: str) -> None:
    """Two calls with one `CallSid`, and a trigger of the database's owner."""
    with closing(DatabaseRecords(database_url)) as database:
        database.note([CallUpdate("a", NOON, True, {"sid": "CA1"})])
        with pytest.raises(RecordRefused):
            database.note([CallUpdate("CA1x", NOON, True, {"sid": "CA1"})])
        with database._engine.begin() as connection:
            for statement in TRIGGERS[connection.dialect.name]:
                connection.exec_driver_sql(statement)
        with pytest.raises(RecordRefused, match="no evil"):
            database.note([CallUpdate("b", NOON, True, {"agent": "evil"})])
        database.note([CallUpdate("b", NOON, True, {"agent": "good"})])


TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER t BEFORE INSERT ON telephony_calls WHEN NEW.agent = 'evil' "
        "BEGIN SELECT RAISE(ABORT, 'no evil'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.agent = 'evil' THEN RAISE EXCEPTION 'no evil'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER t BEFORE INSERT ON telephony_calls FOR EACH ROW EXECUTE FUNCTION f()",
    ],
}


def test_a_missing_table_makes_the_database_unavailable(database_url: str) -> None:
    with closing(DatabaseRecords(database_url)) as database:
        database.note([CallUpdate("a", NOON)])
        with database._engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE telephony_calls"))
        with pytest.raises(RecordsUnavailable):
            database.note([CallUpdate("a", NOON)])


class Raising(MemoryRecords):
    """Raises for the calls whose id begins with `bad`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def note(self, news: Sequence[CallUpdate]) -> None:
        if any(each.key.startswith("bad") for each in news):
            raise self.error
        super().note(news)


@pytest.mark.real_time
@pytest.mark.parametrize(
    "error",
    [RuntimeError("a defect"), UnicodeError("odd"), AssertionError(), RecordRefused("no"),
     RecordsUnavailable("canceling statement due to lock timeout")],
    ids=lambda it: type(it).__name__,
)  # fmt: skip
async def test_the_writer_continues_whatever_it_meets(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    records = Raising(error)
    async with RecordsClient(records, retry_s=0.01) as client:
        for number in range(30):
            client.note(f"CA{number}")
            if number in (3, 20):
                client.note(f"bad{number}")
        await until(lambda: not client.waiting)
        await until(lambda: client.state == "ok")
        await check_goes_on(client, "CA99")
    assert all(records.call(f"CA{number}") is not None for number in range(30))
    assert client.dropped == 2
    assert len([line for line in errors(caplog) if "is dropped" in line and "bad" in line]) == 2


@pytest.mark.real_time
async def test_a_defect_of_the_writer_is_reported_and_the_writer_continues(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records: Records = MemoryRecords()
    async with RecordsClient(records, retry_s=0.01) as client:
        write, failures = client._write_batch, iter([True, True, False])

        async def failing() -> None:
            if next(failures, False):
                raise LookupError("a defect")
            await write()

        monkeypatch.setattr(client, "_write_batch", failing)
        client.note("CA1", status="completed")
        await until(lambda: client.state == "unavailable")
        await until(lambda: records.call("CA1") is not None)
        await until(lambda: client.state == "ok")
        assert client._writer is not None
        client._writer.cancel()
        await asyncio.wait([client._writer])
        assert client.state == "unavailable", "and where it does not run the readiness says so"
    assert any("a defect" in (record.exc_text or "") for record in caplog.records)


# --- the whole application -----------------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_odd_ids_in_the_api_are_no_calls(database_url: str) -> None:
    async with world(database_url, "a") as it:
        for path in ("%00", "CA%00", "%ed%a0%80", "%ff", "x" * 65, "x" * 5000, "%F0%9F%98%80"):
            for method in ("GET", "DELETE"):
                status, _ = await it.servers["a"].ask(method, f"/calls/{path}")
                assert status == 404, (method, path)
        status, ready = await it.servers["a"].ask("GET", "/readyz")
        assert (status, ready["records"], ready["records_dropped"]) == (200, "ok", 0)


@pytest.mark.real_time
async def test_a_gateway_s_odd_error_and_a_caller_s_odd_number_stop_no_records(database_url: str) -> None:
    async with world(database_url, "a") as it:
        server, phone = it.servers["a"], it.phone("a")
        it.twilio.add_number(OWN, voice_url=f"{PUBLIC}/incoming-call")
        it.twilio.default_callee = callees.busy(after_s=0.1)
        status, call = await server.ask("POST", "/calls", {"to": TO})
        placed = it.apps["a"].state.dialer.calls[call["id"]]
        placed.state.error = "502 \0 \ud800"
        call = await finished(server, call)
        assert "\0" not in str(call)
        odd = await it.twilio.ring(caller=listener, from_="+1555\0000\ud800".encode(errors="replace").decode())
        assert len(odd.heard) > 4000
        await until(lambda: not phone.call_records.client.waiting)
        for number in range(3):
            key = f"k{number}"
            assert (await server.ask("POST", "/calls", {"to": f"+1415555014{number}"}, key=key))[0] == 201
        for sid in (call["id"], odd.sid):
            status, result = await server.ask("GET", f"/calls/{sid}", token=TOKEN)
            assert (status, result["id"]) == (200, sid)
        assert (phone.call_records.client.state, phone.call_records.client.dropped) == ("ok", 0)
