"""What the calls of this process are told by the web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..call.after_stream import StreamEnd
from ..twilio.callbacks import CallStatus, DialResult, MachineDetection, StreamStatus

__all__ = ["Hooks"]


def _ignore(_: Any) -> None:
    pass


def _unknown(call_sid: str) -> StreamEnd | None:
    return None


@dataclass(slots=True)
class Hooks:
    """Set by whoever keeps the calls. They return at once and raise nothing."""

    stream_end: Callable[[str], StreamEnd | None] = _unknown
    """By CallSid: see `StreamEnds`."""
    call_status: Callable[[CallStatus], None] = _ignore
    """Each state once; in the order of arrival, which is not always that of `sequence_number`."""
    stream_status: Callable[[StreamStatus], None] = _ignore
    machine_detected: Callable[[MachineDetection], None] = _ignore
    dial_ended: Callable[[DialResult], None] = _ignore
    """A cold transfer is over or has failed; if it failed, a new stream comes."""
    farewell: Callable[[], Awaitable[None]] | None = None
    """The process stops and these calls are still there: say goodbye, and hang up. Default: hang up what is live."""
