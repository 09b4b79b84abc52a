"""A campaign, and the counts of its calls so far. All times are in UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from .config import CampaignConfig
from .contact import Outcome

__all__ = ["Campaign", "CampaignCounts", "CampaignStatus", "PauseReason", "PersonHistory"]


class CampaignStatus(Enum):
    """The status of a campaign."""

    CREATED = "created"
    """The campaign is new. No attempt begins until the campaign is run."""
    RUNNING = "running"
    PAUSED = "paused"
    """The campaign is paused. No attempt begins until the campaign is resumed. `Campaign.pause_reason` contains the
    reason.
    """
    STOPPED = "stopped"
    """A person ended the campaign. Contacts that were not called get the state done, with the reason `STOPPED`."""
    FINISHED = "finished"
    """All contacts are done or invalid."""


class PauseReason(Enum):
    """The reasons why a campaign was paused or stopped."""

    USER = "user"
    """A person paused the campaign."""
    FAILURES = "failures"
    """The circuit breaker (a limit for failures) paused the campaign, because too many attempts failed in
    succession.
    """
    MINUTES = "minutes"
    """The calls of the campaign have used up its budget of minutes (`max_minutes`)."""
    COST = "cost"
    """The calls of the campaign have used up its budget of money (`max_cost`)."""
    CALLS = "calls"
    """The maximum number of calls (`max_calls`) is reached."""
    HANG_UP = "hang-up"
    """The campaign was stopped twice, so its live calls are hung up."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign (calls to the contacts of a list), without its contacts. The store contains the contacts."""

    id: str
    config: CampaignConfig
    created_at: datetime
    name: str = ""
    status: CampaignStatus = CampaignStatus.CREATED
    pause_reason: PauseReason | None = None
    resumed_at: datetime | None = None
    """The time at which the campaign was last resumed, or None. Only attempts that ended after this time count as
    failures that pause the campaign.
    """


@dataclass(frozen=True, slots=True)
class CampaignCounts:
    """The counts of a campaign so far: the calls, minutes, costs and failures of all processes together. The store
    computes the counts.
    """

    live: int = 0
    """The number of attempts in progress."""
    calls: int = 0
    """The number of attempts so far, without inbound calls."""
    last_started_at: datetime | None = None
    calls_in_day: int = 0
    """The number of attempts that began in the last 24 hours."""
    oldest_in_day: datetime | None = None
    """The time at which the oldest attempt of the last 24 hours began, in UTC, or None if no attempt began."""
    minutes: float = 0.0
    """The total length of the calls that ended, in minutes."""
    cost: float = 0.0
    """The sum of the known prices of the calls that ended, in the currency of the Twilio account."""
    priced: int = 0
    """The number of attempts with a known price."""
    unpriced: int = 0
    """The number of attempts that were answered and ended, and whose price is not known yet."""
    abandoned_in_day: int = 0
    """The number of abandoned calls that ended in the last 24 hours."""
    oldest_abandoned: datetime | None = None
    """The time at which the oldest abandoned call of the last 24 hours ended, in UTC, or None if there was no such
    call.
    """
    recent: tuple[Outcome, ...] = field(default=())
    """The outcomes of the last `failures_of` attempts that ended after `Campaign.resumed_at`, in any order."""


@dataclass(frozen=True, slots=True)
class PersonHistory:
    """What is known about the number of a contact: the calls of all campaigns to it, and whether it may be called."""

    listed: bool = False
    """Whether the number is on the do-not-call list."""
    in_call: bool = False
    """Whether a call with this number is in progress."""
    called_at: tuple[datetime, ...] = ()
    """The starts of the calls to the number by all campaigns within `CampaignConfig.per_person.per`, in any order."""
    called_here: tuple[datetime, ...] = ()
    """The starts of the calls to the number by this campaign within `CampaignConfig.per_number.per`, in any order."""
