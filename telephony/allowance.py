"""Limits how much may be done per second. Pure: a token bucket that takes the time as an argument."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Holds at most `burst` units. It starts full and gains `per_s` units each second."""

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def spend(self, now: float, amount: float = 1.0) -> bool:
        """Takes the whole amount. False means that there is less left, and nothing is taken."""
        self._gain(now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def grant(self, now: float, amount: float) -> float:
        """Takes as much of the amount as is left. Returns what was taken."""
        self._gain(now)
        granted = min(amount, self._left)
        self._left -= granted
        return granted

    def _gain(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
