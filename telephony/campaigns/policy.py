"""Decides the next action for a contact of a campaign. All times are in UTC. Pure. `runner` and the stores call
`decide`, and execute the action that `decide` returns.

The rules are applied in this order: whether the contact is done, when the contact may be called, and whether the
campaign may start a call now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from ..outbound.dialing_rules import DialingRules
from .calling_hours import CallingHours
from .campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason, PersonHistory
from .config import CampaignConfig, Rate
from .contact import FAILURES, FINAL, Attempt, Contact, ContactState, DoneReason, Outcome
from .places import country_of, time_zones

__all__ = [
    "Action",
    "Dial",
    "Done",
    "Hold",
    "HoldReason",
    "Pause",
    "Wait",
    "WaitReason",
    "calling_hours",
    "decide",
    "done",
    "hold_of",
    "max_calls_at_once",
    "settled",
]

DAY = timedelta(days=1)
_LOOK_AGAIN = timedelta(seconds=30)
"""The time after which a contact is tried again, if its number is in another call."""


class WaitReason(Enum):
    """The reasons why a contact may not be called now."""

    CAMPAIGN_START = "campaign-start"
    WINDOW = "window"
    """The quiet hours, the weekly windows or a holiday do not allow a call."""
    RETRY = "retry"
    CALLBACK = "callback"
    PER_NUMBER = "per-number"
    PER_PERSON = "per-person"
    IN_CALL = "in-call"


class HoldReason(Enum):
    """The reasons why the campaign starts no call now."""

    NOT_RUNNING = "not-running"
    AT_ONCE = "at-once"
    PER_SECOND = "per-second"
    PER_DAY = "per-day"
    ABANDONED = "abandoned"
    BUDGET = "budget"
    """No further call begins, because the calls that are in progress may already use up the rest of `max_minutes` or
    `max_cost`, the limits of the campaign.
    """


@dataclass(frozen=True, slots=True)
class Dial:
    """The action: begin a call to the contact now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The action: the contact must wait until the time `until`, in UTC, for the reason `reason`. Other contacts may be
    called.
    """

    until: datetime
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Done:
    """The action: no further attempt is made for this contact, for the reason `reason`."""

    reason: DoneReason


@dataclass(frozen=True, slots=True)
class Hold:
    """The action: the campaign starts no call to any contact before the time `until`, for the reason `reason`. With
    `until` None, the campaign starts no call until a call ends or the campaign is changed.
    """

    reason: HoldReason
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The action: pause the campaign for the reason `reason`, so no process starts a call."""

    reason: PauseReason


Action = Dial | Wait | Done | Hold | Pause


def decide(
    campaign: Campaign,
    contact: Contact,
    attempts: Sequence[Attempt],
    now: datetime,
    *,
    counts: CampaignCounts,
    person: PersonHistory,
    hours: CallingHours,
) -> Action:
    """Decides the next action for this contact. `attempts` has all earlier attempts for this contact, in any order. No
    attempt may be in progress. `counts` has the counts of the campaign, `person` has the calls to the contact's
    number, and `hours` are the calling hours of the contact.
    """
    return (
        _end_of(campaign, contact, attempts, now, person)
        or _wait_of(campaign, contact, attempts, now, person, hours)
        or hold_of(campaign, counts, now)
        or Dial()
    )


def settled(
    campaign: Campaign,
    contact: Contact,
    attempts: Sequence[Attempt],
    now: datetime,
    *,
    person: PersonHistory,
    hours: CallingHours,
) -> Contact:
    """Returns the contact with its new state after an attempt has ended: done, or pending until the next attempt.
    `person` has the calls of all campaigns to the contact's number. `hours` are the times at which the contact may be
    called.
    """
    if (ended := _end_of(campaign, contact, attempts, now, person)) is not None:
        return done(contact, ended.reason)
    match _wait_of(campaign, contact, attempts, now, person, hours):
        case Done(reason):
            return done(contact, reason)
        case Wait(until):
            return replace(contact, state=ContactState.PENDING, reason=None, next_at=until)
        case None:
            return replace(contact, state=ContactState.PENDING, reason=None, next_at=now)


def done(contact: Contact, reason: DoneReason) -> Contact:
    """Returns the contact with the state `DONE` and this reason."""
    return replace(contact, state=ContactState.DONE, reason=reason, next_at=None)


def calling_hours(contact: Contact, config: CampaignConfig, rules: DialingRules) -> CallingHours:
    """Returns the calling hours of a contact: the windows of the campaign without the quiet hours of the dialing
    rules.
    """
    zone = contact.timezone or rules.timezone
    return CallingHours(
        zones=(zone,) if zone else time_zones(contact.number),
        windows=config.windows,
        quiet_from=rules.quiet_from,
        quiet_until=rules.quiet_until,
        country="" if config.holidays else country_of(contact.number),
    )


# --- the contact ------------------------------------------------------------------------------------------------------


def _end_of(
    campaign: Campaign, contact: Contact, attempts: Sequence[Attempt], now: datetime, person: PersonHistory
) -> Done | None:
    """Returns `Done` if no further attempt is made, or None. The outcome of the last attempt is checked before the
    rules that forbid a call.
    """
    attempts = _counted(contact, attempts)
    config, last = campaign.config, _last(attempts)
    if last is not None and (reason := _ended_by(last, attempts, config)) is not None:
        return Done(reason)
    if person.listed:
        return Done(DoneReason.DO_NOT_CALL)
    if contact.consent is False or (config.needs_consent and not contact.consent):
        return Done(DoneReason.NO_CONSENT)
    if campaign.status is CampaignStatus.STOPPED:
        return Done(_reason_of(last) if last is not None else DoneReason.STOPPED)
    if config.ends_at is not None and now >= config.ends_at:
        return Done(_reason_of(last) if last is not None else DoneReason.EXPIRED)
    return None


def _ended_by(last: Attempt, attempts: Sequence[Attempt], config: CampaignConfig) -> DoneReason | None:
    """Returns why no attempt is made after the last attempt, or None if another attempt is made."""
    outcome = last.outcome
    assert outcome is not None
    if outcome in FINAL:
        return DoneReason(outcome.value)
    made = [each for each in attempts if not each.inbound]
    if len(made) >= config.max_attempts:
        return _reason_of(last)
    if outcome is Outcome.CALLBACK:
        return None
    rule = config.retry.get(outcome)
    if rule is None or sum(each.outcome is outcome for each in made) > rule.times:
        return _reason_of(last)
    return None


def _reason_of(last: Attempt) -> DoneReason:
    assert last.outcome is not None
    if last.outcome is Outcome.CALLBACK:  # the callee was spoken with, and the callback cannot be made
        return DoneReason.INCOMPLETE
    return DoneReason(last.outcome.value)


def _wait_of(
    campaign: Campaign,
    contact: Contact,
    attempts: Sequence[Attempt],
    now: datetime,
    person: PersonHistory,
    hours: CallingHours,
) -> Wait | Done | None:
    """Returns how long the contact must wait until every rule allows the call, or None. The latest of the times is
    used, moved into the calling hours.
    """
    config = campaign.config
    times: list[tuple[datetime, WaitReason]] = []
    if config.starts_at is not None:
        times.append((config.starts_at, WaitReason.CAMPAIGN_START))
    if (last := _last(_counted(contact, attempts))) is not None:
        times.append(_due_after(last, config))
    times.append((_free_at(config.per_number, person.called_here, now), WaitReason.PER_NUMBER))
    times.append((_free_at(config.per_person, person.called_at, now), WaitReason.PER_PERSON))
    if person.in_call:
        times.append((now + _LOOK_AGAIN, WaitReason.IN_CALL))
    earliest, reason = max(times, key=lambda each: each[0])
    earliest = max(earliest, now)
    allowed = hours.next_open(earliest)
    if allowed is None or (config.ends_at is not None and allowed >= config.ends_at):
        return Done(DoneReason.EXPIRED if last is None else _reason_of(last))
    if allowed > now:
        return Wait(allowed, reason if allowed == earliest else WaitReason.WINDOW)
    return None


def _due_after(last: Attempt, config: CampaignConfig) -> tuple[datetime, WaitReason]:
    """Returns when the next attempt is due after this one."""
    ended = last.ended_at or last.started_at
    assert last.outcome is not None
    if last.outcome is Outcome.CALLBACK:
        return last.callback_at or ended, WaitReason.CALLBACK
    return ended + config.retry[last.outcome].per, WaitReason.RETRY


def _free_at(rate: Rate, started: Sequence[datetime], now: datetime) -> datetime:
    """Returns the earliest time at which the rate allows a further call: the time at which the oldest of the last
    `times` calls is no longer within the period.
    """
    inside = sorted(at for at in started if at > now - rate.per)
    return now if len(inside) < rate.times else inside[-rate.times] + rate.per


def _counted(contact: Contact, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Returns the attempts that count for the retry rules."""
    since = contact.retried_at
    return [each for each in attempts if since is None or each.started_at >= since]


def _last(attempts: Sequence[Attempt]) -> Attempt | None:
    return max(attempts, key=lambda each: (each.started_at, each.id), default=None)


# --- the campaign -----------------------------------------------------------------------------------------------------


def hold_of(campaign: Campaign, counts: CampaignCounts, now: datetime) -> Hold | Pause | None:
    """Returns what the campaign must do in place of a call now, with the reason: wait (`Hold`) or pause (`Pause`).
    Returns None if the campaign may start a call.
    """
    config = campaign.config
    if campaign.status is not CampaignStatus.RUNNING:
        return Hold(HoldReason.NOT_RUNNING)
    if sum(outcome in FAILURES for outcome in counts.recent) >= config.failures:
        return Pause(PauseReason.FAILURES)
    if config.max_calls is not None and counts.calls >= config.max_calls:
        return Pause(PauseReason.CALLS)
    if (held := _budget(config, counts)) is not None:
        return held
    if counts.abandoned_in_day >= config.max_abandoned_per_day and counts.oldest_abandoned is not None:
        return Hold(HoldReason.ABANDONED, counts.oldest_abandoned + DAY)
    if config.max_per_day is not None and counts.calls_in_day >= config.max_per_day:
        assert counts.oldest_in_day is not None
        return Hold(HoldReason.PER_DAY, counts.oldest_in_day + DAY)
    if counts.live >= max_calls_at_once(config, counts):
        return Hold(HoldReason.AT_ONCE)
    if counts.last_started_at is not None:
        next_at = counts.last_started_at + timedelta(seconds=1 / config.per_second)
        if now < next_at:
            return Hold(HoldReason.PER_SECOND, next_at)
    return None


def max_calls_at_once(config: CampaignConfig, counts: CampaignCounts) -> int:
    """Returns the maximum number of calls at the same time that the campaign may have now. Each abandoned call of the
    last 24 hours lowers this number. The minimum is 1.
    """
    left = 1 - counts.abandoned_in_day / config.max_abandoned_per_day
    return max(1, int(config.at_once * left))


def _budget(config: CampaignConfig, counts: CampaignCounts) -> Hold | Pause | None:
    """Returns `Hold` or `Pause` if the budget is used up, or None. A call in progress counts with its maximum length,
    and with the average price.
    """
    if config.max_minutes is not None:
        if counts.minutes >= config.max_minutes or (
            not counts.live and counts.minutes + config.max_s / 60 > config.max_minutes
        ):
            return Pause(PauseReason.MINUTES)
        if counts.minutes + (counts.live + 1) * config.max_s / 60 > config.max_minutes:
            return Hold(HoldReason.BUDGET)
    if config.max_cost is not None:
        average = counts.cost / counts.priced if counts.priced else 0.0
        known = counts.cost + counts.unpriced * average
        if known >= config.max_cost:
            return Pause(PauseReason.COST)
        if counts.live and known + (counts.live + 1) * average > config.max_cost:
            return Hold(HoldReason.BUDGET)
    return None
