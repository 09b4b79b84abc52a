"""The reasons why a call ends, and whether the caller's phone connection then ends, too, or only the media stream.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["EndReason", "Ending", "Release"]


class EndReason(Enum):
    """The reasons why a call ends. The value is the text in the journal."""

    HUNG_UP = "hung up"
    """The caller hung up."""
    AGENT_HUNG_UP = "agent hung up"
    SUPERVISOR_HUNG_UP = "supervisor hung up"
    """A supervisor hung up in the console."""
    SILENCE = "silence"
    SAID_NOTHING = "the caller said nothing"
    """The caller did not speak and did not press a key from the start of the call (`Screening.silent_s`)."""
    MAXIMUM_LENGTH = "maximum length"
    MACHINE = "a machine"
    TRANSFERRED = "transferred to"
    STREAM_LOST = "stream lost"
    STREAM_TAKEN = "another process has its stream"
    STREAM_ELSEWHERE = "its stream went elsewhere"
    """The media stream of the call was opened to another process. This process only answered the webhook."""
    NO_STREAM = "no stream came"
    REFUSED = "refused"
    """The first media stream of the call was refused, for example because its token was invalid."""
    FAILED = "failed"
    """The agent cannot continue the call."""
    DRAINED = "drained"
    PROCESS_STOPS = "the process stops"


_SEPARATORS = {EndReason.TRANSFERRED: " ", EndReason.REFUSED: ": ", EndReason.FAILED: ": "}
"""The text between a reason and its detail, for reasons with a detail."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one call ended: the reason and a detail. The journal and `Call.ended` contain this ending as text."""

    reason: EndReason
    detail: str = ""
    """The text of the error, or the name of the transfer target."""

    def __str__(self) -> str:
        return self.reason.value + (_SEPARATORS.get(self.reason, "") + self.detail if self.detail else "")

    @classmethod
    def parse(cls, text: str) -> Ending | None:
        """Parses the text of an ending, as in the journal. Returns None if the text is not an ending."""
        for reason, separator in _SEPARATORS.items():
            if text.startswith(reason.value + separator):
                return cls(reason, text.removeprefix(reason.value + separator))
        return next((cls(reason) for reason in EndReason if reason.value == text), None)


class Release(Enum):
    """What happens to the caller's leg (the connection between Twilio and the caller) when the agent's part of the call
    ends.
    """

    HANG_UP = "hang up"
    CLOSE = "close"
    """Only the media stream is closed. The caller stays connected to Twilio, which continues with other TwiML."""
