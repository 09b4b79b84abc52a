"""Limits the length of a call, and the length of a call with a machine. Pure.

Two voice agents that talk to each other may never hang up, and a phone menu repeats its sentences without end. A call
counts as a call with a machine if answering machine detection reports a machine, or if the other party repeats the same
sentence.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto

__all__ = ["CallLength", "LengthAction", "MachineLimit"]

_MIN_WORDS = 6
"""The minimum number of words of a sentence whose repetition shows a machine. People also repeat shorter sentences,
such as "hello, can you hear me".
"""


class LengthAction(Enum):
    """What a call must do because of its length."""

    WARN = auto()
    """Warn the caller that the call will end soon, because it has nearly reached its maximum length."""
    END = auto()
    """Say goodbye and hang up, because the call has reached its maximum length."""


class CallLength:
    """Limits the length of a call to `max_s` seconds after `begin`. `now` is in seconds on any steady clock. The caller
    is warned `warning_s` seconds before the end, if `max_s` is longer than `warning_s`.
    """

    def __init__(self, max_s: float, warning_s: float = 60.0) -> None:
        self._max_s = max_s
        self._warning_s = warning_s
        self._begun: float | None = None
        self._warned = warning_s >= max_s
        self._ended = False

    def begin(self, now: float) -> None:
        if self._begun is None:
            self._begun = now

    @property
    def deadline(self) -> float | None:
        if self._begun is None or self._ended:
            return None
        return self._begun + self._max_s - (0.0 if self._warned else self._warning_s)

    def on_time(self, now: float) -> LengthAction | None:
        if self.deadline is None or now < self.deadline:
            return None
        if not self._warned:
            self._warned = True
            return LengthAction.WARN
        self._ended = True
        return LengthAction.END


class MachineLimit:
    """Limits the length of a call with a machine. The limit of `limit_s` seconds begins when `found` is called, or when
    the other party has said the same sentence `repetitions` times. `on_time` returns True once when the limit is
    reached. `now` is in seconds on any steady clock.
    """

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
        """Starts the time limit, because the other party is a machine. Repeated calls have no effect."""
        if self._found_at is None:
            self._found_at = now

    def heard(self, transcript: str, now: float) -> None:
        """Counts how often the other party has said this sentence. Starts the time limit for a machine when the same
        sentence was said `repetitions` times. A transcript with a bracket (such as `[2.1 s of speech]`) has no words of
        the other party and is ignored.
        """
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
