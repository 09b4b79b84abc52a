"""The state of one placed call, from the request to Twilio until the end of the call. Pure: the input is events, and
the output is the next step.

Twilio's `POST Calls` has no idempotency key. A request without a response may have created a call, so the request is
never sent again. Instead the call is searched for in two ways: by a token in the URLs of its webhooks, and in the
account's list of calls. Callbacks may be lost, repeated or out of order. Therefore the status of a call without news is
requested from the API.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from ..twilio.callbacks import ENDED, CallProgress, CallStatus

__all__ = ["CallState", "NextStep"]

_LIST_AFTER_S = (0.3, 0.7, 1.5, 3.0, 5.0, 10.0)
"""The pauses in seconds before each search for a call that Twilio may have created. A call that no search finds was not
created.
"""
_MAX_FAILED_LISTINGS = 12
_MAX_FETCH_S = 30.0


class NextStep(Enum):
    """The possible next steps of the dialer for a placed call."""

    WAIT = "wait"
    """Do nothing until the next webhook or callback of the call arrives, or until the time `CallState.deadline`."""
    LIST = "list"
    """Search for the call in the list of the account's calls. Then `listed` or `listing_failed` must be called."""
    FETCH = "fetch"
    """Request the status of the call. Then `fetched` or `fetch_failed` must be called."""


@dataclass(slots=True)
class CallState:
    """The state of one placed call. All times, such as `now`, are in seconds on a clock that never goes back, such as
    the clock of the event loop. `deadline` is the time at which `next_step` must be called. `next_step` returns what
    the dialer must do next (a `NextStep`).
    """

    fetch_s: float = 10.0
    """The time in seconds without events after which the status of the call is requested."""
    sid: str | None = None
    status: str = ""
    """The newest status from Twilio. The text is empty before the first status."""
    error: str = ""
    """The reason why there was no call, or why it is unknown whether there was a call."""
    answered: bool = False
    not_made: bool = False
    """Whether the request had no response, and a search has found that Twilio created no call."""
    deadline: float = math.inf
    _progress: CallProgress = field(default_factory=CallProgress)
    _searching: bool = False
    _listings: int = 0
    _failed_listings: int = 0
    _failed_fetches: int = 0

    @property
    def over(self) -> bool:
        return self.status in ENDED

    # --- the answer to `POST Calls` ----------------------------------------------------------------------------------

    def created(self, sid: str, now: float) -> None:
        """Stores the `CallSid` of the call that Twilio has created. `now` is the current time in seconds."""
        self.identified(sid, now)

    def refused(self, error: str) -> None:
        """Sets the status of the call to `failed`, because Twilio refused to create the call. `error` is the reason.
        Has no effect if the call is already known to exist.
        """
        if self.sid is None:
            self._end("failed", error)

    def failed(self, error: str) -> None:
        """Sets the status of a call that is not over to `failed`, because it cannot be followed. `error` is the
        reason.
        """
        if not self.over:
            self._end("failed", error)

    def uncertain(self, error: str, now: float) -> None:
        """Registers that Twilio may have created the call. `error` says why this is not known. `next_step` then returns
        `LIST`: the dialer must search for the call in the list of the account's calls. `now` is the current time in
        seconds.
        """
        if self.sid is None and not self.over:
            self.error = error
            self._searching = True
            self._plan_listing(now)

    # --- news --------------------------------------------------------------------------------------------------------

    def identified(self, sid: str, now: float) -> bool:
        """Must be called when a webhook arrives whose URL has the token of this call. Stores the `CallSid` of the
        webhook, so the call is known to exist. Returns False if the webhook must be refused: the dialer has already
        decided that there is no call, or another `CallSid` is known for this token.
        """
        if self.over and self.sid is None:
            return False
        if self.sid is not None and self.sid != sid:
            return False
        self.sid = sid
        self.error = ""
        self._searching = False
        self._news(now)
        return True

    def callback(self, status: CallStatus, now: float) -> None:
        """Updates the state with a status callback of Twilio. Callbacks may arrive in any order and any number of
        times.
        """
        self._news(now)
        if not self._progress.add(status) or self.over:
            return
        newest = self._progress.now
        self._set_status(status.status if newest is None else newest.status)
        self.answered = self.answered or any(known.status == "in-progress" for known in self._progress.states)

    def fetched(self, status: str, now: float) -> None:
        """Updates the state with the status that Twilio's REST API has returned. A status before `in-progress` is
        ignored, because a callback may already have reported a newer status.
        """
        self._failed_fetches = 0
        self._news(now)
        if status in ENDED or (status == "in-progress" and not self.over):
            self._set_status(status)

    def stream_started(self, now: float) -> None:
        """Marks the call as answered, because it has a media stream. The callback about the answer may be late or
        missing.
        """
        self._news(now)
        if not self.over:
            self._set_status("in-progress")

    def stream_ended(self, now: float) -> None:
        """Registers that the media stream of the call has ended, so the call will probably end now. If Twilio reports
        nothing about the call within 1 s, `next_step` returns `FETCH`: the dialer must request the status of the call.
        """
        if not self.over:
            self.deadline = now + 1.0

    # --- what to do --------------------------------------------------------------------------------------------------

    def next_step(self, now: float) -> NextStep:
        """Returns the step that the dialer must execute at the time `now`. Each step is returned once."""
        if self.over or now < self.deadline:
            return NextStep.WAIT
        self.deadline = math.inf
        if self._searching:
            return NextStep.LIST
        return NextStep.FETCH if self.sid is not None else NextStep.WAIT

    def listed(self, sid: str | None, now: float) -> None:
        """Updates the state with the result of a search in the account's calls: the SID of this call, or None if it was
        not found. If the call was not found, the search is repeated. After several searches the call counts as not
        made.
        """
        if sid is not None:
            self.identified(sid, now)
        elif self._searching and self._listings >= len(_LIST_AFTER_S):
            self.not_made = True
            self._end("failed", f"{self.error} The call was not made.")
        elif self._searching:
            self._plan_listing(now)

    def listing_failed(self, now: float) -> None:
        """Registers that the search in the list of the account's calls failed. After some seconds, `next_step` returns
        `LIST` again, so the dialer repeats the search. After several failures the call counts as failed.
        """
        self._failed_listings += 1
        self._listings = max(0, self._listings - 1)
        if self._failed_listings >= _MAX_FAILED_LISTINGS:
            self._end("failed", f"{self.error} Whether the call was made could not be found out.")
        else:
            self._plan_listing(now)

    def fetch_failed(self, now: float, *, gone: bool = False) -> None:
        """Lets the status of the call be requested again later, because Twilio's REST API did not return the status. If
        Twilio repeatedly does not know the call (`gone`), the call counts as failed.
        """
        self._failed_fetches += 1
        if gone and self._failed_fetches > 3:
            self._end("failed", "Twilio does not know this call any more.")
        else:
            self.deadline = now + min(_MAX_FETCH_S, 2.0**self._failed_fetches)

    # -----------------------------------------------------------------------------------------------------------------

    def _news(self, now: float) -> None:
        if not self.over and not self._searching:
            self.deadline = now + self.fetch_s

    def _plan_listing(self, now: float) -> None:
        self.deadline = now + _LIST_AFTER_S[min(self._listings, len(_LIST_AFTER_S) - 1)]
        self._listings += 1

    def _set_status(self, status: str) -> None:
        self.status = status
        self.answered = self.answered or status in ("in-progress", "completed")
        if self.over:
            self.deadline = math.inf

    def _end(self, status: str, error: str) -> None:
        self.error = error
        self._searching = False
        self._set_status(status)
