"""The interfaces between a simulated call, its parts and its Twilio account."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Literal, Protocol

from realtime_core.sources import Sources

from .handset import Handset
from .peer import MediaPeer
from .twiml import Document, Fetch, Verb
from .webhooks import Webhooks

__all__ = ["Account", "Conferences", "Leg", "RecordingSource", "RunningRecording"]

RecordingSource = Literal[
    "OutboundAPI", "DialVerb", "RecordVerb", "Conference", "StartCallRecordingAPI", "StartCallRecordingTwiML"
]


class RunningRecording(Protocol):
    audio: bytearray
    status: Any

    def stop(self, *, heard: bool = True) -> None:
        """Ends the recording. `heard=False`: there was no speech."""

    def fields(self) -> dict[str, str]:
        """Returns the fields of the recording in a request to the application."""


class Leg(Protocol):
    """One call, as its parts use it."""

    sid: str
    to: str
    from_: str
    direction: str
    status: str
    options: dict[str, Any]
    answered_by: str | None
    phone: Handset
    keyed: asyncio.Queue[tuple[str, str]]
    stream: MediaPeer | None
    streams: list[MediaPeer]

    @property
    def twilio(self) -> Account: ...
    @property
    def duration_s(self) -> int: ...

    def warn(self, text: str) -> None:
        """Adds a line to Twilio's debugger."""

    async def read(self, what: Document | Fetch) -> Document:
        """Gets the document, with a request if it needs one."""

    async def while_silent(self, work: asyncio.Future[Any]) -> None:
        """Plays silence until `work` is done."""

    def record(self, source: RecordingSource, options: Mapping[str, str] | None = None) -> RunningRecording:
        """Starts a recording, which ends with the call at the latest."""

    def end(self, status: str = "completed") -> None:
        """Ends the call. The first status counts."""

    def leave_behind(self, verb: Verb, base: str, fields: Mapping[str, str]) -> None:
        """Sends the request for the `action` of a verb although the caller has hung up."""

    async def joins(self) -> bool:
        """Waits until the leg is joined to the call that dialled it. False means that it ended before."""


class Conferences(Protocol):
    async def join(self, call: Leg, noun: Verb, *, base: str) -> None:
        """Stays in the conference of `<Conference>` until the call leaves it."""


class Account(Protocol):
    """The account at Twilio that a call belongs to."""

    account_sid: str
    base_url: str
    sources: Sources
    webhooks: Webhooks

    @property
    def rooms(self) -> Conferences: ...
    @property
    def caller_ids(self) -> Collection[str]: ...

    async def turn_to_dial(self) -> float:
        """Waits in the queue of calls per second. Returns the seconds waited."""

    async def open_stream(self, call: Leg, url: str, noun: Verb) -> MediaPeer:
        """Connects a media stream. Raises `ConnectFailed` and `WebhookFailed`."""

    def call_leg(
        self, parent: Leg, room: Any, *, to: str, from_: str, options: Mapping[str, Any], first: Document | Fetch
    ) -> Leg:
        """Calls the number of a `<Dial>`. The leg does `first`, then goes to `room`."""

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` until the account closes."""

    def notify(self, call: Leg, url: str, form: Mapping[str, str], method: str, *, event: str) -> None:
        """Sends a callback."""

    def log(self, call: Leg, text: str) -> None:
        """Writes a line to the log."""
