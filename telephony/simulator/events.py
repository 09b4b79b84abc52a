"""Events of the simulated phone.

`at_s` is in seconds from the start of the stream, on the phone's clock. Positions are in samples (8 kHz) of the audio
that the caller heard. `as_dict` gives the form that `python -m telephony.simulator --json` prints.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

__all__ = [
    "AudioReceived",
    "Cleared",
    "Closed",
    "Event",
    "HungUp",
    "MarkReturned",
    "Pressed",
    "RanDry",
    "SaidSomething",
    "Violation",
    "as_dict",
]


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """The server's audio was added to the buffer. `buffered` is the number of samples that wait there then."""

    kind: ClassVar[str] = "audio_received"
    at_s: float
    samples: int
    buffered: int


@dataclass(frozen=True, slots=True)
class MarkReturned:
    """A mark was sent back, because its audio was played at `position` or flushed by a clear."""

    kind: ClassVar[str] = "mark_returned"
    at_s: float
    name: str
    position: int
    flushed: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """A clear took effect: no buffered audio was played from `position` on. Of the `received` samples from the start of
    the stream, the last `flushed` were never played."""

    kind: ClassVar[str] = "cleared"
    at_s: float
    position: int
    received: int
    flushed: int
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RanDry:
    """Playback reached the end of the buffered audio: the end of an answer, or a gap in it."""

    kind: ClassVar[str] = "ran_dry"
    at_s: float
    position: int


@dataclass(frozen=True, slots=True)
class Violation:
    """The server sent a message that Twilio refuses: 31931 (ten minutes are buffered), 31950 (binary), 31951 (invalid).
    Twilio reports each code once per stream; here each message counts."""

    kind: ClassVar[str] = "violation"
    at_s: float
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class SaidSomething:
    """The caller began to say a clip."""

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
    """The connection has ended; see `realtime_core.connection.Close`."""

    kind: ClassVar[str] = "closed"
    at_s: float
    code: int
    reason: str
    by: str


Event = AudioReceived | MarkReturned | Cleared | RanDry | Violation | SaidSomething | Pressed | HungUp | Closed


def as_dict(event: Event) -> dict[str, Any]:
    fields = asdict(event)
    return {"t": round(fields.pop("at_s"), 6), "event": event.kind, **fields}
