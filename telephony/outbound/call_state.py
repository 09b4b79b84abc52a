"""What has become of a call that we asked Twilio for. Pure: told what happens, it says what to do next.

Twilio's `POST Calls` has no idempotency key. A request that was not answered may have made a call, so it is never
sent again; the call is looked for instead: by our own token, which every webhook of it carries, and in the account's
listing. Callbacks may be lost, doubled and out of order; silence is answered by asking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..twilio.callbacks import ENDED, CallProgress, CallStatus

__all__ = ["CallState", "Todo"]

Todo = Literal["look", "fetch", "nothing"]

_LOOK_AFTER_S = (0.3, 0.7, 1.5, 3.0, 5.0, 10.0)
"""When to look for a call of which it is not known whether it was made; then it was not."""
_MAX_FAILED_LOOKS = 12
_MAX_FETCH_S = 30.0


@dataclass(slots=True)
class CallState:
    """`now` is in seconds on any steady clock. `deadline`: when `todo` has something next."""

    fetch_s: float = 10.0
    """After so long without news Twilio is asked."""
    sid: str | None = None
    status: str = ""
    """Twilio's newest; `""` before there is any."""
    error: str = ""
    """Why there was no call, or why it is not known."""
    answered: bool = False
    deadline: float = math.inf
    _progress: CallProgress = field(default_factory=CallProgress)
    _looking: bool = False
    _looks: int = 0
    _failed_looks: int = 0
    _unanswered: int = 0

    @property
    def over(self) -> bool:
        return self.status in ENDED

    # --- what `POST Calls` answered --------------------------------------------------------------------------------

    def created(self, sid: str, now: float) -> None:
        """It was made."""
        self.heard_of(sid, now)

    def refused(self, error: str) -> None:
        """It was not made."""
        if self.sid is None:
            self._end("failed", error)

    def uncertain(self, error: str, now: float) -> None:
        """It may have been made."""
        if self.sid is None and not self.over:
            self.error = error
            self._looking = True
            self._set_look(now)

    # --- what Twilio tells and answers -------------------------------------------------------------------------------

    def heard_of(self, sid: str, now: float) -> bool:
        """A request came that carries our token: that is our call. False: it was given up, and must not go on; or it
        is a second one."""
        if self.over and self.sid is None:
            return False
        if self.sid is not None and self.sid != sid:
            return False
        self.sid = sid
        self.error = ""
        self._looking = False
        self._news(now)
        return True

    def callback(self, status: CallStatus, now: float) -> None:
        """In any order, any number of times."""
        self._news(now)
        if not self._progress.add(status) or self.over:
            return
        newest = self._progress.now
        self._become(status.status if newest is None else newest.status)
        self.answered = self.answered or any(known.status == "in-progress" for known in self._progress.states)

    def fetched(self, status: str, now: float) -> None:
        """What the API says, whose copy may lag: it never goes back."""
        self._unanswered = 0
        self._news(now)
        if status in ENDED or (status == "in-progress" and not self.over):
            self._become(status)

    def stream_started(self, now: float) -> None:
        """Somebody picked up, whatever the callbacks say."""
        self._news(now)
        if not self.over:
            self._become("in-progress")

    def stream_ended(self, now: float) -> None:
        """The end is near: ask soon if it is not told."""
        if not self.over:
            self.deadline = now + 1.0

    # --- what to do ------------------------------------------------------------------------------------------------

    def todo(self, now: float) -> Todo:
        """`look` for the call in the listing (then `looked`), or `fetch` it (then `fetched` or `not_fetched`)."""
        if self.over or now < self.deadline:
            return "nothing"
        self.deadline = math.inf
        return "look" if self._looking else "fetch" if self.sid is not None else "nothing"

    def looked(self, sid: str | None, now: float) -> None:
        """What the listing had."""
        if sid is not None:
            self.heard_of(sid, now)
        elif self._looking and self._looks >= len(_LOOK_AFTER_S):
            self._end("failed", f"{self.error} The call was not made.")
        elif self._looking:
            self._set_look(now)

    def not_looked(self, now: float) -> None:
        """The listing could not be had."""
        self._failed_looks += 1
        self._looks = max(0, self._looks - 1)
        if self._failed_looks >= _MAX_FAILED_LOOKS:
            self._end("failed", f"{self.error} Whether the call was made could not be found out.")
        else:
            self._set_look(now)

    def not_fetched(self, now: float, *, gone: bool = False) -> None:
        """The call could not be asked for; `gone`: Twilio knows no such call."""
        self._unanswered += 1
        if gone and self._unanswered > 3:
            self._end("failed", "Twilio knows nothing of this call any more.")
        else:
            self.deadline = now + min(_MAX_FETCH_S, 2.0**self._unanswered)

    # -----------------------------------------------------------------------------------------------------------------

    def _news(self, now: float) -> None:
        if not self.over and not self._looking:
            self.deadline = now + self.fetch_s

    def _set_look(self, now: float) -> None:
        self.deadline = now + _LOOK_AFTER_S[min(self._looks, len(_LOOK_AFTER_S) - 1)]
        self._looks += 1

    def _become(self, status: str) -> None:
        self.status = status
        self.answered = self.answered or status in ("in-progress", "completed")
        if self.over:
            self.deadline = math.inf

    def _end(self, status: str, error: str) -> None:
        self.error = error
        self._looking = False
        self._become(status)
