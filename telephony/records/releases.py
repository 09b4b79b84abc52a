"""The decisions about canaries (new agent versions for a part of the callers), and the last calls of canaries: the
interface of the stores, and a store in memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["MemoryReleases", "Release", "Releases"]

ROLLED_BACK, RUNNING = "rolled back", "running"


@dataclass(frozen=True, slots=True)
class Release:
    """The decision about the canary (the new agent version) of one number, or of all numbers (`*`): for example, that
    it was rolled back.
    """

    place: str
    state: str
    reason: str
    at: datetime

    @property
    def is_rolled_back(self) -> bool:
        return self.state == ROLLED_BACK


class Releases(Protocol):
    """A store for canaries (new agent versions for a part of the callers). The store contains whether the canary of a
    place (a called number, or `*` for all numbers) runs or was rolled back. The newest decision about a place applies.
    The store also counts the failures among the last calls of each canary.
    """

    def decide(self, release: Release) -> None: ...

    def all(self) -> list[Release]: ...

    def count(self, place: str, version: str, *, failed: bool, keep: int) -> tuple[int, int]:
        """Counts a call of the canary (the new agent version) `version` at `place`: a called number, or `*` for all
        numbers. The store keeps the last `keep` calls of all processes. `failed` says whether the call failed. Returns
        the number of failures among the kept calls, and the number of kept calls.
        """


class MemoryReleases:
    """Stores the decisions about canaries (new agent versions for a part of the callers) in the memory of this process,
    and counts the failures among the last calls of each canary. Other processes do not see the data. Implements
    `Releases`.
    """

    def __init__(self) -> None:
        self._releases: dict[str, Release] = {}
        self._calls: dict[tuple[str, str], deque[bool]] = {}

    def decide(self, release: Release) -> None:
        self._releases[release.place] = release
        self._calls = {key: calls for key, calls in self._calls.items() if key[0] != release.place}

    def all(self) -> list[Release]:
        return list(self._releases.values())

    def count(self, place: str, version: str, *, failed: bool, keep: int) -> tuple[int, int]:
        calls = self._calls.setdefault((place, version), deque(maxlen=keep))
        calls.append(failed)
        return sum(calls), len(calls)
