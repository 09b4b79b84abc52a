"""The webhook messages about campaigns and their contacts. All times are in UTC. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from ..masking import mask_number
from ..records.outbox import GIVE_UP, MAX_PAYLOAD_BYTES, Message, contact_key
from .campaign import Campaign
from .contact import Attempt, Contact
from .report import campaign_json, result_row
from .store import Funnel

__all__ = ["CAMPAIGN_FINISHED", "CONTACT_DONE", "campaign_finished", "contact_done"]

CONTACT_DONE = "campaign.contact.done"
CAMPAIGN_FINISHED = "campaign.finished"


def contact_done(
    campaign: Campaign, contact: Contact, attempts: Sequence[Attempt], now: datetime, *, shows_numbers: bool
) -> Message:
    """Returns the webhook message about a contact for which no further attempt is made. The number is masked, unless
    `shows_numbers` is True.
    """
    data = {"campaign": campaign.id, **result_row(contact, attempts)}
    if not shows_numbers:
        data["number"] = mask_number(contact.number)
    payload = _payload(CONTACT_DONE, data, now)
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        left_out = {"transcript": None, "left_out": ["transcript"]}
        payload = _payload(CONTACT_DONE, {**data, **left_out}, now)
    unique = f"{campaign.id}\0{contact.id}\0{contact.retried_at}\0{contact.reason}\0{len(attempts)}"
    return _message(CONTACT_DONE, unique, contact_key(campaign.id, contact.id), payload, now)


def campaign_finished(campaign: Campaign, funnel: Funnel, now: datetime) -> Message:
    """Returns the webhook message about a campaign that is finished or was stopped. `funnel` has the number of its
    contacts by state.
    """
    data = campaign_json(campaign, funnel)
    unique = f"{campaign.id}\0{campaign.status.value}\0{campaign.resumed_at}"
    return _message(CAMPAIGN_FINISHED, unique, campaign.id, _payload(CAMPAIGN_FINISHED, data, now), now)


def _message(kind: str, unique: str, about: str, payload: str, now: datetime) -> Message:
    message_id = "msg_" + sha256(f"{kind}\0{unique}".encode()).hexdigest()[:32]
    return Message(message_id, about, kind, payload, now, now, now + GIVE_UP)


def _payload(kind: str, data: dict[str, Any], now: datetime) -> str:
    return json.dumps({"type": kind, "timestamp": now.isoformat(), "data": data}, ensure_ascii=False, default=str)
