"""Converts campaigns, contacts and attempts to rows of the database, and rows back to these objects. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from ..records.storable import clean_json, clean_text
from .campaign import Campaign, CampaignStatus, PauseReason
from .config import CampaignConfig
from .contact import Attempt, Contact, ContactState, DoneReason, Outcome

__all__ = [
    "AT_ONCE",
    "attempt_of",
    "attempt_row",
    "campaign_of",
    "campaign_row",
    "contact_of",
    "contact_row",
    "utc",
]

_E = TypeVar("_E", bound=Enum)
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""The date that is stored in place of None for `Contact.next_at` (the contact may be called immediately). It is earlier
than all other dates, so such contacts are first in the index. Databases sort NULL in different ways.
"""
_MAX_ERROR = 500
_MAX_TRANSCRIPT = 100_000


def utc(date: datetime | None) -> datetime | None:
    """Returns the date in UTC, or None for None. A date without a time zone is in UTC, because SQLite does not store
    the time zone.
    """
    return date if date is None else date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def campaign_row(campaign: Campaign, now: datetime) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": clean_text(campaign.name),
        "status": campaign.status.value,
        "pause_reason": _value(campaign.pause_reason),
        "config": campaign.config.model_dump(mode="json"),
        "created_at": campaign.created_at,
        "updated_at": now,
        "resumed_at": campaign.resumed_at,
        "live": 0,
        "calls": 0,
        "seconds": 0,
        "cost": 0.0,
        "currency": "",
        "priced": 0,
        "unpriced": 0,
    }


def campaign_of(row: Any) -> Campaign:
    return Campaign(
        id=row["id"],
        config=CampaignConfig.model_validate(row["config"]),
        created_at=_date(row["created_at"]),
        name=row["name"],
        status=CampaignStatus(row["status"]),
        pause_reason=_enum(PauseReason, row["pause_reason"]),
        resumed_at=utc(row["resumed_at"]),
    )


def contact_row(campaign_id: str, contact: Contact, position: int, subject: str, now: datetime) -> dict[str, Any]:
    return {
        "campaign": campaign_id,
        "id": contact.id,
        "position": position,
        "number": clean_text(contact.number),
        "subject": subject,
        "extension": contact.extension,
        "timezone": contact.timezone,
        "consent": contact.consent,
        "data": clean_json(dict(contact.data)),
        "members": list(contact.members),
        "lines": list(contact.lines),
        "state": contact.state.value,
        "reason": _value(contact.reason),
        "problem": clean_text(contact.problem, _MAX_ERROR),
        "next_at": contact.next_at or AT_ONCE,
        "retried_at": contact.retried_at,
        "updated_at": now,
    }


def contact_of(row: Any) -> Contact:
    next_at = utc(row["next_at"])
    return Contact(
        id=row["id"],
        number=row["number"],
        extension=row["extension"],
        timezone=row["timezone"],
        consent=row["consent"],
        data=row["data"],
        members=tuple(row["members"]),
        lines=tuple(row["lines"]),
        state=ContactState(row["state"]),
        reason=_enum(DoneReason, row["reason"]),
        problem=row["problem"],
        next_at=None if next_at == AT_ONCE else next_at,
        retried_at=utc(row["retried_at"]),
    )


def attempt_row(campaign_id: str, attempt: Attempt, subject: str) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "campaign": campaign_id,
        "contact": attempt.contact_id,
        "number": attempt.number,
        "subject": subject,
        "owner": attempt.owner,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "outcome": _value(attempt.outcome),
        "sid": attempt.sid,
        "answered_by": attempt.answered_by,
        "duration_s": attempt.duration_s,
        "cost": attempt.cost,
        "currency": attempt.currency,
        "result": None if attempt.result is None else clean_json(dict(attempt.result)),
        "transcript": clean_text(attempt.transcript, _MAX_TRANSCRIPT),
        "callback_at": attempt.callback_at,
        "message_left": attempt.message_left,
        "inbound": attempt.inbound,
        "error": clean_text(attempt.error, _MAX_ERROR),
    }


def attempt_of(row: Any) -> Attempt:
    return Attempt(
        id=row["id"],
        contact_id=row["contact"],
        number=row["number"],
        started_at=_date(row["started_at"]),
        ended_at=utc(row["ended_at"]),
        outcome=_enum(Outcome, row["outcome"]),
        sid=row["sid"],
        answered_by=row["answered_by"],
        duration_s=row["duration_s"],
        cost=row["cost"],
        currency=row["currency"],
        result=row["result"],
        transcript=row["transcript"],
        callback_at=utc(row["callback_at"]),
        message_left=row["message_left"],
        inbound=row["inbound"],
        error=row["error"],
        owner=row["owner"],
    )


def _value(member: Enum | None) -> str:
    return "" if member is None else str(member.value)


def _enum(kind: type[_E], value: str) -> _E | None:
    return kind(value) if value else None


def _date(date: datetime) -> datetime:
    found = utc(date)
    assert found is not None
    return found
