"""The addresses that Twilio gets from this process.

A call belongs to the process that holds its stream, so they carry its name: `/i/<instance>/...`. A proxy in front of
several processes can bring them home by it; each process serves all of them, whosever name they carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..twilio.signature import public_address, websocket_address
from ..twilio.twiml import StreamTarget

__all__ = ["Addresses"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """`base` is PUBLIC_URL, or what a request on this machine called us."""

    base: str
    instance: str

    @property
    def stream(self) -> str:
        return websocket_address(self.base, self._path("media-stream"))

    @property
    def after_stream(self) -> str:
        return self._address("after-stream")

    @property
    def after_dial(self) -> str:
        return self._address("after-dial")

    @property
    def stream_status(self) -> str:
        return self._address("stream-status")

    @property
    def call_status(self) -> str:
        return self._address("call-status")

    @property
    def amd_status(self) -> str:
        return self._address("amd-status")

    def to_stream(self, parameters: Mapping[str, str]) -> StreamTarget:
        """A stream to this process that comes back to it."""
        return StreamTarget(self.stream, self.after_stream, self.stream_status, parameters)

    def _path(self, name: str) -> str:
        return f"/i/{self.instance}/{name}"

    def _address(self, name: str) -> str:
        return public_address(self.base, self._path(name))
