"""Decides the next TwiML after a media stream or a `<Dial>`: the answer to their `action`. Pure.

Twilio opens no second stream by itself when one breaks. It asks the `action` what comes next, and the answer depends on
why the stream ended. The process that held the stream writes the reason to the records, where another process that
Twilio asks reads it. If the reason is unknown, the caller gets an apology and the fallback number, or the call ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ..ending import Ending, EndReason

__all__ = ["MAX_REATTACHED", "Next", "StreamEnd", "StreamEnds", "Why", "after_dial", "after_stream", "end_of_call"]

MAX_REATTACHED = 2
"""How many lost streams of one call are replaced, and how many new streams are offered in a row without success."""

Why = Literal["goodbye", "lost", "stalled", "failed", "refused", "transfer", "digits", "conference"]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The reason why a call's stream ended."""

    why: Why
    """`goodbye` means that we hung up. `lost` means that the socket broke. `stalled` means that no data moved. `failed`
    means that we cannot continue (no model). `refused` means that the stream was not admitted. In all other cases we
    sent the caller elsewhere, by `twiml`.
    """
    reattached: int = 0
    """How many lost streams were replaced so far."""
    twiml: str | None = None
    """The document for Twilio's next request."""
    offered: int = 0
    """How many new streams were requested from Twilio since this one ended. None of them has started."""
    instance: str = ""
    """The process that has the call, if it is another one. A new stream has to go there."""


def end_of_call(ending: Ending | None, *, reattached: int = 0, document: str | None = None) -> StreamEnd:
    """Returns the reason why the stream of an ended call ended. `document` is the TwiML of a call that failed."""
    reason = None if ending is None else ending.reason
    if reason is EndReason.REFUSED:
        return StreamEnd("refused", reattached)
    if reason is EndReason.FAILED and document is not None:
        return StreamEnd("failed", reattached, document)
    return StreamEnd("goodbye", reattached)  # after a failure the caller has heard an apology


class StreamEnds(Protocol):
    """The ends of streams in this process."""

    def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Returns why this call's last stream ended. None means that the call had no stream here. A stream that still
        seems open is lost, because Twilio requests TwiML only after a stream.
        """

    def knows(self, call_sid: str) -> bool:
        """Returns whether the call is, or was recently, a call of this process, with or without a stream."""


Next = Literal["hang up", "new stream", "apologise", "document"]


def after_stream(end: StreamEnd | None, *, call_ended: bool = False) -> Next:
    """Decides the next TwiML after a media stream, from the reason why the stream ended. `call_ended` means that Twilio
    says that the call is over.
    """
    if call_ended:
        return "hang up"  # the caller is gone
    if end is None:
        return "apologise"
    if end.twiml is not None:
        return "document"
    match end.why:
        case "goodbye":
            return "hang up"
        case "failed" | "refused":
            return "apologise"
        case "digits":
            return "new stream" if end.offered < MAX_REATTACHED else "apologise"
        case _:
            return "new stream" if end.reattached + end.offered < MAX_REATTACHED else "apologise"


def after_dial(*, connected: bool, call_ended: bool, known: bool, offered: int = 0) -> Next:
    """Returns the next TwiML after a cold transfer: the end after success, else a new stream to the agent."""
    if connected or call_ended:
        return "hang up"
    return "new stream" if known and offered < MAX_REATTACHED else "apologise"
