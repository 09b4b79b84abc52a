"""Decides the next TwiML after a media stream or a `<Dial>`: the answer to the `action` request. Pure.

Twilio does not open a new media stream when a stream breaks. Twilio requests the `action` URL, and the answer depends
on the reason why the stream ended. The process that had the stream writes the reason to the database, and any process
that gets the request reads the reason from there. If the reason is unknown, the caller hears an apology and is
connected to the fallback number, or the call ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ..ending import Ending, EndReason

__all__ = ["MAX_REATTACHED", "Next", "StreamEnd", "StreamEnds", "Why", "after_dial", "after_stream", "end_of_call"]

MAX_REATTACHED = 2
"""The maximum number of new media streams for one call after its media stream was lost. After this number, the caller
hears an apology and the call ends. A new stream counts as soon as Twilio gets its TwiML, even if Twilio never opens the
stream.
"""

Why = Literal["goodbye", "lost", "stalled", "failed", "refused", "transfer", "digits", "conference"]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Describes the end of a media stream: why the stream ended, and which TwiML Twilio gets next."""

    why: Why
    """The reason. `goodbye` means that the agent hung up. `lost` means that the connection broke. `stalled` means that
    no data was transferred. `failed` means that the agent cannot continue. `refused` means that the stream was not
    admitted. In all other cases this process redirected the caller with `twiml`.
    """
    reattached: int = 0
    """The number of lost media streams of the call that were replaced so far."""
    twiml: str | None = None
    """The TwiML for the next request of Twilio. None if `why` alone decides what Twilio gets. For example, after `lost`
    Twilio gets TwiML that opens a new media stream.
    """
    offered: int = 0
    """The number of times that Twilio got TwiML for a new media stream since this stream ended, and opened no stream.
    """
    instance: str = ""
    """The name of the process that has the call, if another process has the call. A new media stream must connect to
    that process.
    """


def end_of_call(ending: Ending | None, *, reattached: int = 0, document: str | None = None) -> StreamEnd:
    """Returns a description of the end of a media stream that ended because its call ended. `ending` says how the call
    ended (None: this is not known). `reattached` is the number of lost streams of the call that were replaced.
    `document` is the TwiML with which Twilio continues a failed call (None: Twilio hangs up).
    """
    reason = None if ending is None else ending.reason
    if reason is EndReason.REFUSED:
        return StreamEnd("refused", reattached)
    if reason is EndReason.FAILED and document is not None:
        return StreamEnd("failed", reattached, document)
    return StreamEnd("goodbye", reattached)  # after a failure the caller has heard an apology


class StreamEnds(Protocol):
    """Says why the media streams of the calls of this process have ended. The webhooks use this interface to decide the
    next TwiML of a call.
    """

    def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Returns why the last media stream of this call ended, or None if this process had no stream of the call. A
        stream that still seems open is reported as lost, because Twilio requests TwiML only after a stream has ended.
        """

    def knows(self, call_sid: str) -> bool:
        """Returns whether this process has or recently had the call with this `CallSid`, with or without a media
        stream.
        """


Next = Literal["hang up", "new stream", "apologise", "document"]


def after_stream(end: StreamEnd | None, *, call_ended: bool = False) -> Next:
    """Returns what Twilio must do after a media stream has ended: hang up, open a new stream, apologise, or execute the
    TwiML of `end` (`document`). `end` says why the stream ended (None if this is not known). `call_ended` is True if
    Twilio reports that the call is over.
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
    """Returns what Twilio must do with the caller after a cold transfer (the caller was connected without a briefing of
    the called person):

    - `hang up` if the transfer has connected the parties (`connected`), or if the call has ended (`call_ended`).
    - `new stream`, so the caller comes back to the agent, if the transfer has failed.
    - `apologise` in place of a new stream, if this process does not know the call (`known` is False), or if Twilio
      already got TwiML for a new stream too often (`offered` times).
    """
    if connected or call_ended:
        return "hang up"
    return "new stream" if known and offered < MAX_REATTACHED else "apologise"
