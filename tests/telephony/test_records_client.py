"""The records as the application uses them: what happens while the database is down, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from realtime_core.sources import SYSTEM
from telephony.errors import RecordsUnavailable
from telephony.records import ClaimResult, Records
from telephony.records.call_record import CallRecord, CallUpdate
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from tests.support.databases import Cluster

pytestmark = pytest.mark.real_time


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def until(client: RecordsClient, state: str) -> None:
    async with asyncio.timeout(60):
        while client.state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def known(client: RecordsClient, key: str) -> CallRecord:
    async with asyncio.timeout(60):
        while (row := await client.call(key)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return row


async def reserve(client: RecordsClient, key: str) -> ClaimResult:
    begun = CallUpdate(key, SYSTEM.now(), True, {"status": "queued"})
    return await client.reserve("idempotency key", key, 60, f"value of {key}", begun)


async def test_two_processes_share_what_they_know(database_url: str) -> None:
    async with RecordsClient(DatabaseRecords(database_url)) as a, RecordsClient(DatabaseRecords(database_url)) as b:
        assert (a.state, await a.claim("stream token", "1", 60)) == ("ok", True)
        assert not await b.claim("stream token", "1", 60)
        assert not await a.claim("stream token", "1", 60)
        assert (await reserve(a, "k")).first
        assert await reserve(b, "k") == ClaimResult(False, "value of k")
        a.note("CA1", status="completed", reason="hung up")
        row = await known(b, "CA1")
        assert (row.status, row.reason) == ("completed", "hung up")
        await a.release("idempotency key", "k", "k")
        assert await b.call("k") is None and (await reserve(b, "k")).first


async def test_what_was_noted_last_is_written_before_the_end(database_url: str) -> None:
    async with RecordsClient(DatabaseRecords(database_url)) as client:
        for number in range(60):
            client.note(f"CA{number}", status="completed")
        assert await client.call("CA59") is not None, "and is known at once"
    async with RecordsClient(DatabaseRecords(database_url)) as client:
        assert all([await client.call(f"CA{number}") is not None for number in range(60)])


async def test_what_is_written_is_there_for_another_process(database_url: str) -> None:
    async with RecordsClient(DatabaseRecords(database_url)) as a, RecordsClient(DatabaseRecords(database_url)) as b:
        for number in range(60):
            a.note(f"CA{number}", status="completed")
        await a.written()
        assert await b.call("CA59") is not None


async def test_no_call_waits_until_a_database_is_back() -> None:
    async with RecordsClient(DatabaseRecords("sqlite:////nowhere/at/all/records.db"), retry_s=3600) as client:
        client.note("CA1", status="completed")
        waiting = asyncio.create_task(client.written())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done() and client.waiting == 1
        client._waiting.clear()
        client._idle.set()  # nothing to wait for at the end


async def test_a_database_that_goes_down_takes_no_call_with_it(
    postgresql: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.new_database()
    async with (
        RecordsClient(DatabaseRecords(url), retry_s=0.1) as a,
        RecordsClient(DatabaseRecords(url), retry_s=0.1) as b,
    ):
        assert await a.claim("stream token", "before", 60)
        postgresql.stop()
        try:
            assert await a.claim("stream token", "1", 60), "let in"
            assert not await a.claim("stream token", "1", 60), "once, here"
            assert await a.claim("stream token", "2", 60)
            assert not await a.claim("stream token", "before", 60)
            assert await b.claim("stream token", "1", 60), "what another process lets in, this one does not know"
            with pytest.raises(RecordsUnavailable):
                await reserve(a, "k")
            a.note("CA1", status="in-progress")
            row = await a.call("CA1")
            assert row is not None and row.status == "in-progress", "of its own calls it knows"
            assert (a.state, len(logged(caplog, logging.ERROR))) == ("unavailable", 2), "one error for each process"
        finally:
            postgresql.start()
        await until(a, "ok")
        await until(b, "ok")
        await known(b, "CA1")
        assert not await b.claim("stream token", "before", 60)
        assert (await reserve(a, "k")).first
        assert len(logged(caplog, logging.ERROR)) == 2
        assert len([line for line in logged(caplog, logging.WARNING) if "again" in line]) == 2


async def test_a_database_that_is_not_there_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with RecordsClient(DatabaseRecords("sqlite:////nowhere/at/all/records.db"), retry_s=0.01) as client:
        assert client.state == "unavailable"
        assert await client.claim("stream token", "1", 60)
        await asyncio.sleep(0.2)
    (error,) = logged(caplog, logging.ERROR)
    assert "calls continue without" in error


class Hanging(MemoryRecords):
    """Answers when `answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()
        self.requested = 0

    def claim(self, *arguments: Any, **named: Any) -> ClaimResult:
        self.requested += 1
        assert self.answer.wait(60)
        return super().claim(*arguments, **named)


async def test_nobody_waits_long_for_a_database_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("telephony.records.client._CLAIM_S", 1.0)
    records = Hanging()
    async with RecordsClient(records, retry_s=30) as client:
        claims = await asyncio.gather(*(client.claim("stream token", str(number), 60) for number in range(20)))
        assert all(claims), "the event loop went on, else the time-out had not come"
        assert client.state == "unavailable"
        requested = records.requested
        assert await client.claim("stream token", "another", 60)
        assert records.requested == requested, "known to be down, it is not asked"
        records.answer.set()
    assert len(logged(caplog, logging.ERROR)) == 1


async def test_a_query_that_fails_after_its_time_limit_logs_no_error_of_asyncio(
    caplog: pytest.LogCaptureFixture,
) -> None:
    may_fail = threading.Event()

    def query(records: Records) -> None:
        assert may_fail.wait(60)
        raise RecordsUnavailable("the database has gone away")

    async with RecordsClient(MemoryRecords(), retry_s=30) as client:
        with pytest.raises(RecordsUnavailable, match="did not answer"):
            await client.ask(query, 0.01)
        may_fail.set()
    gc.collect()  # asyncio logs the error when the future is deleted
    assert [line for line in logged(caplog, logging.ERROR) if "never retrieved" in line] == []


async def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("telephony.records.client._MAX_WAITING", 3)
    monkeypatch.setattr("telephony.records.client._CLOSE_S", 0.05)
    async with RecordsClient(DatabaseRecords("sqlite:////nowhere/at/all/records.db"), retry_s=30) as client:
        for number in range(10):
            client.note(f"CA{number}", status="completed")
        assert client.waiting == 3
    assert "3 updates of call records could not be written." in logged(caplog, logging.ERROR)


async def test_without_a_database_memory_is_all() -> None:
    async with RecordsClient() as client:
        assert client.state == "memory"
        assert [await client.claim("k", "1", 60) for _ in range(2)] == [True, False]
        assert [(await reserve(client, "k")).first for _ in range(2)] == [True, False]
        client.note("CA1", status="completed")
        assert await client.purge(SYSTEM.now() + timedelta(seconds=1)) == ["k", "CA1"]
        assert await client.call("CA1") is None
