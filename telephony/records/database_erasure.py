"""Erases calls from the database. Also removes the deleted data from free pages and from SQLite's write-ahead log."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine, delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from ..errors import RecordsUnavailable
from .call_query import Party
from .call_record import CallRecord
from .call_rows import record_of
from .outbox import contact_key
from .schema import attempts, calls, claims, contacts, number_claims, opt_outs, webhooks

__all__ = ["ERASED", "DatabaseErasure"]

ERASED = "erased"
_BATCH = 500
_IN_POSTGRESQL = "PostgreSQL's write-ahead log and backups, until they are recycled"
_WITHIN_S = 30.0
"""The maximum time in seconds to wait until no other process uses SQLite's write-ahead log."""


class DatabaseErasure:
    """Erases the data about one person from the database. `transaction` begins a transaction, as
    `DatabaseRecords.transaction` does.
    """

    def __init__(self, engine: Engine, transaction: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._engine = engine
        self._transaction = transaction

    def calls_of(self, person: Party) -> list[CallRecord]:
        """Returns the calls whose other party is this person, the oldest first. Records of older releases contain no
        hash of the number, and are found only if their number is not masked.
        """
        outbound = calls.c.direction.startswith("outbound")
        condition = or_(
            calls.c.subject.in_(person.subjects),
            ~outbound & calls.c.caller.in_(person.numbers),
            outbound & calls.c.called.in_(person.numbers),
        )
        with self._transaction() as connection:
            rows = connection.execute(select(calls).where(condition).order_by(calls.c.started_at)).mappings()
            return [record_of(row) for row in rows]

    def erase(self, ids: Sequence[str]) -> int:
        """Deletes the records of the calls with these ids, and the messages about them. The idempotency keys of the
        requests that made these calls stay used, so a repeated request cannot make a call again. The stored hashes of
        these requests are deleted. Returns the number of deleted messages.
        """
        messages = 0
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            with self._transaction() as connection:
                messages += connection.execute(delete(webhooks).where(webhooks.c.call_id.in_(some))).rowcount
                connection.execute(delete(calls).where(calls.c.id.in_(some)))
                for call_id in some:
                    of_call = claims.c.value.endswith(f":{call_id}", autoescape=True)
                    connection.execute(update(claims).where(of_call).values(value=f"{ERASED}:{call_id}"))
        return messages

    def erase_contact(self, person: Party) -> int | None:
        """Deletes this person from all campaigns: the contacts, the attempts and the messages about them. The
        do-not-call list keeps the hash of the number. Returns the number of deleted contacts. Returns None and deletes
        nothing if a campaign is calling this person now.
        """
        condition = or_(contacts.c.subject.in_(person.subjects), contacts.c.number.in_(person.numbers))
        ids = select(attempts.c.id).where(attempts.c.subject.in_(person.subjects))
        with self._transaction() as connection:
            # An attempt locks the row of its contact when it begins. So none begins until this transaction ends.
            known = connection.execute(
                select(contacts.c.campaign, contacts.c.id).where(condition).with_for_update()
            ).all()
            if _is_being_called(connection, person):
                return None
            about = [contact_key(campaign, contact) for campaign, contact in known]
            connection.execute(delete(webhooks).where(or_(webhooks.c.call_id.in_(ids), webhooks.c.call_id.in_(about))))
            connection.execute(delete(attempts).where(attempts.c.subject.in_(person.subjects)))
            connection.execute(delete(number_claims).where(number_claims.c.subject.in_(person.subjects)))
            connection.execute(
                update(opt_outs).where(opt_outs.c.subject.in_(person.subjects)).values(number="", remark="")
            )
            return connection.execute(delete(contacts).where(condition)).rowcount

    def is_opted_out(self, person: Party) -> bool:
        """Returns whether this person is on the do-not-call list in the database."""
        with self._transaction() as connection:
            return (
                connection.execute(select(opt_outs.c.subject).where(opt_outs.c.subject.in_(person.subjects))).first()
                is not None
            )

    def scrub(self) -> str:
        """Removes the content of deleted rows from the files of the database. Returns a text with the places that may
        still contain such content, or an empty text.

        Raises:
            RecordsUnavailable: another process has used the database for 30 s.
        """
        is_sqlite = self._engine.dialect.name == "sqlite"
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                if self._scrub_sqlite() if is_sqlite else self._scrub_postgresql():
                    return "" if is_sqlite else _IN_POSTGRESQL
                problem = "other processes read it without a pause"
            except (SQLAlchemyError, sqlite3.Error) as error:
                problem = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            if time.monotonic() > deadline:
                raise RecordsUnavailable(
                    f"remains of deleted rows could not be removed ({problem}): repeat the command"
                )
            time.sleep(0.1)

    def _scrub_sqlite(self) -> bool:
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")  # files of older releases have free pages that were not overwritten
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (is_busy, *_), *_ = cursor.fetchall()
            return not is_busy
        finally:
            connection.close()

    def _scrub_postgresql(self) -> bool:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SET lock_timeout = 1000")  # calls wait for a table that waits for its lock
            for table in (calls, webhooks, claims, contacts, attempts, opt_outs):
                connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")  # rewrites the table's file
            connection.exec_driver_sql("RESET ALL")
        return True


def _is_being_called(connection: Connection, person: Party) -> bool:
    """Returns whether a campaign is calling this person now."""
    in_progress = (attempts.c.subject.in_(person.subjects)) & (attempts.c.outcome == "")
    return connection.execute(select(attempts.c.id).where(in_progress).limit(1)).first() is not None
