"""The interfaces of a call to Twilio: requests to its REST API, and the addresses that Twilio gets."""

from __future__ import annotations

from typing import Protocol

from ..twilio.twiml import StreamTarget
from .call_info import CallInfo

__all__ = ["CallAddresses", "PhoneControl"]


class PhoneControl(Protocol):
    """Twilio's REST API (`telephony.twilio.rest.TwilioRest`). All raise `TwilioError`."""

    async def hang_up(self, call_sid: str) -> bool: ...

    async def redirect(self, call_sid: str, twiml: str) -> None: ...

    async def create_call(
        self, *, to: str, from_: str, twiml: str | None = None, status_callback: str | None = None, ring_s: int = 60
    ) -> str: ...

    async def start_recording(self, call_sid: str) -> str:
        """Starts a recording of the call at Twilio. Returns its SID."""

    async def pause_recording(self, call_sid: str) -> str | None:
        """Pauses the running recording of the call, whoever started it. Returns its SID. None means that nothing is
        recorded.
        """

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Continues a paused recording. False means that it has ended."""

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Stops a recording and deletes it. False means that it does not exist."""


class CallAddresses(Protocol):
    """The addresses of this process that Twilio gets for one call."""

    def stream(self, info: CallInfo) -> StreamTarget:
        """Returns the target of a new media stream for this call, with a new token."""

    @property
    def after_dial(self) -> str:
        """The URL that Twilio requests when a cold transfer is over."""

    @property
    def call_status(self) -> str:
        """The URL for the statuses of second legs and of dialled legs."""

    def leg_key(self, leg_id: str) -> str:
        """Returns the URL for the key that was pressed on a second leg. It answers with `Registry.leg_key`."""
