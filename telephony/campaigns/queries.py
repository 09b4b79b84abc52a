"""The SQL queries of the store of campaigns. Each query runs in the transaction of its `connection`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, literal_column, or_, select

from ..errors import CampaignError
from ..records.schema import attempts, campaigns, contacts, number_claims
from .campaign import Campaign, CampaignCounts
from .contact import Attempt, ContactState, DoneReason, Outcome
from .policy import DAY
from .rows import attempt_of, utc
from .store import Funnel

__all__ = [
    "IN_PROGRESS",
    "PENDING",
    "attempts_for",
    "counts_of",
    "due",
    "existing",
    "find",
    "find_contact",
    "funnel",
    "let_go",
    "locked",
    "open_attempt",
]

_TALKED = (Outcome.REACHED, Outcome.INCOMPLETE, Outcome.CALLBACK, Outcome.OPTED_OUT, Outcome.ABANDONED)
IN_PROGRESS = attempts.c.outcome == literal_column("''")
PENDING = contacts.c.state == literal_column("'pending'")
"""The SQL condition for pending contacts. The condition is a literal, because SQLite uses a partial index only for a
query that contains the condition of the index.
"""
# These statements run several times for each call. SQLAlchemy takes longer to build a statement than to run it.
_CAMPAIGN = select(campaigns).where(campaigns.c.id == bindparam("campaign_id"))
_LOCKED_CAMPAIGN = _CAMPAIGN.with_for_update()
_CONTACT = select(contacts).where(
    contacts.c.campaign == bindparam("campaign_id"), contacts.c.id == bindparam("contact_id")
)
_LOCKED_CONTACT = _CONTACT.with_for_update()
_OPEN_ATTEMPT = select(attempts).where(attempts.c.id == bindparam("attempt_id"), IN_PROGRESS)
_ATTEMPTS = (
    select(attempts)
    .where(attempts.c.campaign == bindparam("campaign_id"), attempts.c.contact == bindparam("contact_id"))
    .order_by(attempts.c.started_at)
)
_LET_GO = delete(number_claims).where(number_claims.c.holder == bindparam("attempt_id"))


def find(connection: Connection, campaign_id: str) -> Any:
    return connection.execute(_CAMPAIGN, {"campaign_id": campaign_id}).mappings().first()


def existing(connection: Connection, campaign_id: str) -> Any:
    if (row := find(connection, campaign_id)) is None:
        raise CampaignError(f"There is no campaign {campaign_id}.")
    return row


def locked(connection: Connection, campaign_id: str) -> Any:
    """Locks the row of a campaign in the database and returns the row. Other processes cannot change the row until the
    transaction ends.
    """
    if (row := connection.execute(_LOCKED_CAMPAIGN, {"campaign_id": campaign_id}).mappings().first()) is None:
        raise CampaignError(f"There is no campaign {campaign_id}.")
    return row


def find_contact(connection: Connection, campaign_id: str, contact_id: str, *, lock: bool = False) -> Any:
    wanted = {"campaign_id": campaign_id, "contact_id": contact_id}
    return connection.execute(_LOCKED_CONTACT if lock else _CONTACT, wanted).mappings().first()


def due(campaign_id: str, now: datetime, limit: int) -> Any:
    return (
        select(contacts)
        .where(
            contacts.c.campaign == campaign_id,
            PENDING,
            contacts.c.next_at <= now,
            or_(contacts.c.queued_until.is_(None), contacts.c.queued_until <= now),
        )
        .order_by(contacts.c.next_at, contacts.c.position)
        .limit(limit)
    )


def open_attempt(connection: Connection, attempt_id: str) -> Any:
    return connection.execute(_OPEN_ATTEMPT, {"attempt_id": attempt_id}).mappings().first()


def attempts_for(connection: Connection, campaign_id: str, contact_id: str) -> list[Attempt]:
    rows = connection.execute(_ATTEMPTS, {"campaign_id": campaign_id, "contact_id": contact_id}).mappings()
    return [attempt_of(row) for row in rows]


def let_go(connection: Connection, attempt_id: str) -> None:
    connection.execute(_LET_GO, {"attempt_id": attempt_id})


def counts_of(connection: Connection, row: Any, campaign: Campaign, now: datetime) -> CampaignCounts:
    here = attempts.c.campaign == campaign.id
    in_day: tuple[int, datetime | None] = (0, None)
    if campaign.config.max_per_day is not None:
        counting = select(func.count(), func.min(attempts.c.started_at)).where(
            here, attempts.c.started_at > now - DAY, ~attempts.c.inbound
        )
        count, oldest = connection.execute(counting).one()
        in_day = count, utc(oldest)
    abandoned = select(func.count(), func.min(attempts.c.ended_at)).where(
        here, attempts.c.outcome == Outcome.ABANDONED.value, attempts.c.ended_at > now - DAY
    )
    abandoned_count, oldest_abandoned = connection.execute(abandoned).one()
    ended = select(attempts.c.outcome).where(here, attempts.c.ended_at.is_not(None), ~attempts.c.inbound)
    if campaign.resumed_at is not None:
        ended = ended.where(attempts.c.ended_at > campaign.resumed_at)
    newest = ended.order_by(attempts.c.ended_at.desc()).limit(campaign.config.failures_of)
    return CampaignCounts(
        live=row["live"],
        calls=row["calls"],
        last_started_at=utc(row["last_started_at"]),
        calls_in_day=in_day[0],
        oldest_in_day=in_day[1],
        minutes=row["seconds"] / 60,
        cost=row["cost"],
        priced=row["priced"],
        unpriced=row["unpriced"],
        abandoned_in_day=abandoned_count,
        oldest_abandoned=utc(oldest_abandoned),
        recent=tuple(Outcome(outcome) for outcome in connection.execute(newest).scalars()),
    )


def funnel(connection: Connection, campaign_id: str) -> Funnel:
    """Returns the numbers of contacts and attempts of a campaign by state, reason and outcome (its funnel)."""
    row = existing(connection, campaign_id)
    by_state = (
        select(contacts.c.state, contacts.c.reason, func.count())
        .where(contacts.c.campaign == campaign_id)
        .group_by(contacts.c.state, contacts.c.reason)
    )
    by_outcome = (
        select(attempts.c.outcome, func.count()).where(attempts.c.campaign == campaign_id).group_by(attempts.c.outcome)
    )
    found = Funnel(minutes=row["seconds"] / 60, cost=row["cost"], currency=row["currency"])
    for state, reason, count in connection.execute(by_state):
        found.contacts += count
        found.states[ContactState(state)] += count
        if reason:
            found.reasons[DoneReason(reason)] += count
    for outcome, count in connection.execute(by_outcome):
        found.attempts += count
        if outcome:
            found.outcomes[Outcome(outcome)] += count
    found.answered = sum(found.outcomes[outcome] for outcome in _TALKED)
    return found
