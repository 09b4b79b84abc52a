"""The messages about campaigns for webhooks, and the JSON of campaigns, contacts and attempts. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from ..masking import mask_number
from ..records.outbox import GIVE_UP, MAX_PAYLOAD_BYTES, Message, contact_key
from .campaign import Campaign, Standing
from .contact import Attempt, Contact
from .store import Funnel

__all__ = [
    "CAMPAIGN_FINISHED",
    "CONTACT_DONE",
    "attempt_json",
    "campaign_finished",
    "campaign_json",
    "contact_done",
    "contact_json",
    "funnel_json",
]

CONTACT_DONE = "campaign.contact.done"
CAMPAIGN_FINISHED = "campaign.finished"


def contact_done(
    campaign: Campaign, contact: Contact, attempts: Sequence[Attempt], now: datetime, *, shows_numbers: bool
) -> Message:
    """The message about a contact for which no further attempt is made. The number is masked, unless `shows_numbers`
    is set."""
    data = {"campaign": campaign.id, **contact_json(contact, attempts)}
    if not shows_numbers:
        data["number"] = mask_number(contact.number)
    payload = _payload(CONTACT_DONE, data, now)
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        for attempt in data["attempts"]:
            attempt["transcript"] = None
        payload = _payload(CONTACT_DONE, {**data, "left_out": ["transcript"]}, now)
    unique = f"{campaign.id}\0{contact.id}\0{contact.retried_at}\0{contact.reason}\0{len(attempts)}"
    return _message(CONTACT_DONE, unique, contact_key(campaign.id, contact.id), payload, now)


def campaign_finished(campaign: Campaign, funnel: Funnel, now: datetime) -> Message:
    """The message about a campaign that is finished or was stopped."""
    data = {**campaign_json(campaign), "funnel": funnel_json(funnel)}
    unique = f"{campaign.id}\0{campaign.status.value}\0{campaign.resumed_at}"
    return _message(CAMPAIGN_FINISHED, unique, campaign.id, _payload(CAMPAIGN_FINISHED, data, now), now)


def campaign_json(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "status": campaign.status.value,
        "pause_reason": None if campaign.pause_reason is None else campaign.pause_reason.value,
        "created_at": campaign.created_at.isoformat(),
        "resumed_at": _date(campaign.resumed_at),
        "config": campaign.config.model_dump(mode="json", exclude_defaults=True),
    }


def funnel_json(funnel: Funnel) -> dict[str, Any]:
    return {
        "contacts": funnel.contacts,
        "states": {each.value: count for each, count in sorted(funnel.states.items(), key=lambda it: it[0].value)},
        "reasons": {each.value: count for each, count in sorted(funnel.reasons.items(), key=lambda it: it[0].value)},
        "outcomes": {each.value: count for each, count in sorted(funnel.outcomes.items(), key=lambda it: it[0].value)},
        "attempts": funnel.attempts,
        "answered": funnel.answered,
        "minutes": round(funnel.minutes, 2),
        "cost": round(funnel.cost, 6),
        "currency": funnel.currency or None,
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    return {"live": standing.live, "abandoned_in_day": standing.abandoned_in_day}


def contact_json(contact: Contact, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """A contact with its attempts, the oldest first. `result` is that of the newest attempt that has one."""
    last = next((each for each in reversed(attempts) if each.outcome is not None), None)
    result = next((each.result for each in reversed(attempts) if each.result is not None), None)
    return {
        "id": contact.id,
        "number": contact.number,
        "extension": contact.extension or None,
        "state": contact.state.value,
        "reason": None if contact.reason is None else contact.reason.value,
        "problem": contact.problem or None,
        "outcome": None if last is None or last.outcome is None else last.outcome.value,
        "result": None if result is None else dict(result),
        "next_at": _date(contact.next_at),
        "data": dict(contact.data),
        "members": list(contact.members),
        "lines": list(contact.lines),
        "attempts": [attempt_json(each) for each in attempts],
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "sid": attempt.sid or None,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": _date(attempt.ended_at),
        "outcome": None if attempt.outcome is None else attempt.outcome.value,
        "answered_by": attempt.answered_by or None,
        "duration_s": attempt.duration_s,
        "cost": attempt.cost,
        "currency": attempt.currency or None,
        "result": None if attempt.result is None else dict(attempt.result),
        "transcript": attempt.transcript or None,
        "callback_at": _date(attempt.callback_at),
        "message_left": attempt.message_left,
        "inbound": attempt.inbound,
        "error": attempt.error or None,
    }


def _message(kind: str, unique: str, about: str, payload: str, now: datetime) -> Message:
    message_id = "msg_" + sha256(f"{kind}\0{unique}".encode()).hexdigest()[:32]
    return Message(message_id, about, kind, payload, now, now, now + GIVE_UP)


def _payload(kind: str, data: dict[str, Any], now: datetime) -> str:
    return json.dumps({"type": kind, "timestamp": now.isoformat(), "data": data}, ensure_ascii=False, default=str)


def _date(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()
