"""The functions to which the endpoints of Twilio's webhooks pass their news about a call, such as a new call status. By
default these are methods of the registry of calls. Other code may wrap them.
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
    """The callbacks that Twilio's webhooks call. The callbacks return immediately and raise no exception."""

    stream_end: Callable[[str], StreamEnd | None]
    """A function that returns why the media stream of the call with this CallSid ended (see `StreamEnds`)."""
    knows: Callable[[str], bool]
    stream_offered: Callable[[str], None]
    """A function that is called with the CallSid when Twilio got TwiML for a new media stream of the call."""
    call_status: Callable[[CallStatus], None]
    """A function that is called once with each status of a call, in the order of arrival. This order may differ from
    the order of `sequence_number`.
    """
    machine_detected: Callable[[MachineDetection], None]
    dial_ended: Callable[[DialResult], None]
    """A function that is called when a cold transfer (the caller was connected without a briefing) has ended or failed.
    After a failed transfer the call gets a new media stream.
    """
    leg_key: Callable[[str, str], str]
    """A function that is called when a key was pressed in the second call of a warm transfer, with the id of that call
    and the key. Returns the next TwiML of that call.
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
