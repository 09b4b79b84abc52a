"""Who is told what Twilio tells. By default that is the registry of calls; whoever wants to hear it, too, wraps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..call.leg.next_twiml import StreamEnd
from ..call.registry import Registry
from ..twilio.callbacks import CallStatus, DialResult, MachineDetection, StreamStatus

__all__ = ["Hooks"]


@dataclass(slots=True)
class Hooks:
    """They return at once and raise nothing."""

    stream_end: Callable[[str], StreamEnd | None]
    """By CallSid: see `StreamEnds`, as for the next."""
    knows: Callable[[str], bool]
    stream_offered: Callable[[str], None]
    """Twilio is told to open a new stream for this CallSid."""
    call_status: Callable[[CallStatus], None]
    """Each state once; in the order of arrival, which is not always that of `sequence_number`."""
    machine_detected: Callable[[MachineDetection], None]
    dial_ended: Callable[[DialResult], None]
    """A cold transfer is over or has failed; if it failed, a new stream comes."""
    leg_key: Callable[[str, str], str]
    """(leg id, key) of the second leg of a warm transfer; the TwiML that this leg goes on with."""
    stream_status: Callable[[StreamStatus], None] = lambda status: None

    @classmethod
    def of(cls, registry: Registry) -> Hooks:
        return cls(
            stream_end=registry.stream_end,
            knows=registry.knows,
            stream_offered=registry.stream_offered,
            call_status=registry.call_status,
            machine_detected=registry.machine_detected,
            dial_ended=registry.dial_ended,
            leg_key=registry.leg_key,
        )
