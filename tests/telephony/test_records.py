"""Records: claims that succeed once, calls whose news come in any order, on SQLite, PostgreSQL and in memory."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from typer.testing import CliRunner

from realtime_core.sources import SYSTEM
from telephony.cli.app import app
from telephony.doctor.check_result import CheckResult
from telephony.doctor.records import check_records
from telephony.errors import RecordsUnavailable, SettingsError
from telephony.records import Records, schema
from telephony.records.call_record import CallRecord, CallUpdate, updated
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.settings import load_settings
from tests.support import commands
from tests.support.databases import Cluster

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def news(key: str, s: float = 0, *, begins: bool = True, **changes: Any) -> CallUpdate:
    return CallUpdate(key, NOON + timedelta(seconds=s), begins, changes)


# --- claims ------------------------------------------------------------------------------------------------------


def test_a_claim_succeeds_once_until_it_expires(records: Records) -> None:
    def claim(key: str, s: float, value: str = "", kind: str = "stream token") -> tuple[bool, str]:
        claimed = records.claim(kind, key, ttl_s=60, now=NOON + timedelta(seconds=s), value=value)
        return claimed.first, claimed.value

    assert claim("a", 0, "mine") == (True, "mine")
    assert claim("a", 59, "yours") == (False, "mine")
    assert claim("b", 59) == (True, "")
    assert claim("a", 59, kind="idempotency key") == (True, "")
    assert claim("a", 60, "yours") == (True, "yours")
    assert claim("b", 61) == (False, ""), "what has not expired survives that others are removed"


def test_what_was_released_can_be_claimed_again(records: Records) -> None:
    assert records.claim("k", "a", ttl_s=60, now=NOON, call=news("CA1", status="queued")).first
    assert not records.claim("k", "a", ttl_s=60, now=NOON, call=news("CA2")).first
    assert records.call("CA1") is not None and records.call("CA2") is None
    records.release("k", "a", call_id="CA1")
    assert records.call("CA1") is None
    assert records.claim("k", "a", ttl_s=60, now=NOON).first


def test_neither_token_nor_key_is_stored(database: DatabaseRecords) -> None:
    database.claim("stream token", "CA1.of-a-token", ttl_s=60, now=NOON)
    with database._engine.begin() as connection:
        (row,) = connection.execute(sqlalchemy.select(schema.claims)).mappings()
    assert "of-a-token" not in str(dict(row)) and len(row["key_hash"]) == 64


RACE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from telephony.records.database import DatabaseRecords
from tests.support.databases import wait_for_slow_databases

wait_for_slow_databases()
noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
with closing(DatabaseRecords(sys.argv[1])) as database, ThreadPoolExecutor(3) as threads:
    print("ready", flush=True)
    sys.stdin.readline()
    claims = [f"{key}" for key in range(20) for _ in range(3)]
    claimed = threads.map(lambda key: database.claim("k", key, ttl_s=60, now=noon).first, claims)
    print(*(key for key, first in zip(claims, claimed, strict=True) if first))
"""


def test_of_many_processes_one_wins_each_claim(database_url: str) -> None:
    """Two processes with three threads each, which also create the tables at the same time."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        commands.start("-c", RACE, database_url, **streams) as one,
        commands.start("-c", RACE, database_url, **streams) as other,
    ):
        for process in (one, other):
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        winners = [key for process in (one, other) for key in process.communicate(timeout=120)[0].split()]
    assert sorted(map(int, winners)) == list(range(20))


def test_opening_a_database_keeps_the_locks_of_other_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """POSIX: to close a file takes away all locks of this process on it, those of other connections, too."""
    monkeypatch.setattr("telephony.records.engine.WITHIN_S", 1)
    file = tmp_path / "records.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as locking:
        locking.execute("CREATE TABLE it (x)")
        locking.execute("BEGIN IMMEDIATE")
        with closing(DatabaseRecords(f"sqlite:///{file}")) as other, pytest.raises(RecordsUnavailable):
            other.claim("k", "a", ttl_s=60, now=NOON)
        elsewhere = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run([sys.executable, "-c", elsewhere, file], capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr


# --- calls -------------------------------------------------------------------------------------------------------


def test_a_call_is_known_by_its_id_and_its_sid(records: Records) -> None:
    records.note([news("token", direction="outbound-api", called="+14155550123", started_at=NOON, status="queued")])
    records.note([news("token", 1, sid="CA1", status="in-progress"), news("CA1", 2, answered_by="human")])
    row = records.call("CA1")
    assert row == records.call("token")
    assert row == CallRecord(
        "token",
        sid="CA1",
        direction="outbound-api",
        called="+14155550123",
        status="in-progress",
        answered_by="human",
        started_at=NOON,
        updated_at=NOON + timedelta(seconds=2),
    )
    records.note([news("CA9", status="completed", begins=False)])
    assert records.call("CA9") is None


def test_news_of_one_call_by_many_at_once(database: DatabaseRecords) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda s: database.note([news("CA1", s), news("CA2", s)][:: 1 if s % 2 else -1]), range(60)))
    for sid in ("CA1", "CA2"):
        row = database.call(sid)
        assert row is not None and row.updated_at == NOON + timedelta(seconds=59)


def test_late_news_do_not_bring_a_call_back() -> None:
    result = [
        news("CA1", 0, status="ringing"),
        news("CA1", 2, status="completed", duration_s=2),
        news("CA1", 1, status="in-progress"),
    ]
    for order in permutations(result):
        row: CallRecord | None = None
        for each in order:
            row = updated(row, each)
        assert row is not None
        assert (row.status, row.duration_s, row.updated_at) == ("completed", 2, NOON + timedelta(seconds=2))
        assert updated(row, news("CA1", 3, ended_at=NOON)).ended_at == NOON
        ended = replace(row, ended_at=NOON, sid="CA1")
        again = updated(ended, news("CA1", 3, ended_at=NOON + timedelta(1), sid="CA2"))
        assert again is not None and (again.ended_at, again.sid) == (NOON, "CA1")


def test_a_call_that_another_process_takes_over_keeps_its_beginning(records: Records) -> None:
    moved = [news("CA1", s, started_at=NOON + timedelta(seconds=s), answered_at=NOON + timedelta(seconds=s + 1))
             for s in (5, 0, 9)]  # fmt: skip
    for each in moved:
        records.note([each])
    row = records.call("CA1")
    assert row is not None and (row.started_at, row.answered_at) == (NOON, NOON + timedelta(seconds=6))


def test_old_calls_are_removed(records: Records) -> None:
    records.note([news("CA1", 0, sid="CA1"), news("CA2", 10)])
    assert records.purge(NOON + timedelta(seconds=5), dry_run=True) == ["CA1"]
    assert records.call("CA1") is not None
    assert records.purge(NOON + timedelta(seconds=5)) == ["CA1"]
    assert records.call("CA1") is None and records.call("CA2") is not None
    assert records.purge(NOON + timedelta(seconds=5)) == []


def test_memory_keeps_the_last_calls() -> None:
    records = MemoryRecords(max_calls=2)
    records.note([news("CA1"), news("CA2"), news("CA1", sid="CA1"), news("CA3")])
    assert [records.call(sid) is None for sid in ("CA1", "CA2", "CA3")] == [False, True, False]


# --- the database ------------------------------------------------------------------------------------------------


def test_the_file_is_private(tmp_path: Path) -> None:
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as database:
        database.note([news("CA1")])
        files = list(tmp_path.iterdir())
        assert len(files) == 3, "the file, and two that SQLite has beside it"
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_newer_schema_is_left_alone(database: DatabaseRecords, database_url: str) -> None:
    database.note([news("CA1")])
    assert f"schema {schema.VERSION}" in database.check()
    with database._engine.begin() as connection:
        connection.execute(sqlalchemy.update(schema.schema).values(version=schema.VERSION + 1))
    with closing(DatabaseRecords(database_url)) as later:
        for use in (later.check, lambda: later.note([news("CA2")])):
            with pytest.raises(RecordsUnavailable, match="run the newer release"):
                use()


def test_checking_a_database_creates_no_tables(database_url: str) -> None:
    with closing(DatabaseRecords(database_url, create=False)) as database:
        for _ in range(2):
            assert "no tables yet" in database.check()


def test_what_the_database_says_is_reported_and_nothing_else(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/nowhere/records.db", "postgresql://ada:pass-word@127.0.0.1:9/records"):
        with closing(DatabaseRecords(url)) as database, pytest.raises(RecordsUnavailable) as caught:
            database.note([news("CA1", caller="+14155550123")])
        assert "+1415" not in str(caught.value) and "pass-word" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_connections_that_broke_are_made_anew(postgresql: Cluster) -> None:
    with closing(DatabaseRecords(postgresql.new_database())) as database:
        database.note([news("CA1")])
        postgresql.stop()
        with pytest.raises(RecordsUnavailable):
            database.note([news("CA2")])
        postgresql.start()
        assert database.call("CA1") is not None


def test_without_a_database_no_library_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, telephony, telephony.application.app, telephony.settings as s, telephony.records.opening as r\n"
        "assert r.open_records(s.load_settings()) is None and 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={"PATH": "", "TELEPHONY_DATA_DIR": "off"})


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match="telephony-agent\\[postgres\\]"):
        DatabaseRecords("postgres://host/records")


# --- for the operator --------------------------------------------------------------------------------------------


def looked(url: str | None) -> CheckResult:
    settings = load_settings(**({} if url is None else {"database_url": url}))
    return asyncio.run(check_records(settings, SYSTEM))


def test_the_doctor_looks_at_the_records(database_url: str, tmp_path: Path) -> None:
    assert looked(None).state == "skipped"
    empty = looked(database_url)
    assert empty.state == "ok" and ("no tables yet" in empty.message or "will be created" in empty.message)
    with closing(DatabaseRecords(database_url)) as database:
        database.note([news("CA1")])
        assert looked(database_url).message.endswith(f"schema {schema.VERSION}")
        with database._engine.begin() as connection:
            connection.execute(sqlalchemy.update(schema.schema).values(version=schema.VERSION + 1))
    later = looked(database_url)
    assert later.state == "wrong" and "run the newer release" in later.message


@pytest.mark.parametrize("url", ["sqlite:////nowhere/records.db", "postgresql://ada:pass-word@127.0.0.1:9/records"])
def test_the_doctor_finds_a_database_that_is_not_there(url: str) -> None:
    finding = looked(url)
    assert finding.state == "wrong" and finding.advice and "pass-word" not in str(finding)


def test_the_doctor_finds_a_database_that_cannot_be_written(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    with closing(DatabaseRecords(url)) as database:
        database.note([news("CA1")])
        name = url.rpartition("/")[2]
        with database._engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert (looked(url).state, "read-only" in looked(url).message) == ("wrong", True)


def test_old_records_are_purged_by_the_command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    now = SYSTEM.now()
    with closing(DatabaseRecords(database_url)) as database:
        database.note([CallUpdate("CA1", now - timedelta(days=31)), CallUpdate("CA2", now - timedelta(days=29))])
        for arguments, says in (
            (["--dry-run"], "1 call records"),
            ([], "1 call records"),
            (["--days", "0"], "1 call records"),
        ):
            done = CliRunner().invoke(app, ["calls", "purge", *arguments])
            assert done.exit_code == 0 and says in done.stdout, done.output
            assert (database.call("CA1") is None) is (arguments != ["--dry-run"])
        assert database.call("CA2") is None
