"""The contacts of a campaign, and the attempts to reach them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

__all__ = ["FAILURES", "FINAL", "Attempt", "Contact", "ContactState", "DoneReason", "Outcome"]


class ContactState(Enum):
    """The state of a contact. `DONE` and `INVALID` are final, except that `retry` sets a contact back to `PENDING`."""

    PENDING = "pending"
    """The contact waits for `Contact.next_at`."""
    CALLING = "calling"
    """An attempt is in progress."""
    DONE = "done"
    """No attempt follows. `Contact.reason` says why."""
    INVALID = "invalid"
    """The row of the file cannot be used: for example, it has no valid number. `Contact.problem` says why."""


class Outcome(Enum):
    """How an attempt ended."""

    REACHED = "reached"
    """A person answered, and the agent found out the result, if the campaign asks for one."""
    INCOMPLETE = "incomplete"
    """A person answered, and the result is not known: for example, the person hung up in mid-sentence."""
    CALLBACK = "callback"
    """A person answered and named a time at which to call again."""
    OPTED_OUT = "opted-out"
    """A person answered and does not want to be called again."""
    ABANDONED = "abandoned"
    """A person answered, and the agent said nothing within `CampaignConfig.abandoned_after_s`."""
    MACHINE = "machine"
    """A voicemail or another machine answered."""
    SCREENING = "screening"
    """A call screening service answered and did not connect the call to the person."""
    FAX = "fax"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    """The number could not be reached, or Twilio did not make the call."""
    CANCELED = "canceled"
    """The call was ended by the campaign before an answer."""
    REFUSED = "refused"
    """The dialing rules forbid the call."""
    RANG_BACK = "rang-back"
    """The contact called our number. It is an inbound call."""


FINAL = {Outcome.REACHED, Outcome.OPTED_OUT, Outcome.FAX, Outcome.REFUSED, Outcome.RANG_BACK}
"""No attempt follows these outcomes, whatever the retry rules say."""

FAILURES = {Outcome.FAILED, Outcome.ABANDONED}
"""The circuit breaker counts these outcomes."""


class DoneReason(Enum):
    """The reason why no further attempt is made."""

    REACHED = "reached"
    INCOMPLETE = "incomplete"
    OPTED_OUT = "opted-out"
    ABANDONED = "abandoned"
    MACHINE = "machine"
    SCREENING = "screening"
    FAX = "fax"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"
    REFUSED = "refused"
    RANG_BACK = "rang-back"
    DO_NOT_CALL = "do-not-call"
    """The number is on the do-not-call list."""
    UNWANTED = "unwanted"
    """The check before dialing said that the call is no longer wanted."""
    NO_CONSENT = "no-consent"
    """The consent column of the contact says no."""
    EXPIRED = "expired"
    """The campaign ended before the contact could be called."""
    STOPPED = "stopped"
    """The campaign was stopped."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One person to call, for one matter.

    `id` is unique within the campaign. It is the user's own id, or an id that was made from the number. `number` is in
    E.164. In an invalid contact `number` is the text of the file. `lines` are the numbers of the lines of the file from
    which this contact was made (the first line is 1).
    """

    id: str
    number: str
    extension: str = ""
    """Digits that are dialled after the answer."""
    timezone: str = ""
    """The IANA name of the time zone of the contact. An empty value means the time zones in which the number may be are
    used.
    """
    consent: bool | None = None
    """None means that the file has no consent column."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the agent knows about the contact."""
    members: tuple[str, ...] = ()
    """The ids of the contacts that were combined into this contact, with the id of this contact. An empty value means
    that none were combined.
    """
    lines: tuple[int, ...] = ()
    state: ContactState = ContactState.PENDING
    reason: DoneReason | None = None
    problem: str = ""
    next_at: datetime | None = None
    """The earliest time of the next attempt. None: at once, if the contact is pending."""
    retried_at: datetime | None = None
    """When the contact was set back to pending by hand. Earlier attempts no longer count for the retry rules."""

    @property
    def is_final(self) -> bool:
        return self.state in (ContactState.DONE, ContactState.INVALID)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to reach a contact. An attempt without an outcome is in progress, or its process has died.

    `id` is also the id of the call in the records: the token of an outgoing call, the `CallSid` of an inbound one.
    """

    id: str
    contact_id: str
    number: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    sid: str = ""
    """Twilio's `CallSid`. An empty value means that Twilio made no call, or its SID is not known."""
    answered_by: str = ""
    duration_s: int = 0
    cost: float | None = None
    currency: str = ""
    result: Mapping[str, Any] | None = None
    """The structured result, as JSON values."""
    transcript: str = ""
    """The transcript of the call, with the part of the agent's words that the callee heard."""
    callback_at: datetime | None = None
    """The time that the callee named, with the outcome `CALLBACK`."""
    message_left: bool = False
    inbound: bool = False
    error: str = ""
    owner: str = ""
    """The id of the process that makes the attempt."""

    @property
    def is_open(self) -> bool:
        return self.outcome is None
