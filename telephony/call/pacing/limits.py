"""How long a call may last, and how long a call with another machine. Pure.

Two polite agents never hang up, and a phone menu repeats itself without end. A call counts as a call with a machine
when answering machine detection says so, or when the far end repeats the same sentence.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto

__all__ = ["CallLength", "LengthAction", "MachineLimit"]

_MIN_WORDS = 6
"""People do repeat shorter sentences: hello, can you hear me."""


class LengthAction(Enum):
    WARN = auto()
    """Warn the caller that the call will end soon."""
    END = auto()
    """Say goodbye, and hang up."""


class CallLength:
    """Limits the length of a call to `max_s` from `begin`. The caller is warned `warning_s` before the end, if the call
    may last longer than that."""

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
    """Limits a call with a machine to `limit_s` from `found`. `on_time` then returns True once."""

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
        """Treats the other side as a machine from now on."""
        if self._found_at is None:
            self._found_at = now

    def is_human(self) -> None:
        """Treats the other side as a person, and forgets its sentences."""
        self._found_at = None
        self._said.clear()

    def heard(self, transcript: str, now: float) -> None:
        """Handles a sentence of the other side. A transcript with brackets is a note, not speech."""
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
