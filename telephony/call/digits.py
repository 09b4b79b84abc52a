"""Collects the digits that the caller types. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..masking import bullets

__all__ = ["DigitCollector", "Digits"]


@dataclass(frozen=True, slots=True)
class Digits:
    """The collected digits, without the terminator. `str()` returns one bullet for each digit.

    `complete` is True if the caller pressed the terminator or typed `max_digits` digits.
    """

    value: str = field(repr=False)
    complete: bool

    def __str__(self) -> str:
        return bullets(self.value)


class DigitCollector:
    """Collects digits until the key `terminator` is pressed, `max_digits` digits were typed, or a time limit ends.
    `now` is in seconds on any steady clock.

    The first key must be pressed within `first_s` seconds after `begin`. Each later key must be pressed within
    `between_s` seconds after the key before it.
    """

    def __init__(
        self, *, max_digits: int = 32, terminator: str = "#", first_s: float = 8.0, between_s: float = 4.0
    ) -> None:
        self._max_digits = max_digits
        self._terminator = terminator
        self._first_s = first_s
        self._between_s = between_s
        self._keys = ""
        self.deadline: float | None = None
        self.result: Digits | None = None

    def arguments(self) -> dict[str, Any]:
        """Returns the limits and the terminator of this collector as JSON values, by the names of the parameters, for
        the journal.
        """
        return {
            "max_digits": self._max_digits,
            "terminator": self._terminator,
            "first_s": self._first_s,
            "between_s": self._between_s,
        }

    @property
    def begun(self) -> bool:
        """Whether the caller has pressed a key."""
        return bool(self._keys) or self.result is not None

    def begin(self, now: float) -> None:
        """Starts the time limit of the first key. Called when the caller has heard the prompt."""
        if not self.begun:
            self.deadline = now + self._first_s

    def press(self, key: str, now: float) -> None:
        if self.result is not None:
            return
        if key == self._terminator:
            self._end(complete=True)
            return
        self._keys += key
        self.deadline = now + self._between_s
        if len(self._keys) >= self._max_digits:
            self._end(complete=True)

    def on_time(self, now: float) -> None:
        if self.deadline is not None and now >= self.deadline and self.result is None:
            self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        self.result = Digits(self._keys, complete)
        self.deadline = None
