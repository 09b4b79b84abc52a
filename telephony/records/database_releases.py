"""The decisions about canaries in the database of the records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC

from sqlalchemy import Connection, delete, insert, select

from .releases import Release
from .schema import releases
from .storable import clean_text

__all__ = ["DatabaseReleases"]


class DatabaseReleases:
    """`Releases` in a database. `transaction` begins a transaction, as `DatabaseRecords` does."""

    def __init__(self, transaction: Callable[..., AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def decide(self, release: Release) -> None:
        key = clean_text(release.place, 64)
        values = {"key": key, "state": release.state, "reason": clean_text(release.reason, 500), "at": release.at}
        with self._transaction() as connection:
            connection.execute(delete(releases).where(releases.c.key == key))
            connection.execute(insert(releases).values(values))

    def all(self) -> list[Release]:
        with self._transaction(reads=True) as connection:
            found = connection.execute(select(releases).order_by(releases.c.key)).mappings().all()
        return [
            Release(row["key"], row["state"], row["reason"], row["at"].replace(tzinfo=row["at"].tzinfo or UTC))
            for row in found
        ]
