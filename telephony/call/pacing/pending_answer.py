"""The agent owes the caller an answer: fill the silence, and give up at last. Pure.

Whatever holds the answer up (a model that is slow, stalls or is away, a tool that takes its time), the caller hears
something: first a line, then a sound until the answer comes. Times count from the moment at which the caller has heard
all there was to hear: that a response has ended in a tool, and the tool in another response, is nothing to hear.
"""

from __future__ import annotations

import math
from enum import Enum, auto

__all__ = ["Fill", "PendingAnswer"]


class Fill(Enum):
    """What to do about the silence."""

    LINE = auto()
    """Say that it takes a moment."""
    SOUND = auto()
    """Play the waiting sound, until the model speaks."""
    GIVE_UP = auto()
    """No answer will come."""


class PendingAnswer:
    """Debts have reasons; they are owed from `owe` to `pay`. `pause` suspends all of them (the caller speaks, or is on
    hold). A reason that begins with `tool` never runs into the limit: a tool has a time-out of its own."""

    def __init__(self, *, line_s: float = 2.0, limit_s: float = 20.0) -> None:
        self._line_s = line_s
        self._limit_s = limit_s
        self._debts: set[str] = set()
        self._pauses: set[str] = set()
        self._since = 0.0
        """The last sign that an answer is being made."""
        self._silent_since = 0.0
        self._heard_until = 0.0
        self._stage: Fill | None = None

    @property
    def owed(self) -> bool:
        return bool(self._debts)

    @property
    def deadline(self) -> float | None:
        if not self._debts or self._pauses:
            return None
        start = max(self._silent_since, self._heard_until)
        match self._stage:
            case None:
                return start + self._line_s
            case Fill.LINE:
                return start
            case Fill.SOUND if not any(debt.startswith("tool") for debt in self._debts):
                return self._since + self._limit_s
        return None

    def owe(self, why: str, now: float) -> None:
        if not self._debts:
            self._restart(now)
        self._debts.add(why)

    def pay(self, why: str, now: float) -> bool:
        """Returns whether nothing is owed any more, and something was."""
        if why not in self._debts:
            return False
        self._debts.discard(why)
        self._since = max(self._since, now)
        if not self._debts:
            self._stage = None
        return not self._debts

    def pause(self, why: str) -> None:
        self._pauses.add(why)

    def resume(self, why: str, now: float) -> None:
        if why in self._pauses:
            self._pauses.discard(why)
            self._restart(now)

    def hurry(self, now: float) -> bool:
        """The caller has waited long enough: fill the silence now. Returns whether anything is owed now."""
        if not self._debts or self._pauses:
            return False
        if self._line_s < math.inf:
            self._silent_since = self._heard_until = min(self._silent_since, now - self._line_s)
        return True

    def heard_until(self, at: float) -> None:
        """What was queued for the caller will have been heard at this time."""
        self._heard_until = at

    def model_spoke(self, now: float) -> bool:
        """Audio of the model came. Returns whether the waiting sound is to end."""
        sounding = self._stage is Fill.SOUND
        self._stage = None
        self._restart(now)
        return sounding

    def on_time(self, now: float, *, mid_sentence: bool = False) -> Fill | None:
        """`mid_sentence`: the model has begun to speak and stopped; a line would only confuse."""
        if self.deadline is None or now < self.deadline:
            return None
        if self._stage is None:
            self._stage = Fill.SOUND if mid_sentence else Fill.LINE
        elif self._stage is Fill.LINE:
            self._stage = Fill.SOUND
        else:
            self._debts.clear()
            self._stage = None
            return Fill.GIVE_UP
        return self._stage

    def _restart(self, now: float) -> None:
        self._since = max(self._since, now)
        self._silent_since = max(self._silent_since, now)
