"""The do-not-call list, and the claims of numbers that are being called, in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from .opt_outs import OptOut, OptOutSource
from .schema import number_claims, opt_outs, processes
from .storable import clean_text

__all__ = ["DatabaseNumberClaims", "DatabaseOptOuts", "hold", "is_opted_out", "opt_out"]

_INSERT: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_BATCH = 500
_MAX_REMARK = 200


class DatabaseOptOuts:
    """Stores the do-not-call list in a database. Implements `OptOuts`. `transaction` is a function that begins a
    transaction (see `DatabaseRecords.transaction`).
    """

    def __init__(self, transaction: Callable[..., AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def add(self, entries: Sequence[OptOut]) -> int:
        added, rest = 0, iter(entries)
        while some := list(islice(rest, _BATCH)):
            rows = [
                {**asdict(each), "source": each.source.value, "remark": clean_text(each.remark, _MAX_REMARK)}
                for each in {entry.subject: entry for entry in some}.values()
            ]
            with self._transaction() as connection:
                known = set(connection.execute(select(opt_outs.c.subject).where(
                    opt_outs.c.subject.in_([row["subject"] for row in rows]))).scalars())  # fmt: skip
                if new := [row for row in rows if row["subject"] not in known]:
                    insert = _INSERT[connection.dialect.name](opt_outs).values(new).on_conflict_do_nothing()
                    connection.execute(insert)
                added += len(new)
        return added

    def remove(self, subject: str) -> bool:
        with self._transaction() as connection:
            return connection.execute(delete(opt_outs).where(opt_outs.c.subject == subject)).rowcount == 1

    def among(self, subjects: Collection[str]) -> set[str]:
        found: set[str] = set()
        with self._transaction(reads=True) as connection:
            for some in _batches(subjects):
                found |= set(
                    connection.execute(select(opt_outs.c.subject).where(opt_outs.c.subject.in_(some))).scalars()
                )
        return found

    def version(self) -> str:
        with self._transaction(reads=True) as connection:
            count, newest = connection.execute(select(func.count(), func.max(opt_outs.c.added_at))).one()
        return f"{count} {newest}"

    def subjects(self) -> set[str]:
        with self._transaction(reads=True) as connection:
            return set(connection.execute(select(opt_outs.c.subject)).scalars())

    def listed(self, *, limit: int = 100, before: datetime | None = None) -> list[OptOut]:
        wanted = select(opt_outs).order_by(opt_outs.c.added_at.desc(), opt_outs.c.subject).limit(limit)
        if before is not None:
            wanted = wanted.where(opt_outs.c.added_at < before)
        with self._transaction(reads=True) as connection:
            return [_opt_out(row) for row in connection.execute(wanted).mappings()]


class DatabaseNumberClaims:
    """Stores in a database which numbers are being called. Implements `NumberClaims`. `transaction` is a function that
    begins a transaction (see `DatabaseRecords.transaction`).
    """

    def __init__(self, transaction: Callable[..., AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def hold(self, subject: str, holder: str, *, process: str, ttl_s: float, now: datetime) -> bool:
        with self._transaction() as connection:
            return hold(connection, subject, holder, process=process, ttl_s=ttl_s, now=now)

    def let_go(self, subject: str, holder: str) -> None:
        condition = (number_claims.c.subject == subject) & (number_claims.c.holder == holder)
        with self._transaction() as connection:
            connection.execute(delete(number_claims).where(condition))


def hold(connection: Connection, subject: str, holder: str, *, process: str, ttl_s: float, now: datetime) -> bool:
    """Claims a number, so that no other call to the number begins. The claim ends after `ttl_s` seconds at the latest.
    `subject` is the hash of the number, and `holder` the id of the call for which it is claimed. `process` is the name
    of the process that makes the call; if this process dies, the number is free again. Writes in the transaction of
    `connection`. Returns False if another call has the number.
    """
    claims, until = number_claims, now + timedelta(seconds=ttl_s)
    leases = select(processes.c.id).where(processes.c.expires_at > now)
    is_free = or_(claims.c.expires_at <= now, (claims.c.process != "") & claims.c.process.not_in(leases))
    insert = _INSERT[connection.dialect.name](claims).values(
        subject=subject, holder=holder, process=process, expires_at=until
    )
    taking = insert.on_conflict_do_update(
        index_elements=["subject"],
        set_={"holder": insert.excluded.holder, "process": insert.excluded.process, "expires_at": until},
        where=is_free,
    )
    connection.execute(taking)
    held = connection.execute(select(claims.c.holder).where(claims.c.subject == subject)).scalar_one()
    return bool(held == holder)


def opt_out(connection: Connection, entry: OptOut) -> None:
    """Adds an entry to the do-not-call list in the database, in the transaction of `connection`."""
    values = {**asdict(entry), "source": entry.source.value}
    connection.execute(_INSERT[connection.dialect.name](opt_outs).values(values).on_conflict_do_nothing())


def is_opted_out(connection: Connection, subjects: Collection[str]) -> bool:
    """Returns whether a phone is on the do-not-call list, in the transaction of `connection`. `subjects` are the hashes
    of its numbers.
    """
    return connection.execute(select(opt_outs.c.subject).where(opt_outs.c.subject.in_(subjects))).first() is not None


def _batches(subjects: Collection[str]) -> Iterator[list[str]]:
    rest = iter(subjects)
    while some := list(islice(rest, _BATCH)):
        yield some


def _opt_out(row: Any) -> OptOut:
    added = row["added_at"]
    added = added.replace(tzinfo=UTC) if added.tzinfo is None else added.astimezone(UTC)
    return OptOut(row["subject"], row["number"], OptOutSource(row["source"]), added, row["remark"])
