"""The contacts of a campaign, and the attempts to reach them. All times are in UTC. Pure."""

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
    """The contact waits for its next attempt at `Contact.next_at`."""
    CALLING = "calling"
    """An attempt is in progress."""
    DONE = "done"
    """No further attempt is made. `Contact.reason` contains the reason."""
    INVALID = "invalid"
    """The row of the file cannot be used, for example because it has no valid number. `Contact.problem` contains the
    reason.
    """


class Outcome(Enum):
    """The possible outcomes of an attempt to reach a contact."""

    REACHED = "reached"
    """A person answered. If the campaign asks for a result, the agent found out the result."""
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
    """The contact called this application. The call is an inbound call."""


FINAL = {Outcome.REACHED, Outcome.OPTED_OUT, Outcome.FAX, Outcome.REFUSED, Outcome.RANG_BACK}
"""The outcomes of an attempt after which the contact is not called again, whatever the retry rules say."""

FAILURES = {Outcome.FAILED, Outcome.ABANDONED}
"""The outcomes that count as failures. Too many failures pause the campaign."""


class DoneReason(Enum):
    """The reasons why no further attempt is made for a contact."""

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
    """The end of the campaign came before the contact could be called."""
    STOPPED = "stopped"
    """The campaign was stopped."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One person to call, for one matter.

    `id` is unique within the campaign. The id comes from the user or is made from the number. `number` is in E.164. In
    an invalid contact, `number` is the text of the file. `lines` are the line numbers in the file from which this
    contact was made (the first line is 1).
    """

    id: str
    number: str
    extension: str = ""
    """Digits that are dialled after the answer."""
    timezone: str = ""
    """The IANA name of the contact's time zone. If empty, the calling hours apply in all time zones in which the number
    may be.
    """
    consent: bool | None = None
    """The value of the consent column. None if the file has no consent column."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The data that the agent has about the contact."""
    members: tuple[str, ...] = ()
    """The ids of the contacts that were combined into this contact, including the id of this contact. Empty if no
    contacts were combined.
    """
    lines: tuple[int, ...] = ()
    state: ContactState = ContactState.PENDING
    reason: DoneReason | None = None
    problem: str = ""
    next_at: datetime | None = None
    """The earliest time of the next attempt. None means that a pending contact may be called immediately."""
    retried_at: datetime | None = None
    """The time at which a person set the contact back to pending, or None. Earlier attempts no longer count for the
    retry rules.
    """

    @property
    def is_final(self) -> bool:
        return self.state in (ContactState.DONE, ContactState.INVALID)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to reach a contact by a call, which may not have been made yet. An attempt without an outcome is in
    progress, or its process has died.

    `id` is also the id under which the call record (the row of the call in the database) is stored: a random text for
    an outgoing call, or the `CallSid` of an inbound call.
    """

    id: str
    contact_id: str
    number: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    sid: str = ""
    """Twilio's `CallSid`. The text is empty if Twilio made no call or if the SID is not known."""
    answered_by: str = ""
    duration_s: int = 0
    cost: float | None = None
    currency: str = ""
    result: Mapping[str, Any] | None = None
    """The structured result, as JSON values. None if there is no result."""
    transcript: str = ""
    """The transcript of the call. Of the agent's words, the transcript contains only the part that the callee heard."""
    callback_at: datetime | None = None
    """The time that the callee named for the next call, if the outcome is `CALLBACK`, otherwise None."""
    message_left: bool = False
    inbound: bool = False
    error: str = ""
    owner: str = ""
    """The id of the process that makes the attempt."""

    @property
    def is_open(self) -> bool:
        return self.outcome is None
