"""The callbacks for Twilio's webhooks. By default the callbacks are methods of the call registry. Other code may wrap
these callbacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..call.leg.next_twiml import StreamEnd
from ..call.registry import Registry
from ..twilio.callbacks import CallStatus, DialResult, MachineDetection, StreamStatus

__all__ = ["Hooks"]


@dataclass(slots=True)
class Hooks:
    """The callbacks for Twilio's webhooks. The callbacks return immediately and raise no exception."""

    stream_end: Callable[[str], StreamEnd | None]
    """Returns why the media stream of this CallSid ended (see `StreamEnds`)."""
    knows: Callable[[str], bool]
    stream_offered: Callable[[str], None]
    """Called when Twilio got TwiML for a new media stream of this CallSid."""
    call_status: Callable[[CallStatus], None]
    """Called once with each call status, in the order of arrival. This order may differ from the order of
    `sequence_number`.
    """
    machine_detected: Callable[[MachineDetection], None]
    dial_ended: Callable[[DialResult], None]
    """Called when a cold transfer has ended or failed. After a failed transfer the call gets a new media stream."""
    leg_key: Callable[[str, str], str]
    """Called with the id of the second leg of a warm transfer, and the key that was pressed on this leg. Returns the
    next TwiML of the leg.
    """
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
