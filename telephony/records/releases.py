"""The decisions about canaries: the interface of their stores, and a store in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["MemoryReleases", "Release", "Releases"]

ROLLED_BACK, RUNNING = "rolled back", "running"


@dataclass(frozen=True, slots=True)
class Release:
    """The decision about the canary of one number, or of all numbers (`*`)."""

    place: str
    state: str
    reason: str
    at: datetime

    @property
    def is_rolled_back(self) -> bool:
        return self.state == ROLLED_BACK


class Releases(Protocol):
    """A store of decisions. The last decision about a place (a number, or `*`) applies."""

    def decide(self, release: Release) -> None: ...

    def all(self) -> list[Release]: ...


class MemoryReleases:
    """`Releases` in the memory of this process."""

    def __init__(self) -> None:
        self._releases: dict[str, Release] = {}

    def decide(self, release: Release) -> None:
        self._releases[release.place] = release

    def all(self) -> list[Release]:
        return list(self._releases.values())
