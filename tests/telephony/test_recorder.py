"""The records as the application uses them: what happens while the database is down, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from realtime_core.sources import SYSTEM
from telephony.errors import RecordsUnavailable
from telephony.records import Claimed
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.records.recorder import Recorder
from telephony.records.rows import CallNews, CallRow
from tests.support.databases import Cluster

pytestmark = pytest.mark.real_time


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def until(recorder: Recorder, state: str) -> None:
    async with asyncio.timeout(20):
        while recorder.state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def known(recorder: Recorder, key: str) -> CallRow:
    async with asyncio.timeout(20):
        while (row := await recorder.call(key)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return row


async def reserve(recorder: Recorder, key: str) -> Claimed:
    begun = CallNews(key, SYSTEM.now(), True, {"status": "queued"})
    return await recorder.reserve("idempotency key", key, 60, f"value of {key}", begun)


async def test_two_processes_share_what_they_know(database_url: str) -> None:
    async with Recorder(DatabaseRecords(database_url)) as a, Recorder(DatabaseRecords(database_url)) as b:
        assert (a.state, await a.claim("stream token", "1", 60)) == ("ok", True)
        assert not await b.claim("stream token", "1", 60)
        assert not await a.claim("stream token", "1", 60)
        assert (await reserve(a, "k")).first
        assert await reserve(b, "k") == Claimed(False, "value of k")
        a.note("CA1", status="completed", reason="hung up")
        row = await known(b, "CA1")
        assert (row.status, row.reason) == ("completed", "hung up")
        await a.release("idempotency key", "k", "k")
        assert await b.call("k") is None and (await reserve(b, "k")).first


async def test_what_was_noted_last_is_written_before_the_end(database_url: str) -> None:
    async with Recorder(DatabaseRecords(database_url)) as recorder:
        for number in range(60):
            recorder.note(f"CA{number}", status="completed")
        assert await recorder.call("CA59") is not None, "and is known at once"
    async with Recorder(DatabaseRecords(database_url)) as recorder:
        assert all([await recorder.call(f"CA{number}") is not None for number in range(60)])


async def test_a_database_that_goes_down_takes_no_call_with_it(
    postgresql: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgresql.new_database()
    async with Recorder(DatabaseRecords(url), again_s=0.1) as a, Recorder(DatabaseRecords(url), again_s=0.1) as b:
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
            assert (a.state, len(told(caplog, logging.ERROR))) == ("unavailable", 2), "one error for each process"
        finally:
            postgresql.start()
        await until(a, "ok")
        await until(b, "ok")
        await known(b, "CA1")
        assert not await b.claim("stream token", "before", 60)
        assert (await reserve(a, "k")).first
        assert len(told(caplog, logging.ERROR)) == 2
        assert len([line for line in told(caplog, logging.WARNING) if "again" in line]) == 2


async def test_a_database_that_is_not_there_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with Recorder(DatabaseRecords("sqlite:////nowhere/at/all/records.db"), again_s=0.01) as recorder:
        assert recorder.state == "unavailable"
        assert await recorder.claim("stream token", "1", 60)
        await asyncio.sleep(0.2)
    (error,) = told(caplog, logging.ERROR)
    assert "calls go on without" in error


class Hanging(MemoryRecords):
    """Answers when `answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()
        self.asked = 0

    def claim(self, *arguments: Any, **named: Any) -> Claimed:
        self.asked += 1
        assert self.answer.wait(60)
        return super().claim(*arguments, **named)


async def test_nobody_waits_long_for_a_database_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    records = Hanging()
    async with Recorder(records, again_s=30) as recorder:
        claims = await asyncio.gather(*(recorder.claim("stream token", str(number), 60) for number in range(20)))
        assert all(claims), "the event loop went on, else the time-out had not come"
        assert recorder.state == "unavailable"
        asked = records.asked
        assert await recorder.claim("stream token", "another", 60)
        assert records.asked == asked, "known to be down, it is not asked"
        records.answer.set()
    assert len(told(caplog, logging.ERROR)) == 1


async def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("telephony.records.recorder._MAX_WAITING", 3)
    monkeypatch.setattr("telephony.records.recorder._CLOSE_S", 0.05)
    async with Recorder(DatabaseRecords("sqlite:////nowhere/at/all/records.db"), again_s=30) as recorder:
        for number in range(10):
            recorder.note(f"CA{number}", status="completed")
        assert recorder.waiting == 3
    assert "3 notes about calls could not be written." in told(caplog, logging.ERROR)


async def test_without_a_database_memory_is_all() -> None:
    async with Recorder() as recorder:
        assert recorder.state == "memory"
        assert [await recorder.claim("k", "1", 60) for _ in range(2)] == [True, False]
        assert [(await reserve(recorder, "k")).first for _ in range(2)] == [True, False]
        recorder.note("CA1", status="completed")
        assert await recorder.purge(SYSTEM.now() + timedelta(seconds=1)) == ["k", "CA1"]
        assert await recorder.call("CA1") is None
