"""Limits a rate with a token bucket. Pure."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Limits how often an action may happen, with a token bucket. The bucket is full at the start and holds at most
    `burst` units. The bucket gains `per_s` units per second, and each action takes units from the bucket. `now` is the
    time in seconds on any clock that never goes back.
    """

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def spend(self, now: float, amount: float = 1.0) -> bool:
        """Takes `amount` units from the bucket. Returns False and takes nothing if fewer units are left."""
        self._gain(now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def grant(self, now: float, amount: float) -> float:
        """Takes `amount` units from the bucket, or all units that are left if there are fewer. Returns the number of
        taken units.
        """
        self._gain(now)
        granted = min(amount, self._left)
        self._left -= granted
        return granted

    def _gain(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
