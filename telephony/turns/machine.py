"""Talking to another machine has an end. Pure.

Two agents that are polite to each other never hang up, and a menu repeats itself for ever. A call is taken for one with
a machine when somebody says so (answering machine detection), or when the caller says the same thing again and again.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["MachineCap"]

_MIN_WORDS = 6
"""Shorter sentences people do repeat: hello, can you hear me."""


class MachineCap:
    """`limit_s` after the far end was found to be a machine the call is over: `on_time` returns True once."""

    def __init__(self, limit_s: float = 60.0, *, repetitions: int = 3) -> None:
        self._limit_s = limit_s
        self._repetitions = repetitions
        self._said: Counter[str] = Counter()
        self._found_at: float | None = None
        self._over = False

    @property
    def deadline(self) -> float | None:
        return None if self._found_at is None or self._over else self._found_at + self._limit_s

    def found(self, now: float) -> None:
        """It is a machine."""
        if self._found_at is None:
            self._found_at = now

    def is_human(self) -> None:
        """It is none after all; what was counted is forgotten."""
        self._found_at = None
        self._said.clear()

    def heard(self, transcript: str, now: float) -> None:
        """The far end said this. What is in brackets is a note, and nobody's words."""
        if "[" in transcript:
            return
        words = "".join(c if c.isalnum() else " " for c in transcript.casefold()).split()
        if len(words) < _MIN_WORDS or len(self._said) > 500:
            return
        sentence = " ".join(words)
        self._said[sentence] += 1
        if self._said[sentence] >= self._repetitions:
            self.found(now)

    def on_time(self, now: float) -> bool:
        if self.deadline is None or now < self.deadline:
            return False
        self._over = True
        return True
