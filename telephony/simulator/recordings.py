"""Simulates Twilio recordings and their callbacks. Only the audio of `<Record>` is stored.

https://www.twilio.com/docs/voice/api/recording
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from .documented_parameters import API
from .ports import Leg, RecordingSource

__all__ = ["Recording"]

Status = Literal["in-progress", "paused", "stopped", "completed", "absent"]


class Recording:
    """One Twilio recording of a simulated call. It starts when the object is created.

    `options` has the attributes of TwiML: `recordingStatusCallback`, `...Method`, `...Event`, `recordingChannels` and
    `recordingTrack`.
    """

    def __init__(self, call: Leg, source: RecordingSource, options: Mapping[str, str] | None = None) -> None:
        options = options or {}
        self.sid = call.twilio.sources.id("RE")
        self.call = call
        self.source = source
        self.channels = 2 if options.get("recordingChannels") == "dual" else 1
        self.track = options.get("recordingTrack") or "both"
        self.started = call.twilio.sources.now()
        self.status: Status = "in-progress"
        self._url = options.get("recordingStatusCallback", "")
        self._method = options.get("recordingStatusCallbackMethod") or "POST"
        self._events = (options.get("recordingStatusCallbackEvent") or "completed").split()
        self.audio = bytearray()
        """What was recorded, as mu-law. Only `<Record>` keeps it."""
        self._loop = asyncio.get_running_loop()
        self._since: float | None = self._loop.time()
        self._recorded_s = 0.0
        self._notify("in-progress")

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "absent")

    @property
    def duration_s(self) -> int:
        running = 0.0 if self._since is None else self._loop.time() - self._since
        return round(self._recorded_s + running)

    @property
    def url(self) -> str:
        twilio = self.call.twilio
        return f"{twilio.base_url}{API}/{twilio.account_sid}/Recordings/{self.sid}"

    def fields(self) -> dict[str, str]:
        """Returns the fields of the recording in requests to the `action` of a verb, and in the callback about the end
        of the call.
        """
        return {"RecordingUrl": self.url, "RecordingSid": self.sid, "RecordingDuration": str(self.duration_s)}

    def pause(self) -> None:
        if self._since is not None:
            self._recorded_s += self._loop.time() - self._since
            self._since = None
            self.status = "paused"

    def resume(self) -> None:
        if self.status == "paused":
            self._since = self._loop.time()
            self.status = "in-progress"

    def stop(self, *, heard: bool = True) -> None:
        """Ends the recording. With `heard=False`, the recording contains no speech."""
        if not self.is_over:
            self.pause()
            self.status = "completed" if heard else "absent"
            self._notify(self.status)

    def _notify(self, event: str) -> None:
        if not self._url or event not in self._events:
            return
        call = self.call
        form = {
            "AccountSid": call.twilio.account_sid,
            "CallSid": call.sid,
            "RecordingStatus": event,
            "RecordingChannels": str(self.channels),
            "RecordingStartTime": self.started.strftime("%a, %d %b %Y %H:%M:%S +0000"),
            "RecordingSource": self.source,
            "RecordingTrack": self.track,
            "ErrorCode": "0",
        } | self.fields()  # fmt: skip
        call.twilio.notify(call, self._url, form, self._method, event=f"recording-{event}")
