"""Real databases that go away for a while: PostgreSQL is stopped and started, and an SQLite file is locked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from .storm import Outage

__all__ = ["locked_sqlite", "stopped_postgresql"]


@contextmanager
def stopped_postgresql() -> Iterator[tuple[str, Outage]]:
    """Yields the URL of a database in a private cluster, and an outage that stops the cluster."""
    from tests.support.databases import postgresql_cluster, postgresql_tools

    if (tools := postgresql_tools()) is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt-get install postgresql).")
    with postgresql_cluster(tools) as cluster:

        @asynccontextmanager
        async def outage() -> AsyncIterator[None]:
            await asyncio.to_thread(cluster.stop)
            try:
                yield
            finally:
                await asyncio.to_thread(cluster.start)

        yield cluster.new_database(), outage


@contextmanager
def locked_sqlite(folder: Path) -> Iterator[tuple[str, Outage]]:
    """Yields the URL of an SQLite file in `folder`, and an outage that holds its lock."""
    path = folder / "records.db"

    @asynccontextmanager
    async def outage() -> AsyncIterator[None]:
        lock = sqlite3.connect(path, isolation_level=None)
        try:
            lock.execute("BEGIN IMMEDIATE")
            yield
        finally:
            lock.close()

    yield f"sqlite:///{path}", outage
