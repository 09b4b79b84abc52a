"""The tokens of the console and the audit log in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from .access import Action, AuditEntry, AuditQuery, Scope, StoredToken, scopes_text
from .schema import audit, tokens
from .storable import clean_text, is_key

__all__ = ["DatabaseAccess"]

_MAX_DETAIL = 500


class DatabaseAccess:
    """Stores the tokens of the console and the audit log in a database. Implements `AccessStore`. `transaction` is a
    function that begins a transaction (see `DatabaseRecords.transaction`).
    """

    def __init__(self, transaction: Callable[..., AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def add_token(self, token: StoredToken) -> None:
        ended = (tokens.c.parent != "") & (tokens.c.expires_at <= token.created_at)
        values = {
            "id": token.id,
            "name": clean_text(token.name, 100),
            "secret_hash": token.secret_hash,
            "scopes": scopes_text(token.scopes),
            "numbers": sorted(token.numbers),
            "parent": token.parent,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
        }
        with self._transaction() as connection:
            connection.execute(delete(tokens).where(ended))
            connection.execute(insert(tokens).values(values))

    def token(self, token_id: str) -> StoredToken | None:
        if not is_key(token_id):
            return None
        with self._transaction(reads=True) as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).mappings().first()
        return None if row is None else _token(row)

    def tokens(self) -> list[StoredToken]:
        listed = select(tokens).where(tokens.c.parent == "").order_by(tokens.c.created_at, tokens.c.id)
        with self._transaction(reads=True) as connection:
            return [_token(row) for row in connection.execute(listed).mappings()]

    def revoke_token(self, token_id: str, now: datetime) -> bool:
        valid = tokens.c.revoked_at.is_(None)
        with self._transaction() as connection:
            this = update(tokens).where(tokens.c.id == token_id, valid).values(revoked_at=now)
            if connection.execute(this).rowcount != 1:
                return False
            sessions = update(tokens).where(tokens.c.parent == token_id, valid)
            connection.execute(sessions.values(revoked_at=now))
            return True

    def add_entry(self, entry: AuditEntry) -> None:
        values = {
            "at": entry.at,
            "who": clean_text(entry.who, 100),
            "action": entry.action.value,
            "call": clean_text(entry.call, 64),
            "detail": clean_text(entry.detail, _MAX_DETAIL),
        }
        with self._transaction() as connection:
            connection.execute(insert(audit).values(values))

    def entries(self, query: AuditQuery) -> Sequence[AuditEntry]:
        wanted = select(audit).where(*_conditions(query)).order_by(audit.c.id.desc()).limit(query.limit)
        with self._transaction(reads=True) as connection:
            return [_entry(row) for row in connection.execute(wanted).mappings()]


def _token(row: Any) -> StoredToken:
    return StoredToken(
        id=row["id"],
        name=row["name"],
        secret_hash=row["secret_hash"],
        scopes=frozenset(Scope(each) for each in row["scopes"].split(",") if each in list(Scope)),
        numbers=frozenset(row["numbers"] or ()),
        parent=row["parent"],
        created_at=_utc(row["created_at"]),
        expires_at=row["expires_at"] and _utc(row["expires_at"]),
        revoked_at=row["revoked_at"] and _utc(row["revoked_at"]),
    )


def _conditions(query: AuditQuery) -> Iterator[ColumnElement[bool]]:
    """Yields the SQL conditions that correspond to `AuditQuery.matches`."""
    c = audit.c
    if query.before is not None:
        yield c.id < query.before
    if query.call:
        yield c.call == clean_text(query.call, 64)
    if query.calls is not None:
        yield c.call.in_([clean_text(each, 64) for each in query.calls])
    if query.who:
        yield c.who.icontains(clean_text(query.who, 100), autoescape=True)
    if query.action is not None:
        yield c.action == query.action.value
    if query.start is not None:
        yield c.at >= query.start
    if query.end is not None:
        yield c.at < query.end


def _entry(row: Any) -> AuditEntry:
    action = Action(row["action"])
    return AuditEntry(_utc(row["at"]), row["who"], action, row["call"], row["detail"], row["id"])


def _utc(date: datetime) -> datetime:
    """Returns the date in UTC. SQLite does not store the time zone."""
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
