"""The interface of the stores of campaigns. `database_store` keeps campaigns in the database. `memory_store` keeps
campaigns in memory, for rehearsals and single programs.

Each method is one transaction that all processes see. A method may block, so it must be called in a worker thread.
`now` is in UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..outbound.dialing_rules import DialingRules
from .campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason
from .contact import Attempt, Contact, ContactState, DoneReason, Outcome
from .policy import Action

__all__ = ["CampaignStore", "Funnel"]


@dataclass(slots=True)
class Funnel:
    """Counts of the contacts and the attempts (calls) of one campaign: how many contacts are in each state, for which
    reasons contacts are done, and how the attempts ended. Also has the total minutes and cost.
    """

    contacts: int = 0
    states: Counter[ContactState] = field(default_factory=Counter)
    reasons: Counter[DoneReason] = field(default_factory=Counter)
    """The number of contacts to which no further call is made, by reason."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """The number of ended attempts by outcome."""
    attempts: int = 0
    answered: int = 0
    """The number of attempts that a person answered."""
    minutes: float = 0.0
    cost: float = 0.0
    currency: str = ""


class CampaignStore(Protocol):
    """A store of campaigns with their contacts and attempts. All times are in UTC. A method raises `CampaignError` if
    there is no campaign, contact or attempt with the given id.
    """

    def add(self, campaign: Campaign, contacts: Sequence[Contact]) -> None:
        """Adds a campaign with its contacts. Raises `CampaignError` if the id already exists."""

    def campaign(self, campaign_id: str) -> Campaign | None: ...

    def campaigns(self) -> list[Campaign]:
        """Returns all campaigns, the newest first."""

    def set_status(
        self, campaign_id: str, status: CampaignStatus, now: datetime, *, reason: PauseReason | None = None
    ) -> Campaign:
        """Changes the status of a campaign. `reason` is for `PAUSED`. `RUNNING` sets `resumed_at`. `STOPPED` ends the
        pending contacts. Raises `CampaignError` if the campaign is already stopped, or if the campaign is finished and
        must not run again.
        """

    def due(self, campaign_id: str, now: datetime, limit: int) -> list[Contact]:
        """Returns at most `limit` pending contacts whose `next_at` is None or has passed at `now`. The contacts are
        sorted by `next_at` and then by their order in the file.
        """

    def next_due(self, campaign_id: str) -> datetime | None:
        """Returns the earliest `next_at` of the pending contacts, or None if no pending contact has such a time."""

    def begin(
        self, campaign_id: str, contact_id: str, now: datetime, *, attempt_id: str, owner: str, rules: DialingRules
    ) -> Attempt | Action:
        """Begins an attempt to call a pending contact, if the campaign may call the contact now. `policy.decide`
        decides the action, and this method executes the action in the store. `attempt_id` is the id of the new attempt,
        and `owner` is the id of the process that makes it. `rules` are the dialing rules.

        For the action `Dial`, stores the attempt, sets the contact to `CALLING`, marks its number as in a call, and
        returns the attempt. For any other action, stores no attempt and returns the action. `Wait` and `Done` change
        the contact, `Pause` changes the campaign, and `Hold` changes nothing. If the contact is not pending or not due,
        returns `Hold(NOT_RUNNING)`, because another process has the contact.
        """

    def placed(self, attempt_id: str, sid: str) -> None:
        """Stores Twilio's `CallSid` of the call of an attempt in progress."""

    def end(self, ended: Attempt, now: datetime, *, rules: DialingRules) -> Contact | None:
        """Stores the end of the attempt `ended`, and the new state of its contact (see `policy.settled`). `rules` are
        the dialing rules, which decide when the contact may be called again. Returns the contact. Returns None and
        changes nothing if the attempt had already ended. The outcome `OPTED_OUT` adds the number to the do-not-call
        list of the store.
        """

    def withdraw(
        self, attempt_id: str, *, done: DoneReason | None = None, until: datetime | None = None
    ) -> Contact | None:
        """Removes an attempt for which no call was made. If `done` is given, the contact becomes done for this reason.
        Otherwise the contact becomes pending and is not called before the time `until` (None: it may be called
        immediately). Returns the changed contact, or None if the attempt is not in progress.
        """

    def rang_back(self, inbound: Attempt, campaign_id: str) -> Contact | None:
        """Stores an inbound call from a contact, with the outcome `RANG_BACK`. A pending contact becomes done. Returns
        None if this call is already stored.
        """

    def open_attempts(self, campaign_id: str | None = None) -> list[Attempt]:
        """Returns the attempts in progress of the campaign with this id, or of all campaigns if the id is None."""

    def contact(self, campaign_id: str, contact_id: str) -> Contact | None: ...

    def contacts(
        self,
        campaign_id: str,
        *,
        limit: int,
        after: str = "",
        state: ContactState | None = None,
        search: str = "",
    ) -> list[Contact]:
        """Returns at most `limit` contacts in the order of the file. The first is the contact after the one with the id
        `after`. If `after` is empty, it is the first of the file. `state` selects contacts in this state (None: all).
        `search` selects contacts whose id or number contains this text.
        """

    def contacts_of(self, number: str) -> list[tuple[Campaign, Contact]]:
        """Returns the contacts with this number, each with its campaign. Only contacts that are pending or in a call
        are returned, and only from campaigns that are running or paused.
        """

    def attempts(self, campaign_id: str, contact_id: str) -> list[Attempt]:
        """Returns the attempts for a contact, the oldest first."""

    def counts(self, campaign_id: str, now: datetime) -> CampaignCounts: ...

    def funnel(self, campaign_id: str) -> Funnel: ...

    def retry(self, campaign_id: str, reasons: Sequence[DoneReason], now: datetime) -> int:
        """Sets the contacts that are done for one of these reasons back to the state pending, and stores `now` as their
        time `retried_at`. A contact that opted out stays done. Returns the number of changed contacts.
        """
