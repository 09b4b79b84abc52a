"""The forecast of a campaign: the first time at which each contact may be called. The forecast makes no calls. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ..outbound.dialing_rules import DialingRules
from .campaign import Campaign, CampaignStatus, PersonHistory
from .contact import Contact, ContactState
from .policy import calling_hours, settled

__all__ = ["forecast"]


def forecast(
    campaign: Campaign,
    contacts: Sequence[Contact],
    rules: DialingRules,
    now: datetime,
    *,
    listed: Collection[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yields a row for each contact: its state, and the first time at which the contact may be called, in UTC and in
    the callee's local time. The call rate of the campaign is ignored. `listed` has further numbers that must not be
    called.
    """
    running = replace(campaign, status=CampaignStatus.RUNNING)
    for contact in contacts:
        row: dict[str, Any] = {"id": contact.id, "number": contact.number, "lines": list(contact.lines)}
        if contact.state is ContactState.INVALID:
            yield {**row, "state": "invalid", "problem": contact.problem, "first_call_at": None, "local_time": None}
            continue
        hours = calling_hours(contact, campaign.config, rules)
        person = PersonHistory(listed=contact.number in listed or rules.lists(contact.number))
        then = settled(running, contact, (), now, person=person, hours=hours)
        state = then.state.value if then.reason is None else then.reason.value
        at = then.next_at
        local = None if at is None else f"{at.astimezone(ZoneInfo(hours.zones[0])):%a %Y-%m-%d %H:%M %Z}"
        yield {**row, "state": state, "problem": "", "first_call_at": at and at.isoformat(), "local_time": local}
