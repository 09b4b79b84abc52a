"""The addresses that Twilio gets from this process.

A call belongs to the process that holds its stream, so they carry its name: `/i/<instance>/...`. A proxy in front of
several processes can bring them home by it; each process serves all of them, whosever name they carry.
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
    """`base` is our address as Twilio is told it (see `entrance.base_of`). A `WayBack` for calls."""

    base: str
    instance: str
    parameters: Callable[[str], Mapping[str, str]]
    """Makes what the stream of a call has to bring along: its token."""
    details_chars: int = 1500
    """How much of the TwiML may tell of the call's details: a request to Twilio's API takes 4000 characters in all."""

    def stream(self, info: CallInfo) -> StreamTarget:
        """A stream to this process that comes back to it, with a fresh token."""
        return StreamTarget(
            websocket_address(self.base, self._path("media-stream")),
            action=self._address("after-stream"),
            status_callback=self._address("stream-status"),
            parameters={**self._told(info), **self.parameters(info.sid)},
        )

    def _told(self, info: CallInfo) -> dict[str, str]:
        told, left_out = info.stream_parameters(self.details_chars)
        if left_out:
            log.warning("Call %s: %s cannot go with its stream: too long.", info.sid, ", ".join(map(repr, left_out)))
        return told

    @property
    def after_dial(self) -> str:
        return self._address("after-dial")

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
