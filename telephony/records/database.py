"""Stores call records and the other data that processes share in a database: SQLite on one machine, PostgreSQL on
several machines.

This module imports SQLAlchemy. `open_records` imports this module only if records are stored in a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError, StatementError

from ..errors import RecordRefused, RecordsUnavailable
from ..twilio.callbacks import ENDED
from . import ClaimResult
from .budget import DOLLARS, BudgetUsage, SharedLimits, day_of, usage_of
from .call_query import CallQuery
from .call_record import INTERRUPTED, MAX_CHARS, CallRecord, CallUpdate, updated
from .call_rows import conditions, period, record_of, utc
from .database_access import DatabaseAccess
from .database_erasure import DatabaseErasure
from .database_opt_outs import DatabaseNumberClaims, DatabaseOptOuts
from .database_outbox import DatabaseOutbox, put
from .database_releases import DatabaseReleases
from .engine import READS, create_file, engine_of, name_of, parse_url
from .outbox import message_of
from .schema import VERSION, calls, claims, processes, upgrade, version_of, webhooks
from .storable import clean_text, is_key

__all__ = ["DatabaseRecords"]

_PURGE_EVERY = timedelta(minutes=1)
_OLDEST_CALL = timedelta(days=1)
"""The maximum age of an open call record without a lease, from an older release. No call at Twilio lasts longer than
this time.
"""
_LEASES = 7_483_115_021
"""The id of PostgreSQL's advisory lock for leases. The id is arbitrary and must be the same in all processes."""
_OF_ONE_RECORD = ("22", "23", "44", "54", "P0")
"""The classes of SQLSTATE codes that concern one record: data, constraints, views, size limits, triggers
(https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""
_INSERT: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class DatabaseRecords:
    """Stores the records of calls and campaigns in a database. Implements `Records`. The first use creates or upgrades
    the tables, unless `create` is False.

    Raises:
        SettingsError: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._url = parse_url(url)
        self._engine = engine_of(self._url)
        self._create = create
        self._is_ready = False
        self._purged_at: datetime | None = None
        self.outbox = DatabaseOutbox(self._transaction)
        self.access = DatabaseAccess(self._transaction)
        self.opt_outs = DatabaseOptOuts(self._transaction)
        self.number_claims = DatabaseNumberClaims(self._transaction)
        self.releases = DatabaseReleases(self._transaction)
        self.erasure = DatabaseErasure(self._engine, self._transaction)

    def claim(
        self, kind: str, key: str, *, ttl_s: float, now: datetime, value: str = "", call: CallUpdate | None = None
    ) -> ClaimResult:
        key_hash = _hashed(kind, key)
        wanted = {
            "kind": kind,
            "key_hash": key_hash,
            "value": clean_text(value),
            "expires_at": now + timedelta(seconds=ttl_s),
        }
        this = (claims.c.kind == kind) & (claims.c.key_hash == key_hash)
        self._forget_claims(now)
        with self._transaction() as connection:
            connection.execute(delete(claims).where(this, claims.c.expires_at <= now))
            inserted = _INSERT[self._engine.dialect.name](claims).values(wanted).on_conflict_do_nothing()
            if connection.execute(inserted, execution_options={"preserve_rowcount": True}).rowcount == 1:
                if call is not None:
                    _note(connection, call)
                return ClaimResult(True, value)
            known = connection.execute(select(claims.c.value).where(this)).scalar()
            return ClaimResult(False, known or "")

    def admit(self, call: CallUpdate, limits: SharedLimits, *, now: datetime) -> bool:
        key = clean_text(str(call.changes["number_key"]), MAX_CHARS["number_key"])
        of_number = calls.c.number_key == key
        is_live = calls.c.ended_at.is_(None) & calls.c.status.not_in([*ENDED, INTERRUPTED]) & calls.c.steps.is_(None)
        with self._transaction() as connection:
            if self._engine.dialect.name == "postgresql":  # SQLite's transactions exclude each other anyway
                locking = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
                connection.execute(locking, {"key": f"telephony number {key}"})
            known = _find(connection, call.key, for_update=True)
            if known is not None and known.number_key == key:
                return True
            live = connection.execute(select(func.count()).where(of_number, is_live)).scalar_one()
            spent = _spent(connection, day_of(now), now, of_number) if limits.budget.is_set else BudgetUsage()
            if not limits.allow(live, spent):
                return False
            _note(connection, call)
            return True

    def _forget_claims(self, now: datetime) -> None:
        if self._purged_at is not None and now < self._purged_at + _PURGE_EVERY:
            return
        self._purged_at = now
        expired = select(claims.c.kind, claims.c.key_hash).where(claims.c.expires_at <= now)
        with self._transaction() as connection:  # rows that another process is removing are skipped
            skipping = expired.with_for_update(skip_locked=True)
            connection.execute(delete(claims).where(tuple_(claims.c.kind, claims.c.key_hash).in_(skipping)))

    def release(self, kind: str, key: str, *, call_id: str | None = None) -> None:
        with self._transaction() as connection:
            connection.execute(delete(claims).where(claims.c.kind == kind, claims.c.key_hash == _hashed(kind, key)))
            if call_id is not None:
                connection.execute(delete(calls).where(calls.c.id == call_id))
                connection.execute(delete(webhooks).where(webhooks.c.call_id == call_id))

    def note(self, news: Sequence[CallUpdate]) -> None:
        for each in news:  # one transaction each, so that no transaction waits for a row while it holds another
            try:
                self._note(each)
            except _Collided:  # another process inserted the same call at the same time
                self._note(each)

    def _note(self, news: CallUpdate) -> None:
        with self._transaction() as connection:
            _note(connection, news)

    def call(self, key: str) -> CallRecord | None:
        with self._transaction(reads=True) as connection:
            return _find(connection, key)

    def calls(self, query: CallQuery) -> list[CallRecord]:
        listed = select(calls).where(*conditions(query)).limit(query.limit + 1)
        if not query.is_open:  # those few are sorted here, because the index of open calls has another order
            listed = listed.order_by(calls.c.started_at.desc(), calls.c.id.desc())
        with self._transaction(reads=True) as connection:
            found = [record_of(row) for row in connection.execute(listed).mappings()]
        return sorted(found, key=lambda row: (row.started_at, row.id), reverse=True) if query.is_open else found

    def boundary(self, query: CallQuery) -> tuple[datetime, str] | None:
        order = calls.c.started_at.desc(), calls.c.id.desc()
        looked_at = select(calls.c.started_at, calls.c.id).where(calls.c.started_at.is_not(None), *period(query))
        with self._transaction(reads=True) as connection:
            last = connection.execute(looked_at.order_by(*order).offset(query.scan - 1).limit(1)).one_or_none()
        return None if last is None else (utc(last.started_at), last.id)

    def spent(self, since: datetime, now: datetime, subjects: Sequence[str] = ()) -> BudgetUsage:
        these = [calls.c.subject.in_(subjects)] if subjects else []
        with self._transaction(reads=True) as connection:
            return _spent(connection, since, now, *these)

    def last_update(self) -> datetime | None:
        with self._transaction(reads=True) as connection:
            last = connection.execute(select(func.max(calls.c.updated_at))).scalar()
        return None if last is None else utc(last)

    def renew(self, process: str, *, ttl_s: float, now: datetime) -> bool:
        until, this = now + timedelta(seconds=ttl_s), processes.c.id == process
        with self._transaction() as connection:
            renewing = update(processes).where(this, processes.c.expires_at > now).values(expires_at=until)
            if connection.execute(renewing).rowcount == 1:
                return True
            _lock_leases(connection)
            taking = _INSERT[self._engine.dialect.name](processes).values(id=process, expires_at=until)
            connection.execute(taking.on_conflict_do_update(index_elements=["id"], set_={"expires_at": until}))
            return False

    def is_alive(self, process: str, *, now: datetime) -> bool:
        found = select(processes.c.id).where(processes.c.id == process, processes.c.expires_at > now)
        with self._transaction(reads=True) as connection:
            return connection.execute(found).first() is not None

    def interrupt(self, now: datetime, *, announce: bool = False, shows_numbers: bool = False) -> int:
        gone = or_(
            (calls.c.process != "") & calls.c.process.not_in(select(processes.c.id)),
            (calls.c.process == "") & (calls.c.updated_at < now - _OLDEST_CALL),
        )
        is_open = calls.c.ended_at.is_(None) & calls.c.status.not_in([*sorted(ENDED), INTERRUPTED])
        with self._transaction() as connection:
            _lock_leases(connection)
            connection.execute(delete(processes).where(processes.c.expires_at <= now))
            lost = list(connection.execute(select(calls.c.id).where(is_open, gone)).scalars()) if announce else []
            closing = update(calls).where(is_open, gone).values(status=INTERRUPTED, ended_at=now, ending=INTERRUPTED)
            count = connection.execute(closing).rowcount
            for call_id in lost:
                if (row := _find(connection, call_id)) is not None and row.status == INTERRUPTED:
                    put(connection, message_of(row, now, shows_numbers=shows_numbers))
            return count

    def leave(self, process: str) -> None:
        with self._transaction() as connection:
            connection.execute(delete(processes).where(processes.c.id == process))

    def purge(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        old = calls.c.updated_at < before
        with self._transaction() as connection:
            ids = list(connection.execute(select(calls.c.id).where(old).order_by(calls.c.updated_at)).scalars())
            if not dry_run:
                connection.execute(delete(webhooks).where(webhooks.c.call_id.in_(select(calls.c.id).where(old))))
                connection.execute(delete(calls).where(old))
                connection.execute(delete(claims).where(claims.c.expires_at <= before))
            return ids

    def check(self) -> str:
        with self._transaction() as connection:
            version = version_of(connection)
            if version > VERSION:
                upgrade(connection)  # raises an error that says what to do
            name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[self._engine.dialect.name]
            number = ".".join(map(str, connection.dialect.server_version_info or ()))
            return f"{name} {number}, {f'schema {version}' if version else 'no tables yet'}"

    def close(self) -> None:
        self._engine.dispose()

    @property
    def transaction(self) -> Callable[..., AbstractContextManager[Connection]]:
        """A function that begins a transaction of these records, for other stores in the same database. With
        `reads=True` the transaction only reads. Errors of the database become `RecordsUnavailable` or `RecordRefused`.
        """
        return self._transaction

    @contextmanager
    def _transaction(self, *, reads: bool = False) -> Iterator[Connection]:
        """Begins a transaction. If `reads` is True, the transaction only reads."""
        try:
            if self._create and not self._is_ready:
                self._prepare()
            with self._engine.connect().execution_options(**{READS: reads}) as connection, connection.begin():
                yield connection
        except IntegrityError as error:
            raise _Collided(_first_line(error)) from None
        except (RecordRefused, RecordsUnavailable) as error:
            raise self._named(error) from None
        except (SQLAlchemyError, OSError) as error:
            kind = RecordRefused if _is_of_one_record(error) else RecordsUnavailable
            raise self._named(kind(_first_line(error))) from None
        except (ValueError, TypeError, OverflowError) as error:  # the driver could not convert a value
            raise self._named(RecordRefused(f"{type(error).__name__}: {_first_line(error)}")) from None

    def _named(self, error: RecordRefused | RecordsUnavailable) -> RecordRefused | RecordsUnavailable:
        error.database = error.database or name_of(self._url)
        return error

    def _prepare(self) -> None:
        if self._engine.dialect.name == "sqlite" and self._url.database:
            create_file(self._url.database)
        with self._engine.begin() as connection:
            upgrade(connection)
        self._is_ready = True


class _Collided(RecordRefused):
    """Raised if a record violates a constraint. Usually another process has inserted the same call at the same time."""


def _is_of_one_record(error: Exception) -> bool:
    """Returns whether the error concerns one record, and not the whole database."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError)  # a value that SQLAlchemy could not convert
    if error.connection_invalidated:
        return False
    state = getattr(error.orig, "sqlstate", None)  # of PostgreSQL; None: an error of the driver
    if state is not None:
        return str(state).startswith(_OF_ONE_RECORD)
    return isinstance(error, DataError | ProgrammingError)


def _lock_leases(connection: Connection) -> None:
    """Prevents a process from taking a lease while another process removes expired leases. SQLite needs no lock,
    because its transactions exclude each other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LEASES})


def _spent(connection: Connection, since: datetime, now: datetime, *conditions: ColumnElement[bool]) -> BudgetUsage:
    """Returns the minutes and the cost of the calls that began at `since` or later and meet the conditions."""
    these = [calls.c.started_at >= since, *conditions]
    is_measured = calls.c.duration_s.is_not(None)
    dollars = case((calls.c.currency.in_(("", DOLLARS)), func.coalesce(calls.c.cost, 0.0)), else_=0.0)
    cost = func.coalesce(calls.c.model_cost, 0.0) + dollars
    measured = select(func.sum(calls.c.duration_s), func.sum(cost)).where(*these, is_measured)
    seconds, dollars_spent = connection.execute(measured).one()
    others = connection.execute(select(calls).where(*these, ~is_measured)).mappings()
    rest = usage_of(map(record_of, others), now)
    return BudgetUsage((seconds or 0) + rest.seconds, (dollars_spent or 0.0) + rest.cost)


def _note(connection: Connection, news: CallUpdate) -> None:
    before = _find(connection, news.key, for_update=True)
    row = updated(before, news)
    if row is None:
        return
    if before is None:
        connection.execute(insert(calls).values(asdict(row)))
    else:
        connection.execute(update(calls).where(calls.c.id == row.id).values(asdict(row)))
    if news.announce_s is not None and row.over:
        put(connection, message_of(row, news.at, hold_s=news.announce_s, shows_numbers=news.shows_numbers))


def _find(connection: Connection, key: str, *, for_update: bool = False) -> CallRecord | None:
    if not is_key(key):
        return None
    question = select(calls).where(or_(calls.c.id == key, calls.c.sid == key))
    if for_update:
        question = question.with_for_update()
    found = connection.execute(question).mappings().first()
    return None if found is None else record_of(found)


def _hashed(kind: str, key: str) -> str:
    return sha256(f"{kind}\0{key}".encode(errors="surrogatepass")).hexdigest()


def _first_line(error: Exception) -> str:
    """Returns the first line of the database's error message, without the SQL statement that SQLAlchemy adds."""
    return (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
