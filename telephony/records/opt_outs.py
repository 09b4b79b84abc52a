"""The do-not-call list in the database, and the claims of numbers that are being called. Pure.

The list contains keyed hashes of numbers, so an entry can stay when the data of the person is erased. All processes
that share the database read the list before each call. A claim prevents two simultaneous calls to the same number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["NumberClaims", "OptOut", "OptOutSource", "OptOuts"]


class OptOutSource(StrEnum):
    """The ways in which a number is added to the do-not-call list."""

    PHONE = "phone"
    """The person said during a call that they want no more calls."""
    KEYPAD = "keypad"
    """The person pressed the opt-out key."""
    API = "api"
    COMMAND = "command"
    FILE = "file"
    """The number is in the file of TELEPHONY_DO_NOT_CALL."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """An entry of the do-not-call list: a phone number that must never be called."""

    subject: str
    """The keyed hash of the number (`SubjectKey.of`)."""
    number: str
    """The number in E.164. The text is empty after the person was erased."""
    source: OptOutSource
    added_at: datetime
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number or None,
            "source": self.source.value,
            "added_at": self.added_at.isoformat(),
            "remark": self.remark,
        }


class OptOuts(Protocol):
    """A do-not-call list. All times are in UTC. The methods may block, and raise the same exceptions as `Records`."""

    def add(self, entries: Sequence[OptOut]) -> int:
        """Adds entries to the do-not-call list. Returns the number of new entries. An existing entry is not changed."""

    def remove(self, subject: str) -> bool:
        """Removes the number with the hash `subject` from the do-not-call list. Returns False if the number was not on
        the list.
        """

    def among(self, subjects: Collection[str]) -> set[str]:
        """Returns the hashes among `subjects` whose numbers are on the do-not-call list."""

    def version(self) -> str:
        """Returns a text that changes when an entry is added to or removed from the do-not-call list. The text shows a
        process whether its copy of the list is outdated.
        """

    def subjects(self) -> set[str]:
        """Returns the hashes of all numbers on the do-not-call list."""

    def listed(self, *, limit: int = 100, before: datetime | None = None) -> list[OptOut]:
        """Returns the newest `limit` entries of the do-not-call list that were added before the time `before`, the
        newest first.
        """


class NumberClaims(Protocol):
    """A store of the numbers that are being called. A claim of a number prevents a second call to the number. `now` is
    in UTC. The methods may block, and raise the same exceptions as `Records`.
    """

    def hold(self, subject: str, holder: str, *, process: str, ttl_s: float, now: datetime) -> bool:
        """Claims a number for the call with the token `holder`, so that no other call to the number begins. `subject`
        is the hash of the number. Returns whether the holder has the claim now. A claim ends after `ttl_s` seconds, or
        when the process with the name `process` has died. If `process` is empty, the claim ends only after `ttl_s`
        seconds.
        """

    def let_go(self, subject: str, holder: str) -> None:
        """Releases the claim that the call with the token `holder` has on a number. `subject` is the hash of the
        number.
        """
