"""What comes after a media stream: the answer to the `action` of `<Connect>`, and to that of `<Dial>`. Pure.

Twilio opens no second stream by itself when one breaks; it asks the `action` what comes next. The answer follows from
why the stream ended. The process that held the stream knows it, and writes it to the records, where any other process
that Twilio asks can read it. A process that only answered the webhook of a call does not know how its stream ended.
Where nothing is known, the caller gets an apology and the fallback number, or the end of the call: never a silent line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ...twilio import twiml
from ...twilio.caller_id import Destination
from ..ending import Ending, EndReason

__all__ = ["MAX_REATTACHED", "Next", "StreamEnd", "StreamEnds", "Why", "after_dial", "after_stream", "end_of_call"]

MAX_REATTACHED = 2
"""How often one call gets a new stream for one that was lost, and how many new streams it is offered in a row that do
not come."""

Why = Literal["goodbye", "lost", "stalled", "failed", "refused", "transfer", "digits", "conference"]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Why a call's stream ended."""

    why: Why
    """`goodbye`: we hung up; `lost`: the socket broke; `stalled`: it took or gave nothing any more; `failed`: we cannot
    go on (no model); `refused`: we did not let it in; the others are ours, and `twiml` says how the call goes on."""
    reattached: int = 0
    """How many streams took the place of lost ones so far."""
    twiml: str | None = None
    """The document that waits for this request."""
    offered: int = 0
    """How many new streams Twilio was told to open since, none of which came."""
    instance: str = ""
    """The process that has the call, where it is not the one that is asked: a new stream has to go there."""


def end_of_call(ending: Ending | None, *, reattached: int = 0, fallback: Destination | None = None) -> StreamEnd:
    """Why the stream of an ended call ended. `fallback`: who takes a call that failed."""
    reason = None if ending is None else ending.reason
    if reason is EndReason.REFUSED:
        return StreamEnd("refused", reattached)
    if reason is EndReason.FAILED and fallback is not None:
        return StreamEnd("failed", reattached, twiml.dial(fallback))
    return StreamEnd("goodbye", reattached)  # after a failure the caller has heard an apology


class StreamEnds(Protocol):
    """The calls of this process."""

    def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Why this call's last stream ended; None: it had no stream here. A stream that still seems to be there is
        lost: else Twilio would not ask."""

    def knows(self, call_sid: str) -> bool:
        """Is the call, or was it until now, one of this process, with or without a stream?"""


Next = Literal["hang up", "new stream", "apologise", "document"]


def after_stream(end: StreamEnd | None, *, call_ended: bool = False) -> Next:
    """What comes next; `document`: that of `end.twiml`."""
    if call_ended:
        return "hang up"  # nobody is there to hear anything
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
    """What comes after a cold transfer: the end where it came about, else back to the agent, who says so."""
    if connected or call_ended:
        return "hang up"
    return "new stream" if known and offered < MAX_REATTACHED else "apologise"
