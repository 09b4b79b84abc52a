"""Explains to operators, in words, why a campaign starts no call now. All times are in UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..outbound.dialing_rules import DialingRules
from .calling_hours import ClosedBy
from .campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason
from .contact import Contact
from .policy import Hold, HoldReason, Pause, calling_hours, hold_of
from .store import CampaignStore

__all__ = ["HoldStatus", "hold_status", "pause_words"]

_CONTACTS = 100
"""The number of due contacts whose calling hours are checked."""

_OF_PAUSE = {
    PauseReason.USER: "by a person",
    PauseReason.FAILURES: "because too many calls failed",
    PauseReason.MINUTES: "because the minutes are used up",
    PauseReason.COST: "because the money is used up",
    PauseReason.CALLS: "because max_calls is reached",
    PauseReason.HANG_UP: "and its live calls are hung up",
}
_OF_HOLD = {
    HoldReason.ABANDONED: "max_abandoned_per_day is reached",
    HoldReason.PER_DAY: "max_per_day is reached",
    HoldReason.BUDGET: "the calls in progress may use up the rest of max_minutes or max_cost",
}
"""The reasons that are no part of the normal course of a campaign. Calls are in progress in the other cases."""
_OF_HOURS = {
    ClosedBy.QUIET_HOURS: "the contacts that are due have quiet hours",
    ClosedBy.HOLIDAY: "the contacts that are due have a public holiday",
    ClosedBy.WINDOW: "the contacts that are due are outside of the windows",
}


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """Why a campaign starts no call before the time `until` (UTC). `until` is None if no such time is known. `text`
    explains the reason in words. `reason` is a short code: `paused`, `campaign-start` (its start time is not reached),
    `not-due` (no contact is due), `queue` (the process cannot use its queue of calls), or a value of `HoldReason` or
    `ClosedBy`.
    """

    reason: str
    text: str
    until: datetime | None = None

    def __str__(self) -> str:
        return self.text if self.until is None else f"{self.text}, until {self.until:%Y-%m-%d %H:%M} UTC"

    def to_json(self) -> dict[str, Any]:
        until = None if self.until is None else self.until.isoformat()
        return {"reason": self.reason, "text": self.text, "until": until}


def hold_status(store: CampaignStore, campaign: Campaign, now: datetime, rules: DialingRules) -> HoldStatus | None:
    """Returns why the campaign starts no call now, or None if it may start calls or has ended. The limits `at_once` and
    `per_second` are not a reason, because they only slow down a campaign that makes calls.
    """
    if campaign.status is CampaignStatus.PAUSED:
        return _paused(campaign.pause_reason or PauseReason.USER)
    if campaign.status is not CampaignStatus.RUNNING:
        return None
    if (starts_at := campaign.config.starts_at) is not None and now < starts_at:
        return HoldStatus("campaign-start", "starts_at is not reached", starts_at)
    return _of_limits(campaign, store.counts(campaign.id, now), now) or _of_contacts(store, campaign, now, rules)


def pause_words(reason: PauseReason) -> str:
    """Returns the reason why a campaign was paused or stopped, as words after its status. For example, `by a person`
    follows `paused`.
    """
    return _OF_PAUSE[reason]


def _paused(reason: PauseReason) -> HoldStatus:
    return HoldStatus("paused", f"paused {_OF_PAUSE[reason]}")


def _of_limits(campaign: Campaign, counts: CampaignCounts, now: datetime) -> HoldStatus | None:
    match hold_of(campaign, counts, now):
        case Pause(reason):  # the next attempt pauses the campaign
            return _paused(reason)
        case Hold(reason, until) if reason in _OF_HOLD:
            return HoldStatus(reason.value, _OF_HOLD[reason], until)
    return None


def _of_contacts(store: CampaignStore, campaign: Campaign, now: datetime, rules: DialingRules) -> HoldStatus | None:
    """Returns why no contact may be called now, or None."""
    if due := store.due(campaign.id, now, _CONTACTS):
        closed = [_closed_by(contact, campaign, now, rules) for contact in due]
        if (first := closed[0]) is None or None in closed:
            return None
        openings = [calling_hours(contact, campaign.config, rules).next_open(now) for contact in due]
        return HoldStatus(first.value, _OF_HOURS[first], min(filter(None, openings), default=None))
    if (next_at := store.next_due(campaign.id)) is None or next_at <= now:
        return None
    following = store.due(campaign.id, next_at, 1)
    reason = _closed_by(following[0], campaign, now, rules) if following else None
    if reason is not None:
        return HoldStatus(reason.value, _OF_HOURS[reason], next_at)
    return HoldStatus("not-due", "no contact is due", next_at)


def _closed_by(contact: Contact, campaign: Campaign, now: datetime, rules: DialingRules) -> ClosedBy | None:
    return calling_hours(contact, campaign.config, rules).closed_by(now)
