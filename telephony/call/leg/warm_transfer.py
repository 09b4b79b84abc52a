"""The state machine of the second call in a warm transfer: the person was called, got the summary, accepted by pressing
a key, and was joined with the caller. Pure.

The caller and the second leg are joined only after the called person has pressed the accepting key. A voicemail presses
no key. The caller stays on the media stream until then.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["ACCEPT", "LegState", "WarmTransfer"]

ACCEPT = "1"

_FAILURES = {
    "busy": "the line is busy",
    "no-answer": "nobody answered",
    "canceled": "nobody answered",
    "failed": "the call could not be made",
    "completed": "whoever answered hung up without taking the call; it may have been a voicemail",
}


class LegState(Enum):
    CALLING = auto()
    BRIEFING = auto()
    ACCEPTED = auto()
    JOINED = auto()
    FAILED = auto()


class WarmTransfer:
    """The state of one warm transfer: how far the second call, to the person who takes over, has come. Late and
    repeated inputs do not change the state. `now` is in seconds on any steady clock.

    `failure` is the reason why the transfer failed, as text for the model.
    """

    def __init__(self, now: float, *, ring_s: float = 30.0, brief_s: float = 45.0) -> None:
        self.state = LegState.CALLING
        self.failure = ""
        self._brief_s = brief_s
        self.deadline: float | None = now + ring_s

    @property
    def decided(self) -> bool:
        return self.state not in (LegState.CALLING, LegState.BRIEFING)

    def status(self, status: str, now: float) -> None:
        """Updates the state with a status of the second call that Twilio reported. After `in-progress`, the called
        person hears the summary. A final status, such as `busy`, means that the transfer has failed, unless the person
        was already joined with the caller. Any other status changes nothing.
        """
        if status == "in-progress" and self.state is LegState.CALLING:
            self.state = LegState.BRIEFING
            self.deadline = now + self._brief_s
        elif status in _FAILURES and self.state is not LegState.JOINED:
            self.fail(_FAILURES[status])

    def key(self, key: str) -> bool:
        """Handles the key that the called person pressed. An empty `key` means that no key was pressed in time. Returns
        whether the caller and the person must be joined now.
        """
        if self.decided:
            return self.state is LegState.ACCEPTED and key == ACCEPT
        if key != ACCEPT:
            self.fail("the call was declined" if key else _FAILURES["completed"])
            return False
        self.state = LegState.ACCEPTED
        self.deadline = None
        return True

    def joined(self) -> None:
        if self.state is LegState.ACCEPTED:
            self.state = LegState.JOINED

    def fail(self, why: str) -> None:
        if self.state not in (LegState.JOINED, LegState.FAILED):
            self.state, self.failure, self.deadline = LegState.FAILED, why, None

    def on_time(self, now: float) -> None:
        if self.deadline is not None and now >= self.deadline:
            self.fail(_FAILURES["no-answer" if self.state is LegState.CALLING else "completed"])
