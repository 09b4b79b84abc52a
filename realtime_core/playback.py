"""What has the listener heard? The ledger of received audio, and the one place that decides truncations.

Pure. A `Player` (a phone line's playout, a sound card, or `ClockPlayer` where nobody says) knows what was *heard*; the
ledger knows what was *received*; `PlaybackLedger.truncations` puts the two together for `conversation.item.truncate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["HeardItem", "Player", "Truncation"]


@dataclass(frozen=True, slots=True)
class HeardItem:
    """How much of one audio part the listener has heard. `heard_ms` is exact (a float); only the wire rounds down.

    `finished` is true when the part was received to its end and heard to its end.
    """

    item_id: str
    content_index: int
    heard_ms: float
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Truncation:
    """One `conversation.item.truncate`: whole milliseconds, rounded down, never past what was received."""

    item_id: str
    content_index: int
    audio_end_ms: int


class Player(Protocol):
    """Whatever plays the agent's audio. All methods are synchronous and take effect at once."""

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        """Queue audio of one part, in the session's output format, behind everything queued before."""

    def end(self, item_id: str, content_index: int) -> None:
        """The part is complete: no more audio of it will come."""

    def stop(self) -> Sequence[HeardItem]:
        """Drop everything that is not heard yet and fall silent. Returns, in playing order, each part that was queued
        or playing and not heard to its end, with how much of it had been heard when the silence begins. Parts heard to
        their end are absent (or `finished`). Idempotent: a second call returns nothing."""

    def hold(self) -> None:
        """Fall silent without forgetting: `release` goes on from the sample that was heard last. A player that cannot
        hold does nothing."""

    def release(self) -> None:
        """Go on after `hold`. Does nothing otherwise."""

    def heard(self) -> Sequence[HeardItem]:
        """Where the parts are that are queued or playing now, without touching them."""
