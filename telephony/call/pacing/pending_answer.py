"""Fills the silence while the caller waits for an answer, and gives up after a time limit. Pure.

The answer may be late because the model is slow, stalled or not connected, or because a tool runs for long. The caller
then first hears a sentence, and after the sentence a waiting sound until the answer begins. Time counts from the moment
at which the caller has heard all queued audio. The end of a response with a tool call, and the end of a tool during
another response, do not restart the time, because the caller does not hear these events.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from .reasons import PauseReason, PendingCause

__all__ = ["Fill", "PendingAnswer"]


class Fill(Enum):
    """What the caller hears in place of silence while the answer of the agent is late."""

    LINE = auto()
    """Say a sentence, such as that the answer takes a moment."""
    SOUND = auto()
    """Play the waiting sound until the model speaks."""
    GIVE_UP = auto()
    """End the call with an apology."""


class PendingAnswer:
    """Decides how to fill the silence while the caller waits for an answer. Times such as `now` are in seconds on any
    steady clock.

    An answer is pending from `add` to `remove`, for a cause such as a running tool. `line_s` seconds after the
    beginning of the silence the caller hears a sentence. After `limit_s` seconds the call ends. `limit_s` does not
    apply while a tool runs, because tools have time limits of their own. A pause stops both times.
    """

    def __init__(self, *, line_s: float = 2.0, limit_s: float = 20.0) -> None:
        self._line_s = line_s
        self._limit_s = limit_s
        self._causes: set[tuple[PendingCause, str]] = set()
        self._pauses: set[PauseReason] = set()
        self._since = 0.0
        """The time of the last sign that the answer is being prepared."""
        self._silent_since = 0.0
        self._heard_until = 0.0
        self._filled: Fill | None = None

    @property
    def pending(self) -> bool:
        """Whether the caller waits for an answer."""
        return bool(self._causes)

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called next, to find out what the caller hears in the silence. None if
        there is no such time, for example because no answer is pending.
        """
        if not self._causes or self._pauses:
            return None
        start = max(self._silent_since, self._heard_until)
        match self._filled:
            case None:
                return start + self._line_s
            case Fill.LINE:
                return start
            case Fill.SOUND if not any(cause is PendingCause.TOOL for cause, _ in self._causes):
                return self._since + self._limit_s
        return None

    def add(self, cause: PendingCause, now: float, key: str = "") -> None:
        """Starts or continues the wait for an answer, because of `cause`, such as a running tool. `key` is the id of
        the response or of the tool call. The wait lasts until `remove` was called for each cause.
        """
        if not self._causes:
            self._restart(now)
        self._causes.add((cause, key))

    def remove(self, cause: PendingCause, now: float, key: str = "") -> bool:
        """Removes a cause for which the caller waits for an answer, for example when a tool has returned. `key` is the
        id that was given to `add`. Returns True if this was the last cause, so the caller no longer waits.
        """
        if (cause, key) not in self._causes:
            return False
        self._causes.discard((cause, key))
        self._since = max(self._since, now)
        if not self._causes:
            self._filled = None
        return not self._causes

    def pause(self, reason: PauseReason) -> None:
        """Stops the measurement of the silence before an answer, so no filler is due. The pause ends when `resume` is
        called with the same reason.
        """
        self._pauses.add(reason)

    def resume(self, reason: PauseReason, now: float) -> None:
        """Ends the pause that `pause` began with the same reason. The silence before the pause no longer counts: the
        silence now begins at the time `now`, in seconds.
        """
        if reason in self._pauses:
            self._pauses.discard(reason)
            self._restart(now)

    def fill_now(self, now: float) -> bool:
        """Lets the agent bridge the wait for a late answer now, with a sentence or the waiting sound, and not only
        after the usual time. Returns False and does nothing if no answer is pending, or if the measurement is paused.
        """
        if not self._causes or self._pauses:
            return False
        if self._line_s < math.inf:
            self._silent_since = self._heard_until = min(self._silent_since, now - self._line_s)
        return True

    def heard_until(self, at: float) -> None:
        """Sets the time at which the caller will have heard the queued audio, in seconds. The silence that must be
        filled counts from this time.
        """
        self._heard_until = at

    def model_spoke(self, now: float) -> bool:
        """Restarts the measurement of the silence, because the model has sent audio. Returns whether the waiting sound
        must stop.
        """
        sounding = self._filled is Fill.SOUND
        self._filled = None
        self._restart(now)
        return sounding

    def on_time(self, now: float, *, mid_sentence: bool = False) -> Fill | None:
        """Returns what the caller must hear now because the answer is late, or None if nothing is due. `mid_sentence`
        is True if the model stopped within a sentence. In this case no sentence is said, because a sentence would
        confuse the caller.
        """
        if self.deadline is None or now < self.deadline:
            return None
        if self._filled is None:
            self._filled = Fill.SOUND if mid_sentence else Fill.LINE
        elif self._filled is Fill.LINE:
            self._filled = Fill.SOUND
        else:
            self._causes.clear()
            self._filled = None
            return Fill.GIVE_UP
        return self._filled

    def _restart(self, now: float) -> None:
        self._since = max(self._since, now)
        self._silent_since = max(self._silent_since, now)
