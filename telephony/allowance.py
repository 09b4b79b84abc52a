"""Limits a rate. Pure: a token bucket that takes the time as an argument."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """A token bucket with at most `burst` units. The bucket starts full and gains `per_s` units per second."""

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def spend(self, now: float, amount: float = 1.0) -> bool:
        """Takes the whole amount from the bucket. Returns False and takes nothing if less than the amount is left."""
        self._gain(now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def grant(self, now: float, amount: float) -> float:
        """Takes as much of the amount as is left in the bucket. Returns the taken amount."""
        self._gain(now)
        granted = min(amount, self._left)
        self._left -= granted
        return granted

    def _gain(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
