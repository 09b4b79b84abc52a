"""The durable queue: what it leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from telephony.campaigns import durable_queue
from telephony.campaigns.durable_queue import DurableQueue
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


async def test_a_queue_that_cannot_start_closes_its_connections(
    tmp_path: Path, connections: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(attempt_id: str, campaign_id: str, position: int) -> None:
        raise AssertionError("no attempt was enqueued")

    def refuse() -> None:
        assert connections
        raise PermissionError("attempt to write a readonly database")

    monkeypatch.setattr(durable_queue, "_forget_old", refuse)
    async with DurableQueue(f"sqlite:///{tmp_path}/records.db", "a", work, at_once=2) as queue:
        with pytest.raises(PermissionError, match="readonly"):
            await queue.open()
        await condition(lambda: not connections)
