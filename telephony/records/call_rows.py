"""Reads call records from rows of the database, and makes the SQL conditions for searching rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Text, cast, false, func, literal, or_, tuple_

from ..twilio.callbacks import ENDED
from .call_query import NUMBERS, TEXTS, CallQuery, Party
from .call_record import INTERRUPTED, CallRecord
from .schema import calls
from .storable import clean_text

__all__ = ["conditions", "period", "record_of", "utc"]

_DATES = ("started_at", "answered_at", "ended_at", "updated_at")


def conditions(query: CallQuery) -> Iterator[ColumnElement[bool]]:
    """Yields the SQL conditions for a search of call records. A record satisfies all conditions if it matches the
    filters of `query`, such as the numbers, the agent and the period.
    """
    c, outbound = calls.c, calls.c.direction.startswith("outbound")
    yield c.started_at.is_not(None)
    if query.caller is not None:
        yield or_(c.caller.in_(query.caller.numbers), _is_subject(query.caller) & ~outbound)
    if query.called is not None:
        yield or_(c.called.in_(query.called.numbers), _is_subject(query.called) & outbound)
    if query.number is not None:
        yield _has_number(query.number)
    if query.agent:
        name = json.dumps(clean_text(query.agent))
        yield or_(c.agent == clean_text(query.agent), cast(c.agents, Text).contains(name, autoescape=True))
    if query.status:
        status = clean_text(query.status)
        yield or_(c.status == status, c.ending == status)
    if query.endings:
        yield or_(c.ending.in_(query.endings), (c.ending == "") & c.status.in_(query.endings) & _is_over())
    if query.text:
        text = clean_text(query.text)
        number = clean_text(query.number_text)
        yield or_(
            *(getattr(c, name).icontains(text, autoescape=True) for name in TEXTS),
            cast(c.result, Text).icontains(json.dumps(text)[1:-1], autoescape=True),
            *(getattr(c, name).icontains(number, autoescape=True) for name in NUMBERS),
            c.sid.istartswith(text, autoescape=True)
            if query.is_start_of_call_id
            else func.lower(c.sid) == text.lower(),
            false() if query.text_number is None else _has_number(query.text_number),
        )
    if query.is_interrupted:
        yield c.interruptions > 0
    if query.sids is not None:
        yield c.sid.in_(query.sids)
    if query.is_open:
        yield c.ended_at.is_(None)
    if query.until is not None:
        yield tuple_(c.started_at, c.id) >= _place(query.until)
    yield from period(query)


def period(query: CallQuery) -> Iterator[ColumnElement[bool]]:
    """Yields the SQL conditions for the start time of calls in a list: the period from `query.start` to `query.end`,
    and only calls after the previous page (`query.after`). An index contains the columns of these conditions.
    """
    c = calls.c
    if query.start is not None:
        yield c.started_at >= query.start
    if query.end is not None:
        yield c.started_at < query.end
    if query.after is not None:
        yield tuple_(c.started_at, c.id) < _place(query.after)


def _place(at: tuple[datetime, str]) -> Any:
    return tuple_(literal(at[0], calls.c.started_at.type), at[1])


def _is_over() -> ColumnElement[bool]:
    """Returns the SQL condition that corresponds to `CallRecord.over`."""
    return calls.c.status.in_((*ENDED, INTERRUPTED))


def _has_number(party: Party) -> ColumnElement[bool]:
    return or_(_is_subject(party), calls.c.caller.in_(party.numbers), calls.c.called.in_(party.numbers))


def _is_subject(party: Party) -> ColumnElement[bool]:
    return calls.c.subject.in_(party.subjects)


def record_of(found: RowMapping) -> CallRecord:
    values = {each.name: found[each.name] for each in fields(CallRecord)}
    return CallRecord(**{**values, **{name: utc(values[name]) for name in _DATES if values[name] is not None}})


def utc(date: datetime) -> datetime:
    """Returns the date in UTC. SQLite does not store the time zone, and PostgreSQL returns the time zone of the
    session.
    """
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
