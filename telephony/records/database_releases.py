"""The decisions about canaries (new agent versions for a part of the callers) and the last calls of canaries, in the
database.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC

from sqlalchemy import Connection, delete, insert, select, text

from .call_record import MAX_CHARS
from .releases import Release
from .schema import canary_calls, releases
from .storable import clean_text

__all__ = ["DatabaseReleases"]

_COUNTING = 7_483_115_022
"""The id of PostgreSQL's advisory lock for the calls of canaries. The id is arbitrary and must be the same in all
processes.
"""


class DatabaseReleases:
    """Stores the decisions about canaries (new agent versions for a part of the callers) in a database, and counts the
    last calls of canaries. Implements `Releases`. `transaction` is a function that begins a transaction (see
    `DatabaseRecords.transaction`).
    """

    def __init__(self, transaction: Callable[..., AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def decide(self, release: Release) -> None:
        key = clean_text(release.place, 64)
        values = {"key": key, "state": release.state, "reason": clean_text(release.reason, 500), "at": release.at}
        with self._transaction() as connection:
            connection.execute(delete(releases).where(releases.c.key == key))
            connection.execute(insert(releases).values(values))
            connection.execute(delete(canary_calls).where(canary_calls.c.place == key))

    def all(self) -> list[Release]:
        with self._transaction(reads=True) as connection:
            found = connection.execute(select(releases).order_by(releases.c.key)).mappings().all()
        return [
            Release(row["key"], row["state"], row["reason"], row["at"].replace(tzinfo=row["at"].tzinfo or UTC))
            for row in found
        ]

    def count(self, place: str, version: str, *, failed: bool, keep: int) -> tuple[int, int]:
        place, version, c = clean_text(place, 64), clean_text(version, MAX_CHARS["variant"]), canary_calls.c
        here = (c.place == place) & (c.version == version)
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's transactions exclude each other anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _COUNTING})
            connection.execute(insert(canary_calls).values(place=place, version=version, failed=failed))
            newest = select(c.id, c.failed).where(here).order_by(c.id.desc())
            rows = connection.execute(newest).all()
            connection.execute(delete(canary_calls).where(c.id.in_([row.id for row in rows[keep:]])))
        return sum(row.failed for row in rows[:keep]), len(rows[:keep])
