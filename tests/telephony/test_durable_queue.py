"""The durable queue: the files and threads that it leaves open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import Pool

from telephony.campaigns import durable_queue
from telephony.campaigns.durable_queue import DurableQueue
from telephony.errors import QueueUnavailable
from tests.support.call_processes import until as condition

pytestmark = pytest.mark.real_time


@pytest.fixture
def connections() -> Iterator[set[Any]]:
    """The open database connections, of all engines of this process that open one during the test."""
    still_open: set[Any] = set()

    def opened(connection: Any, _: Any) -> None:
        still_open.add(connection)

    def closed(connection: Any, _: Any = None) -> None:
        still_open.discard(connection)

    listeners = (("connect", opened), ("close", closed), ("close_detached", closed))
    for name, listener in listeners:
        event.listen(Pool, name, listener)
    yield still_open
    for name, listener in listeners:
        event.remove(Pool, name, listener)


async def test_a_queue_that_ends_closes_its_connections(tmp_path: Path, connections: set[Any]) -> None:
    made = asyncio.Event()

    async def work(attempt_id: str, campaign_id: str, position: int) -> None:
        made.set()

    async with DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", work, at_once=2) as queue:
        await queue.open()
        await queue.put("attempt", "campaign", 1)
        await made.wait()
        assert connections
    await condition(lambda: not connections)


async def test_a_queue_whose_start_was_cancelled_closes_its_connections(tmp_path: Path, connections: set[Any]) -> None:
    """The launch goes on in its thread."""
    async with DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", durable_queue._nothing, at_once=2) as queue:
        opening = asyncio.create_task(queue.open())
        await condition(lambda: bool(connections))
        opening.cancel()
    await asyncio.to_thread(queue._thread.submit(lambda: None).result)
    await condition(lambda: not connections)


async def test_a_queue_that_cannot_start_closes_its_connections_and_starts_later(
    tmp_path: Path, connections: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.Event()

    async def work(attempt_id: str, campaign_id: str, position: int) -> None:
        made.set()

    def refuse() -> None:
        assert connections
        raise OperationalError("insert", {}, PermissionError("attempt to write a readonly database"))

    async with DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", work, at_once=2) as queue:
        with monkeypatch.context() as broken:
            broken.setattr(durable_queue, "_forget_old", refuse)
            with pytest.raises(QueueUnavailable, match="readonly"):
                await queue.open()
        await condition(lambda: not connections)
        await queue.open()
        await queue.put("attempt", "campaign", 1)
        await made.wait()


async def test_a_request_without_an_answer_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DBOS repeats a request without a limit while its database cannot be reached."""
    released = threading.Event()

    async def work(attempt_id: str, campaign_id: str, position: int) -> None:
        raise AssertionError("no attempt was enqueued")

    monkeypatch.setattr(durable_queue, "_WITHIN_S", 0.05)
    monkeypatch.setattr(durable_queue, "_enqueue", lambda *attempt: released.wait())
    queue = DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", work, at_once=2)
    async with queue:
        with pytest.raises(QueueUnavailable, match="has not answered within"):
            await queue.put("attempt", "campaign", 1)
        with pytest.raises(QueueUnavailable, match="does not answer"):
            await queue.put("attempt", "campaign", 1)
        released.set()
        monkeypatch.setattr(durable_queue, "_WITHIN_S", 60.0)
        await condition(lambda: queue._request is not None and queue._request.done())
        await queue.put("attempt", "campaign", 1)


async def test_a_database_that_never_answers_does_not_keep_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter waits for each thread that is not a daemon."""
    answers = threading.Event()
    monkeypatch.setattr(durable_queue, "_WITHIN_S", 0.05)
    monkeypatch.setattr(DurableQueue, "_launch", lambda self, work: answers.wait())
    try:
        async with DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", durable_queue._nothing, at_once=1) as queue:
            with pytest.raises(QueueUnavailable, match="has not answered"):
                await queue.open()
        busy = [thread for thread in threading.enumerate() if thread.name.startswith("campaigns")]
        assert busy and all(thread.daemon for thread in busy)
    finally:
        answers.set()
