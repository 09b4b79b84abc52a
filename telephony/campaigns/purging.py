"""Deletes old campaigns from the database, for the command `telephony calls purge`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, delete, select, update

from ..records.outbox import contact_key
from ..records.schema import attempts, campaigns, contacts, webhooks
from .campaign import CampaignStatus

__all__ = ["purge_campaigns"]

_BATCH = 500
_OVER = (CampaignStatus.FINISHED.value, CampaignStatus.STOPPED.value)


def purge_campaigns(
    transaction: Callable[[], AbstractContextManager[Connection]], before: datetime, *, dry_run: bool = False
) -> list[str]:
    """Deletes the campaigns that ended before the time `before` (UTC), with their contacts, attempts and messages.
    `transaction` begins a transaction of the database. In the other campaigns, deletes the transcripts and results of
    attempts that ended before `before`. With `dry_run`, deletes nothing.

    Returns the ids of the deleted campaigns.
    """
    old = campaigns.c.status.in_(_OVER) & (campaigns.c.updated_at < before) & (campaigns.c.live == 0)
    with transaction() as connection:
        wanted = select(campaigns.c.id).where(old).order_by(campaigns.c.id).with_for_update()
        ids = list(connection.execute(wanted).scalars())
        if dry_run:
            return ids
        for id_ in ids:
            _delete(connection, id_)
        ended = attempts.c.ended_at < before
        connection.execute(update(attempts).where(ended).values(transcript="", result=None))
    return ids


def _delete(connection: Connection, campaign_id: str) -> None:
    tried = select(attempts.c.id).where(attempts.c.campaign == campaign_id)
    connection.execute(delete(webhooks).where(webhooks.c.call_id.in_(tried)))
    people = connection.execute(select(contacts.c.id).where(contacts.c.campaign == campaign_id)).scalars().all()
    keys = (contact_key(campaign_id, each) for each in people)
    while some := list(islice(keys, _BATCH)):
        connection.execute(delete(webhooks).where(webhooks.c.call_id.in_(some)))
    connection.execute(delete(attempts).where(attempts.c.campaign == campaign_id))
    connection.execute(delete(contacts).where(contacts.c.campaign == campaign_id))
    connection.execute(delete(campaigns).where(campaigns.c.id == campaign_id))
