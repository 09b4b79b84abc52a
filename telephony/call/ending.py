"""The reason why a call ended, and how Twilio's side of it is released. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["EndReason", "Ending", "Release"]


class EndReason(Enum):
    """The reason why a call ended. The value is the text in the journal."""

    HUNG_UP = "hung up"
    """The caller hung up."""
    AGENT_HUNG_UP = "agent hung up"
    SUPERVISOR_HUNG_UP = "supervisor hung up"
    """A person hung up in the console."""
    SILENCE = "silence"
    SAID_NOTHING = "the caller said nothing"
    """The caller neither spoke nor pressed a key from the beginning on (`Screening.silent_s`)."""
    MAXIMUM_LENGTH = "maximum length"
    MACHINE = "a machine"
    TRANSFERRED = "transferred to"
    STREAM_LOST = "stream lost"
    STREAM_TAKEN = "another process has its stream"
    STREAM_ELSEWHERE = "its stream went elsewhere"
    """The media stream went to another process. This process only answered the webhook."""
    NO_STREAM = "no stream came"
    REFUSED = "refused"
    """The first stream was not admitted."""
    FAILED = "failed"
    """The agent cannot continue the call."""
    DRAINED = "drained"
    PROCESS_STOPS = "the process stops"


_SEPARATORS = {EndReason.TRANSFERRED: " ", EndReason.REFUSED: ": ", EndReason.FAILED: ": "}
"""Between a reason and its detail, for reasons that have one."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one call. The journal and `Call.ended` have it as text."""

    reason: EndReason
    detail: str = ""
    """The error, or the name of the transfer target."""

    def __str__(self) -> str:
        return self.reason.value + (_SEPARATORS.get(self.reason, "") + self.detail if self.detail else "")

    @classmethod
    def parse(cls, text: str) -> Ending | None:
        """Reads the text of an ending. Returns None for a text of another kind."""
        for reason, separator in _SEPARATORS.items():
            if text.startswith(reason.value + separator):
                return cls(reason, text.removeprefix(reason.value + separator))
        return next((cls(reason) for reason in EndReason if reason.value == text), None)


class Release(Enum):
    """How the caller's leg is released at the end of a call."""

    HANG_UP = "hang up"
    CLOSE = "close"
    """Close the stream only: the caller's call continues elsewhere."""
