"""The outbox (the messages about ended calls and campaigns, for webhooks) in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .outbox import GIVE_UP, Message, MessageState, Waiting
from .schema import webhooks
from .storable import clean_text

__all__ = ["DatabaseOutbox", "put"]

_INSERT: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_DATES = ("created_at", "due_at", "give_up_at")


def put(connection: Connection, message: Message) -> None:
    """Puts a message into the outbox (the messages for webhooks), in the transaction of `connection`. If a message with
    this id exists and no process has tried to deliver the message, its payload is replaced, and its due time becomes
    the earlier of the two times.
    """
    values = {**asdict(message), "state": message.state.value, "payload": clean_text(message.payload)}
    insert = _INSERT[connection.dialect.name](webhooks).values(values)
    earlier = func.min if connection.dialect.name == "sqlite" else func.least
    untried = (webhooks.c.state == MessageState.PENDING.value) & (webhooks.c.attempts == 0)
    changes = {"payload": insert.excluded.payload, "due_at": earlier(webhooks.c.due_at, insert.excluded.due_at)}
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changes, where=untried))


class DatabaseOutbox:
    """Stores in a database the messages about ended calls and campaigns that are delivered by webhook. Implements
    `Outbox`. `transaction` is a function that begins a transaction (see `DatabaseRecords.transaction`).
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._transaction = transaction

    def claim_due(self, now: datetime, *, lease_s: float, limit: int) -> list[Message]:
        due = (
            select(webhooks)
            .where(webhooks.c.state == MessageState.PENDING.value, webhooks.c.due_at <= now)
            .order_by(webhooks.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)  # messages that another process is claiming are skipped
        )
        with self._transaction() as connection:
            claimed = []
            for row in connection.execute(due).mappings().all():
                message = _message(row)
                message = replace(message, attempts=message.attempts + 1, due_at=now + timedelta(seconds=lease_s))
                changes = {"attempts": message.attempts, "due_at": message.due_at}
                connection.execute(update(webhooks).where(webhooks.c.id == message.id).values(changes))
                claimed.append(message)
            return claimed

    def settle(self, message: Message) -> bool:
        is_ours = (webhooks.c.id == message.id) & (webhooks.c.attempts == message.attempts)
        changes = {"state": message.state.value, "due_at": message.due_at, "error": clean_text(message.error, 300)}
        with self._transaction() as connection:
            return connection.execute(update(webhooks).where(is_ours).values(changes)).rowcount == 1

    def messages(self, *, state: MessageState | None = None, limit: int = 100) -> list[Message]:
        wanted = select(webhooks).order_by(webhooks.c.created_at.desc(), webhooks.c.id).limit(limit)
        if state is not None:
            wanted = wanted.where(webhooks.c.state == state.value)
        with self._transaction() as connection:
            return [_message(row) for row in connection.execute(wanted).mappings()]

    def redeliver(self, ids: Sequence[str] | None, now: datetime) -> int:
        these = webhooks.c.state == MessageState.DEAD.value if ids is None else webhooks.c.id.in_(ids)
        changes = {"state": MessageState.PENDING.value, "due_at": now, "give_up_at": now + GIVE_UP, "error": ""}
        with self._transaction() as connection:
            return connection.execute(update(webhooks).where(these).values(changes)).rowcount

    def waiting(self) -> Waiting:
        counting = select(webhooks.c.state, func.count(), func.min(webhooks.c.created_at)).group_by(webhooks.c.state)
        with self._transaction() as connection:
            found = {state: (count, oldest) for state, count, oldest in connection.execute(counting)}
        pending, oldest = found.get(MessageState.PENDING.value, (0, None))
        return Waiting(pending, found.get(MessageState.DEAD.value, (0, None))[0], _utc(oldest))


def _message(row: Any) -> Message:
    values = {each.name: row[each.name] for each in fields(Message)}
    dates = {name: _utc(values[name]) for name in _DATES}
    return Message(**{**values, **dates, "state": MessageState(values["state"])})


def _utc(date: datetime | None) -> datetime | None:
    """Returns the date in UTC. SQLite does not store the time zone."""
    return date if date is None else date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
