"""Calls of a process that has ended do not stay `in-progress` for ever: each process renews a lease, the other
processes close its calls, and a process that was only frozen gets its calls back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from telephony.errors import RecordsUnavailable
from telephony.records import client as records_client
from telephony.records import engine
from telephony.records.call_query import CallQuery
from telephony.records.call_record import CallUpdate
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from tests.support import commands
from tests.support.call_processes import until
from tests.support.databases import Cluster

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(s: float) -> datetime:
    return NOON + timedelta(seconds=s)


def begun(key: str, process: str, s: float = 0, status: str = "in-progress") -> CallUpdate:
    return CallUpdate(key, at(s), True, {"sid": key, "process": process, "status": status})


def status_of(database: DatabaseRecords, key: str) -> tuple[str, bool]:
    row = database.call(key)
    assert row is not None and (row.ended_at is not None) == row.over
    return row.status, row.over


def test_only_open_calls_of_expired_leases_are_closed(database: DatabaseRecords) -> None:
    assert not database.renew("dead", ttl_s=60, now=at(0)), "it had none"
    assert not database.renew("lives", ttl_s=60, now=at(0))
    over = CallUpdate("over", at(1), True, {"process": "dead", "status": "busy", "ended_at": at(1)})
    database.note([begun("CA1", "dead"), begun("CA2", "dead", status="queued"), begun("CA3", "lives"), over])
    assert database.renew("lives", ttl_s=60, now=at(59))
    assert database.interrupt(at(59)) == 0
    assert database.is_alive("dead", now=at(59)) and not database.is_alive("dead", now=at(60))
    assert database.interrupt(at(60)) == 2
    assert [status_of(database, key)[0] for key in ("CA1", "CA2", "CA3", "over")] == [
        "interrupted", "interrupted", "in-progress", "busy"]  # fmt: skip
    assert database.interrupt(at(61)) == 0, "once"
    database.leave("lives")
    assert database.interrupt(at(61)) == 1, "it left, and this call was left behind"


def test_a_frozen_process_gets_its_calls_back(database: DatabaseRecords) -> None:
    database.renew("frozen", ttl_s=60, now=at(0))
    database.note([begun("CA1", "frozen"), begun("CA2", "frozen"), begun("CA3", "frozen")])
    assert database.interrupt(at(100)) == 3
    assert not database.renew("frozen", ttl_s=60, now=at(101)), "and so it learns of it"
    database.note([begun("CA1", "frozen", 101)])
    assert status_of(database, "CA1") == ("in-progress", False)
    database.note([CallUpdate("CA2", at(99), True, {"status": "completed", "ended_at": at(99), "reason": "hung up"})])
    row = database.call("CA2")
    assert row is not None and (row.status, row.ended_at, row.reason) == ("completed", at(99), "hung up")
    assert database.interrupt(at(102)) == 0
    database.note([begun("CA2", "frozen", 103)])
    assert status_of(database, "CA2") == ("completed", True), "a final state stays"
    assert status_of(database, "CA3") == ("interrupted", True), "what nobody knows better"


def test_many_processes_close_at_once(database: DatabaseRecords) -> None:
    for number in range(10):
        database.renew(f"dead{number}", ttl_s=60, now=at(0))
        database.note([begun(f"CA{number}", f"dead{number}"), begun(f"CB{number}", f"dead{number}")])
    with ThreadPoolExecutor(4) as threads:
        closed = list(threads.map(lambda s: database.interrupt(at(60 + s)), range(12)))
        renewed = list(threads.map(lambda n: database.renew(f"dead{n % 3}", ttl_s=60, now=at(80)), range(12)))
    assert sum(closed) == 20
    assert not all(renewed), "they find their leases gone"
    assert all(database.renew(f"dead{number}", ttl_s=60, now=at(80)) for number in range(3))


def test_a_call_of_an_older_release_is_closed_after_a_day(database: DatabaseRecords) -> None:
    database.note([begun("CA1", ""), begun("CA2", "", 3600)])
    assert database.interrupt(at(86_400)) == 0
    assert database.interrupt(at(86_401)) == 1
    assert [status_of(database, key)[0] for key in ("CA1", "CA2")] == ["interrupted", "in-progress"]


def test_postgresql_takes_the_locks_of_a_process_that_is_frozen_in_a_transaction(
    postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.new_database()
    with closing(DatabaseRecords(url)) as frozen, closing(DatabaseRecords(url)) as other:
        for each in (frozen, other):  # the tables are made without the short limit
            each.note([begun("CA1", "frozen")])
        monkeypatch.setattr(engine, "_FROZEN_S", 1)
        with pytest.raises(RecordsUnavailable), frozen._transaction() as connection:
            connection.exec_driver_sql("UPDATE telephony_calls SET reason = 'lost'")
            waited = 0
            while True:
                try:
                    other.note([CallUpdate("CA1", at(1), True, {"agent": "Desk"})])
                    break
                except RecordsUnavailable:  # the statement waited for the lock until its own time limit
                    waited += 1
                    assert waited < 20
            connection.exec_driver_sql("SELECT 1")
        row = frozen.call("CA1")
        assert row is not None and (row.agent, row.reason) == ("Desk", "")


def test_sqlite_is_read_while_a_frozen_process_keeps_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.records.engine.WITHIN_S", 1)
    file = tmp_path / "records.db"
    with closing(DatabaseRecords(f"sqlite:///{file}")) as database:
        database.note([begun("CA1", "a")])
        with closing(sqlite3.connect(file, isolation_level=None)) as frozen:
            frozen.execute("BEGIN IMMEDIATE")
            assert database.call("CA1") is not None and len(database.calls(CallQuery())) == 1
            assert not database.is_alive("a", now=at(0))
            assert database.spent(at(-1), at(0)).seconds == 0
            with pytest.raises(RecordsUnavailable):
                database.note([begun("CA2", "a")])


# --- real processes ------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from telephony.records import client as records_client
from telephony.records.database import DatabaseRecords

records_client.LEASE_S, records_client.RENEW_S = 3.0, 0.2

async def main():
    async with records_client.RecordsClient(DatabaseRecords(sys.argv[1]), retry_s=0.1) as client:
        def note():
            client.note(sys.argv[2], sid=sys.argv[2], process=client.process, status="in-progress")
        client.on_lease_lost = note
        note()
        await asyncio.sleep(60)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def process_with_a_call(url: str, sid: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await commands.start_async("-c", CHILD, url, sid)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def freeze(process: asyncio.subprocess.Process, url: str) -> None:
    """Stops a process between two transactions. A process that is stopped within one keeps the lock of an SQLite file,
    and then no other process can write.
    """
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        if not url.startswith("sqlite:///") or await asyncio.to_thread(can_write, url.removeprefix("sqlite:///")):
            return
        os.kill(process.pid, signal.SIGCONT)
        await asyncio.sleep(0.05)


def can_write(path: str) -> bool:
    with contextlib.closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


@pytest.mark.real_time
async def test_a_killed_process_s_calls_are_closed_and_a_frozen_one_s_come_back(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_client, "LEASE_S", 3.0)
    monkeypatch.setattr(records_client, "RENEW_S", 0.2)
    database = DatabaseRecords(shared_database_url)

    async def status(sid: str, wanted: str) -> None:
        async with asyncio.timeout(60):
            while (row := await client.call(sid)) is None or row.status != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async with RecordsClient(database) as client, RecordsClient(DatabaseRecords(shared_database_url)) as other:
        async with (
            process_with_a_call(shared_database_url, "CA1") as killed,
            process_with_a_call(shared_database_url, "CA2") as frozen,
            process_with_a_call(shared_database_url, "CA3"),
        ):
            for sid in ("CA1", "CA2", "CA3"):
                await status(sid, "in-progress")
            killed.kill()
            await freeze(frozen, shared_database_url)
            for sid in ("CA1", "CA2"):
                await status(sid, "interrupted")
            os.kill(frozen.pid, signal.SIGCONT)
            await status("CA2", "in-progress")
            row = await client.call("CA2")
            assert row is not None and row.ended_at is None
            await status("CA1", "interrupted")
            await status("CA3", "in-progress")
        assert client.state == other.state == "ok"


@pytest.mark.real_time
async def test_after_an_outage_all_can_renew_before_any_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leases expired while the database was down. The first process that reconnects does not close the calls of the
    others.
    """
    monkeypatch.setattr(records_client, "RENEW_S", 0.05)
    database = DatabaseRecords(f"sqlite:///{tmp_path}/records.db")
    done: list[str] = []
    renew, interrupt = database.renew, database.interrupt

    def renewing(process: str, *, ttl_s: float, now: datetime) -> bool:
        held = renew(process, ttl_s=ttl_s, now=now)
        done.append("renewed" if held else "taken")
        return held

    def interrupting(now: datetime, **options: Any) -> int:
        done.append("judged")
        return interrupt(now, **options)

    monkeypatch.setattr(database, "renew", renewing)
    monkeypatch.setattr(database, "interrupt", interrupting)
    lost: list[str] = []
    async with RecordsClient(database, retry_s=0.05) as client:
        client.on_lease_lost = lambda: lost.append("lost")
        await until(lambda: done.count("judged") > 2)
        assert done[:3] == ["taken", "renewed", "judged"] and not lost
        client._database.leave(client.process)
        done.clear()
        await until(lambda: done.count("judged") > 2)
        taken = done.index("taken")
        assert done[taken : taken + 3] == ["taken", "renewed", "judged"] and lost == ["lost"]
