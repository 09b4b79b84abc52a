"""The events of the simulated phone, such as audio that arrives.

`at_s` is the time in seconds from the start of the stream, on the phone's clock. Positions are in samples (8 kHz) of
the audio that the caller heard. `as_dict` returns the form that `python -m telephony.simulator --json` prints.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

__all__ = [
    "AudioReceived",
    "BufferEmptied",
    "Cleared",
    "ClipStarted",
    "Closed",
    "Event",
    "HungUp",
    "MarkReturned",
    "Pressed",
    "Violation",
    "as_dict",
]


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """Audio from the server was added to the buffer of the simulated phone. `samples` is the number of added samples,
    and `buffered` is the number of samples in the buffer now.
    """

    kind: ClassVar[str] = "audio_received"
    at_s: float
    samples: int
    buffered: int


@dataclass(frozen=True, slots=True)
class MarkReturned:
    """The simulated phone returned a mark, because its audio was played up to `position`, or because a clear flushed
    the mark.
    """

    kind: ClassVar[str] = "mark_returned"
    at_s: float
    name: str
    position: int
    flushed: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """A `clear` message took effect: playback stopped at `position`, and the buffered audio was dropped. `received` is
    the number of samples that the phone has received since the start of the stream. `flushed` is the number of dropped
    samples, which were the last of these. `marks` has the names of the marks that the message returned.
    """

    kind: ClassVar[str] = "cleared"
    at_s: float
    position: int
    received: int
    flushed: int
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BufferEmptied:
    """The simulated phone had no more buffered audio to play, at the end of an answer or because of a gap in an
    answer.
    """

    kind: ClassVar[str] = "ran_dry"
    at_s: float
    position: int


@dataclass(frozen=True, slots=True)
class Violation:
    """The server sent a message that Twilio refuses: 31931 (ten minutes are buffered), 31950 (binary), 31951 (invalid).
    Twilio reports each code once per stream. The simulation reports each message.
    """

    kind: ClassVar[str] = "violation"
    at_s: float
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClipStarted:
    """The caller started to say a clip."""

    kind: ClassVar[str] = "said"
    at_s: float
    what: str
    samples: int


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed a key."""

    kind: ClassVar[str] = "pressed"
    at_s: float
    digit: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The caller hung up."""

    kind: ClassVar[str] = "hung_up"
    at_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection of the media stream has ended (see `realtime_core.connection.Close`)."""

    kind: ClassVar[str] = "closed"
    at_s: float
    code: int
    reason: str
    by: str


Event = AudioReceived | MarkReturned | Cleared | BufferEmptied | Violation | ClipStarted | Pressed | HungUp | Closed


def as_dict(event: Event) -> dict[str, Any]:
    fields = asdict(event)
    return {"t": round(fields.pop("at_s"), 6), "event": event.kind, **fields}
