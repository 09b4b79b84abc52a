"""The interfaces between a call and Twilio: requests to Twilio's REST API, and the URLs that Twilio requests."""

from __future__ import annotations

from typing import Protocol

from ..twilio.twiml import StreamTarget
from .call_info import CallInfo

__all__ = ["CallAddresses", "PhoneControl"]


class PhoneControl(Protocol):
    """The requests to Twilio's REST API that a call needs, implemented by `telephony.twilio.rest.TwilioRest`. All
    methods raise `TwilioError`.
    """

    async def hang_up(self, call_sid: str) -> bool: ...

    async def redirect(self, call_sid: str, twiml: str) -> None: ...

    async def create_call(
        self, *, to: str, from_: str, twiml: str | None = None, status_callback: str | None = None, ring_s: int = 60
    ) -> str: ...

    async def start_recording(self, call_sid: str) -> str:
        """Starts a Twilio recording of the call. Returns the SID of the recording."""

    async def pause_recording(self, call_sid: str) -> str | None:
        """Pauses the Twilio recording of the call that is in progress, even if another program started the recording.
        Returns the SID of the recording, or None if no recording is in progress.
        """

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Continues a paused Twilio recording. Returns False if the recording has ended."""

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        """Stops a Twilio recording and deletes the recording. Returns False if the recording does not exist."""


class CallAddresses(Protocol):
    """The URLs of this process that Twilio gets for one call."""

    def stream(self, info: CallInfo) -> StreamTarget:
        """Returns the URL and the parameters of a new media stream for this call, with a new stream token."""

    @property
    def after_dial(self) -> str:
        """The URL that Twilio requests when a cold transfer (a transfer without a briefing of the called person) is
        over.
        """

    @property
    def call_status(self) -> str:
        """The URL to which Twilio reports the status of the second calls of warm transfers, and of calls that a
        `<Dial>` makes.
        """

    def leg_key(self, leg_id: str) -> str:
        """Returns the URL that Twilio requests after a key was pressed in the second call of a warm transfer. `leg_id`
        is the id of that call in this process. The response comes from `Registry.leg_key`.
        """
