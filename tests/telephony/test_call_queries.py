"""Calls are found by number, agent, status and time, page by page, the same in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime_core.errors import UserError
from telephony.records import Records
from telephony.records.call_query import CallQuery, Party, page_of, query_of
from telephony.records.call_record import CallRecord, CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.records.subjects import SubjectKey
from tests.support.call_processes import TOKEN, world
from tests.support.databases import new_database

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = SubjectKey(b"of the tests")
ADA, BEN, OWN = "+14155550123", "+14155550124", "+14155550199"
MASKED = "+14•••••••23"


def call(number: int, **changes: Any) -> CallUpdate:
    at = NOON - timedelta(minutes=number)
    return CallUpdate(f"CA{number:03}", at, changes={"sid": f"CA{number:03}", "started_at": at, **changes})


def inbound(number: int, caller: str, shown: str, **changes: Any) -> CallUpdate:
    return call(number, direction="inbound", caller=shown, called=OWN, subject=KEY.of(caller), **changes)


def outbound(number: int, called: str, shown: str, **changes: Any) -> CallUpdate:
    return call(number, direction="outbound-api", caller=OWN, called=shown, subject=KEY.of(called), **changes)


CALLS = [
    inbound(0, ADA, MASKED, agent="Desk", agents=["Desk"], status="completed", ending="hung_up"),
    outbound(1, ADA, MASKED, agent='Bill\'s "Ä" 50%', agents=["Desk", 'Bill\'s "Ä" 50%'], status="busy"),
    inbound(2, BEN, BEN, agent="Desk", status="in-progress"),
    inbound(3, "anonymous", "anonymous", agent="Night", agents=["Night"], status="completed", ending="agent_hung_up"),
    outbound(2000, BEN, "+14•••••••24", agent="", status="no-answer"),
]


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """Records of each kind. The tests of this module fill them again."""
    if request.param == "memory":
        yield MemoryRecords()
        return
    url = new_database(request.param, request, tmp_path_factory.mktemp("records"))
    with closing(DatabaseRecords(url)) as database:
        yield database


@pytest.fixture
def records(kept: Records) -> Records:
    """Empty records of each kind."""
    kept.purge(NOON + timedelta(days=10_000))
    assert kept.calls(query()) == []
    return kept


def query(**given: str) -> CallQuery:
    return query_of({name.rstrip("_"): value for name, value in given.items()}, now=NOON, subject_of=KEY.of)


FOUND: list[tuple[dict[str, str], list[int]]] = [
    ({}, [0, 1, 2, 3, 2000]),
    ({"number": ADA}, [0, 1]),
    ({"number": "+1 415 555 0124"}, [2, 2000]),
    ({"number": " 14155550123"}, [0, 1]),
    ({"number": OWN}, [0, 1, 2, 3, 2000]),
    ({"number": "+14155550000"}, []),
    ({"from": ADA}, [0]),
    ({"to": ADA}, [1]),
    ({"from": BEN}, [2]),
    ({"to": BEN}, [2000]),
    ({"from": OWN}, [1, 2000]),
    ({"to": OWN}, [0, 2, 3]),
    ({"agent": "Desk"}, [0, 1, 2]),
    ({"agent": 'Bill\'s "Ä" 50%'}, [1]),
    ({"agent": "50%"}, []),
    ({"agent": "%"}, []),
    ({"status": "completed"}, [0, 3]),
    ({"status": "busy"}, [1]),
    ({"status": "hung_up"}, [0]),
    ({"since": "2m"}, [0, 1, 2]),
    ({"since": "24h"}, [0, 1, 2, 3]),
    ({"since": "7d"}, [0, 1, 2, 3, 2000]),
    ({"since": "2026-01-31"}, [0, 1, 2, 3]),
    ({"since": "2026-01-31T12:58:30+01:00"}, [0, 1]),
    ({"from": "2026-01-31T11:58", "to": "2026-01-31T12:00"}, [1, 2]),
    ({"from": "2026-01-30", "to": "2026-01-30"}, [2000]),
    ({"to": "2026-01-31"}, [0, 1, 2, 3, 2000]),
    ({"number": ADA, "status": "busy", "agent": "Desk"}, [1]),
]


def test_filters(records: Records) -> None:
    records.note(random.Random(1).sample(CALLS, len(CALLS)))
    queries = [(given, query_of(given, now=NOON, subject_of=KEY.of)) for given, _ in FOUND]
    found = [(given, [row.id for row in records.calls(requested)]) for given, requested in queries]
    assert found == [(given, [f"CA{number:03}" for number in numbers]) for given, numbers in FOUND]


TEXT_CALLS = [
    call(0, caller="+14155550171", called=OWN, sid="CA" + "ab" * 16),
    call(1, caller="anonymous", called=OWN, sid="CA01719" + "c" * 27),
    call(2, caller=OWN, called="+4930901820", sid="CA" + "d" * 32, summary="Order 55-01.71 of 2026-01-31 is late."),
    call(3, caller=MASKED, called=OWN, sid="web-call-1", outcome="cancelled"),
]
TEXTS_FOUND = {
    "(415) 555-0171": [0], "415 555 0171": [0], "415.555.0171": [0], "14155550171": [0],
    "+1 (415) 555-01": [0, 1, 2, 3], "0171": [0],
    "55-01.71": [0, 2], "+49 30": [2], "30 / 90": [], "2026-01-31": [2], "99": [0, 1, 2, 3], "•23": [3],
    "()": [], "01719": [], "ab" * 5: [], "CA" + "ab" * 16: [0], "ca" + "AB" * 16: [0], "CAabab": [0],
    "CA01719": [1], "CA": [3], "ca": [3], "CA%": [], "web-call-1": [3], "web-call": [], "call-1": [], "LATE": [2],
    "": [0, 1, 2, 3],
}  # fmt: skip


def test_a_text_finds_words_numbers_in_any_notation_and_call_ids(records: Records) -> None:
    records.note(TEXT_CALLS)
    found = {text: [row.id for row in records.calls(replace(query(), text=text))] for text in TEXTS_FOUND}
    assert found == {text: [f"CA{number:03}" for number in numbers] for text, numbers in TEXTS_FOUND.items()}


@pytest.mark.parametrize(("text", "number", "numbers"), [("415 555 0123", ADA, [0, 1]), ("x", "+14155550100", [])])
def test_a_text_that_is_a_number_also_finds_masked_calls(
    records: Records, text: str, number: str, numbers: list[int]
) -> None:
    records.note(CALLS)
    found = records.calls(replace(query(), text=text, text_number=Party.of(number, KEY.of)))
    assert [row.id for row in found] == [f"CA{number:03}" for number in numbers]


@pytest.mark.parametrize("form", ["+525512345678", "+52 1 55 1234 5678"])
def test_a_phone_with_several_numbers_is_found_by_each(records: Records, form: str) -> None:
    old, new = "+5215512345678", "+525512345678"
    records.note(
        [
            call(0, caller=old, called=OWN, subject=KEY.of(old)),
            call(1, caller=OWN, called=new, direction="outbound-api"),
            call(2, caller=MASKED, called=OWN, subject=KEY.of(new)),
            call(3, caller="+525512345679", called=OWN),
        ]
    )
    found = {name: [row.id for row in records.calls(query(**{name: form}))] for name in ("number", "from_", "to")}
    assert found == {"number": ["CA000", "CA001", "CA002"], "from_": ["CA000", "CA002"], "to": ["CA001"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_pages_have_each_call_once(records: Records, limit: int) -> None:
    """Also calls that begin at the same moment, and while new calls come."""
    same = [CallUpdate(f"CB{number}", NOON - timedelta(minutes=1), changes={"status": "busy"}) for number in range(4)]
    records.note([*CALLS, *same])
    seen: list[str] = []
    cursor = ""
    for number in range(20):
        page = page_of(records.calls(requested := query(limit=str(limit), cursor=cursor)), requested)
        assert len(page.calls) == limit or not page.cursor
        seen += [row.id for row in page.calls]
        records.note([CallUpdate(f"CN{number}", NOON + timedelta(minutes=number))])
        if not (cursor := page.cursor):
            break
    expected = ["CA000", "CB3", "CB2", "CB1", "CB0", "CA001", "CA002", "CA003", "CA2000"]
    assert [it for it in seen if not it.startswith("CN")] == expected
    assert not any(it.startswith("CN") for it in seen[limit:])


@pytest.mark.parametrize(
    "given",
    [{"number": "x"}, {"from": "0123"}, {"to": "2026-13-01"}, {"since": "yesterday"}, {"since": "5 years"},
     {"since": "999999w"}, {"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "eA"},
     {"from": "2026-01-01Tx"}, {"to": "9999-12-31"}, {"from": "0001-01-01T00:00+14:00"},
     {"since": "9999-12-31T23:00-12:00"}],
    ids=str,
)  # fmt: skip
def test_what_is_invalid_is_refused(given: dict[str, str]) -> None:
    (name,) = given
    with pytest.raises(UserError, match=f"^{name}: "):
        query_of(given, now=NOON, subject_of=KEY.of)


def test_odd_texts_find_nothing_and_fail_nowhere(records: Records) -> None:
    records.note(CALLS)
    for odd in ("\0", "\ud800", "'; --", "x" * 10_000):
        assert records.calls(query(agent=odd)) == [] and records.calls(query(status=odd)) == []


# --- over HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_the_endpoint_lists_and_pages(database_url: str) -> None:
    async with world(database_url, "a", "b") as it:
        phone = it.phone("a")
        of = phone.call_records.subjects.of
        with closing(DatabaseRecords(database_url)) as database:
            database.note([inbound(0, ADA, MASKED), outbound(1, BEN, BEN, status="busy"), inbound(2, BEN, BEN)])
            database.note([CallUpdate("CA000", NOON, changes={"subject": of(ADA)})])
        status, page = await it.servers["b"].ask("GET", "/calls?limit=2")
        assert (status, [row["id"] for row in page["calls"]]) == (200, ["CA000", "CA001"])
        assert not {"subject", "document", "process"} & set(page["calls"][0])
        status, rest = await it.servers["a"].ask("GET", f"/calls?limit=2&cursor={page['next']}")
        assert (status, [row["id"] for row in rest["calls"]], rest["next"]) == (200, ["CA002"], None)
        status, found = await it.servers["a"].ask("GET", f"/calls?number={ADA.replace('+', '%2B')}")
        assert (status, [row["id"] for row in found["calls"]]) == (200, ["CA000"])
        status, result = await it.servers["a"].ask("GET", "/calls?caller=%2B14155550123")
        assert status == 400 and "There is no parameter 'caller'" in result["error"], result
        status, result = await it.servers["a"].ask("GET", "/calls?since=x")
        assert (status, result["error"].startswith("since: ")) == (400, True)
        assert (await it.servers["a"].ask("GET", "/calls", token="wrong"))[0] == 401
        assert (await it.servers["a"].ask("GET", "/calls", token=TOKEN))[0] == 200
        with closing(DatabaseRecords(database_url)) as database:
            database.purge(NOON + timedelta(days=10_000))
        assert (await it.servers["a"].ask("GET", "/calls"))[1] == {"calls": [], "next": None}


# --- many calls ----------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_calls_are_listed_at_once(tmp_path: Path) -> None:
    """The bound is generous, for a busy machine: a query without its index would read all calls for each page."""
    file = tmp_path / "records.db"
    with closing(DatabaseRecords(f"sqlite:///{file}")) as database:
        database.note(CALLS)
        copied = CallRecord.__dataclass_fields__
        columns = ", ".join(name for name in copied if name not in ("id", "sid", "started_at"))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
                f"INSERT INTO telephony_calls (id, sid, started_at, {columns}) "
                "SELECT 'CX' || i, 'CX' || i, datetime('2025-12-31', '-' || i || ' seconds'), "
                f"{columns} FROM n, telephony_calls WHERE id = 'CA003'"
            )
            connection.commit()
        for given in ({}, {"number": ADA}, {"number": OWN}, {"agent": "Night"}, {"status": "busy"}, {"since": "24h"}):
            database.calls(query(**given))
            started = time.process_time()
            found = database.calls(query(**given))
            taken_s = time.process_time() - started
            assert found and taken_s < 2.0, (given, taken_s)
            print(given, f"{taken_s * 1000:.1f} ms")
