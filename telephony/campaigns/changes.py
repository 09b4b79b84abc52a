"""Changes in the tables of campaigns. Each change runs in the transaction of its `connection`. All times are in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from ..outbound.dialing_rules import DialingRules
from ..records.database_opt_outs import hold, is_opted_out
from ..records.database_outbox import put
from ..records.schema import attempts, campaigns, contacts
from . import queries
from .campaign import Campaign, CampaignStatus, PauseReason, PersonHistory
from .contact import Attempt, Contact, ContactState, DoneReason
from .messages import campaign_finished, contact_done
from .policy import Done, Hold, Pause, Wait, calling_hours, done, settled
from .rows import AT_ONCE, contact_of, utc

__all__ = ["Changes", "count_end", "person_of", "put_contact"]

_HOLD_S = 2.0
"""The time in seconds after which a contact is tried again, if a limit of its campaign forbade the call and it is not
known when the limit permits a call.
"""
_CLAIM_S = 2 * 86_400.0
"""The maximum time in seconds for which the claim of a number is valid, if the claim is not released at the end of the
attempt. It is longer than any call.
"""


def put_contact(
    connection: Connection,
    campaign_id: str,
    contact: Contact,
    now: datetime,
    queued_until: datetime | None = None,
) -> None:
    """Writes the changed fields of a contact to the database. If `queued_until` is given, the contact counts as queued
    until this time.
    """
    changes = {
        "state": contact.state.value,
        "reason": "" if contact.reason is None else contact.reason.value,
        "next_at": contact.next_at or AT_ONCE,
        "queued_until": queued_until,
        "updated_at": now,
    }
    this = (contacts.c.campaign == campaign_id) & (contacts.c.id == contact.id)
    connection.execute(update(contacts).where(this).values(changes))


def count_end(connection: Connection, campaign_id: str, ended: Attempt) -> None:
    """Adds the duration and the cost of an ended attempt to the counts of its campaign."""
    counts: dict[str, Any] = {"live": campaigns.c.live - 1, "seconds": campaigns.c.seconds + ended.duration_s}
    if ended.cost is not None:
        counts |= {"cost": campaigns.c.cost + ended.cost, "priced": campaigns.c.priced + 1}
        counts["currency"] = ended.currency
    elif ended.duration_s > 0:
        counts["unpriced"] = campaigns.c.unpriced + 1
    connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(counts))


def person_of(
    connection: Connection,
    campaign: Campaign,
    subjects: Sequence[str],
    number: str,
    now: datetime,
    rules: DialingRules,
    attempt_id: str,
) -> PersonHistory:
    """Returns what is known about the number of a contact: the calls of all campaigns to it, and whether it may be
    called. `subjects` are the hashes of the number in all its forms (`subjects_of_phone`). If `attempt_id`
    is not empty, also reserves the number for this attempt, unless another call uses the number.
    """
    config = campaign.config
    since = now - max(config.per_person.per, config.per_number.per)
    calls = select(attempts.c.campaign, attempts.c.started_at).where(
        attempts.c.subject.in_(subjects), attempts.c.started_at > since, ~attempts.c.inbound
    )
    began = [(each, utc(at) or now) for each, at in connection.execute(calls)]
    listed = is_opted_out(connection, subjects) or rules.lists(number)
    in_call = False
    if attempt_id and not listed:
        in_call = not hold(connection, subjects[0], attempt_id, process="", ttl_s=_CLAIM_S, now=now)
    return PersonHistory(
        listed=listed,
        in_call=in_call,
        called_at=tuple(at for _, at in began if at > now - config.per_person.per),
        called_here=tuple(at for each, at in began if each == campaign.id and at > now - config.per_number.per),
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes the states of campaigns and contacts in the database, and writes the webhook messages about these changes
    in the same transaction. If `announces` is False, no messages are written. If `shows_numbers` is True, the messages
    contain the full phone numbers.
    """

    announces: bool
    shows_numbers: bool

    def set_status(
        self,
        connection: Connection,
        campaign: Campaign,
        status: CampaignStatus,
        now: datetime,
        reason: PauseReason | None = None,
    ) -> Campaign:
        """Sets the status of a campaign in the transaction of `connection`, and returns the changed campaign. `reason`
        says why a campaign is paused. The status `STOPPED` ends the pending contacts. After the status `RUNNING`,
        pending contacts that were already queued may be queued again.
        """
        resumed = now if status is CampaignStatus.RUNNING else campaign.resumed_at
        changed = replace(campaign, status=status, pause_reason=reason, resumed_at=resumed)
        values = {
            "status": status.value,
            "pause_reason": "" if reason is None else reason.value,
            "resumed_at": resumed,
            "updated_at": now,
        }
        connection.execute(update(campaigns).where(campaigns.c.id == campaign.id).values(values))
        of_campaign = contacts.c.campaign == campaign.id
        if status is CampaignStatus.STOPPED:
            ended = {"state": ContactState.DONE.value, "reason": DoneReason.STOPPED.value, "updated_at": now}
            connection.execute(update(contacts).where(of_campaign, queries.PENDING).values(next_at=AT_ONCE, **ended))
        if status is CampaignStatus.RUNNING:
            held = contacts.c.queued_until.is_not(None)
            connection.execute(update(contacts).where(of_campaign, queries.PENDING, held).values(queued_until=None))
        if status in (CampaignStatus.STOPPED, CampaignStatus.FINISHED) and self.announces:
            put(connection, campaign_finished(changed, queries.funnel(connection, campaign.id), now))
        return changed

    def not_called(
        self,
        connection: Connection,
        campaign: Campaign,
        contact: Contact,
        action: Wait | Done | Pause | Hold,
        now: datetime,
    ) -> None:
        """Writes what follows for a contact and its campaign from a decision not to call the contact now."""
        match action:
            case Wait(until):
                put_contact(connection, campaign.id, replace(contact, next_at=until), now)
            case Done(reason):
                contact = done(contact, reason)
                put_contact(connection, campaign.id, contact, now)
                self.announce(connection, campaign, contact, now)
            case Pause(reason):
                put_contact(connection, campaign.id, contact, now)
                self.set_status(connection, campaign, CampaignStatus.PAUSED, now, reason)
            case Hold(_, until):
                later = until or now + timedelta(seconds=_HOLD_S)
                put_contact(connection, campaign.id, contact, now, queued_until=later)

    def settle(
        self,
        connection: Connection,
        campaign: Campaign,
        contact_id: str,
        subjects: Sequence[str],
        now: datetime,
        rules: DialingRules,
    ) -> Contact | None:
        """Decides and writes the state of a contact after the end of its attempt: whether and when the contact is
        called again. `subjects` are the hashes of its number in all forms. Returns the contact, or None if the
        person was erased.
        """
        row = queries.find_contact(connection, campaign.id, contact_id, lock=True)
        if row is None:  # the person was erased
            return None
        contact = contact_of(row)
        if contact.state is not ContactState.CALLING:  # the contact rang back during the attempt
            return contact
        contact = settled(
            campaign,
            contact,
            queries.attempts_for(connection, campaign.id, contact_id),
            now,
            person=person_of(connection, campaign, subjects, contact.number, now, rules, ""),
            hours=calling_hours(contact, campaign.config, rules),
        )
        put_contact(connection, campaign.id, contact, now)
        self.announce(connection, campaign, contact, now)
        return contact

    def announce(self, connection: Connection, campaign: Campaign, contact: Contact, now: datetime) -> None:
        """Writes the webhook message that no further call is made to a contact. The message is sent after the
        transaction.
        """
        if self.announces and contact.is_final:
            tried = queries.attempts_for(connection, campaign.id, contact.id)
            put(connection, contact_done(campaign, contact, tried, now, shows_numbers=self.shows_numbers))
