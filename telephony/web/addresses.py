"""The URLs of this process that Twilio gets.

A call belongs to the process that has its media stream. Therefore each URL contains the name of this process:
`/i/<instance>/...`. A proxy in front of several processes uses the name to route requests. Each process accepts URLs
with any name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..call.call import CallInfo
from ..twilio.twiml import StreamTarget
from ..urls import public_address, websocket_address

__all__ = ["Addresses"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes the URLs of this application that Twilio gets for a call: the media stream, the webhooks and the status
    callbacks. `base` is the public URL of this application (see `middleware.base_of`).
    """

    base: str
    instance: str
    parameters: Callable[[str], Mapping[str, str]]
    """A function that returns the stream parameters for a call. The parameters contain the stream token."""
    details_chars: int = 1500
    """The maximum number of characters in TwiML for the details of a call (such as the name of the caller, or SIP
    headers). TwiML in a request to Twilio's REST API may have 4000 characters in all.
    """

    def stream(self, info: CallInfo) -> StreamTarget:
        """Returns the URL and the parameters of a media stream to this process, with a new stream token."""
        return StreamTarget(
            websocket_address(self.base, self._path("media-stream")),
            action=self._address("after-stream"),
            status_callback=self._address("stream-status"),
            parameters={**self._details(info), **self.parameters(info.sid)},
        )

    def _details(self, info: CallInfo) -> dict[str, str]:
        details, left_out = info.stream_parameters(self.details_chars)
        if left_out:
            log.warning(
                "Call %s: %s is too long for the parameters of its stream and is left out.",
                info.sid,
                ", ".join(map(repr, left_out)),
            )
        return details

    @property
    def after_dial(self) -> str:
        return self._address("after-dial")

    def ladder(self, place: str, what: str = "") -> str:
        """Returns the URL of a step in the ladder (the list of steps) of a call. `place` is the name of the step
        (`RoutedCall.token`). `what` is the event that Twilio reports with this URL.
        """
        return self._address(f"ladder/{place}{what and '/'}{what}")

    def voicemail(self, what: str) -> str:
        """Returns the URL to which Twilio sends a callback about a voicemail message. `what` is the end of the path:
        the name of the step (`RoutedCall.token`), and `recording` or `transcript`, as in `NAME/recording`.
        """
        return self._address(f"voicemail/{what}")

    def choose_language(self, place: str) -> str:
        return self._address(f"language/{place}")

    @property
    def call_status(self) -> str:
        return self._address("call-status")

    @property
    def amd_status(self) -> str:
        return self._address("amd-status")

    def leg_key(self, leg_id: str) -> str:
        return self._address(f"leg-key/{leg_id}")

    def _path(self, name: str) -> str:
        return f"/i/{self.instance}/{name}"

    def _address(self, name: str) -> str:
        return public_address(self.base, self._path(name))
