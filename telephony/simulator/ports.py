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
    """A Twilio recording of a simulated call that is in progress."""

    audio: bytearray
    status: Any

    def stop(self, *, heard: bool = True) -> None:
        """Ends the recording. With `heard=False`, the recording contains no speech."""

    def fields(self) -> dict[str, str]:
        """Returns the form fields that describe the recording, such as its SID and URL, for a webhook request to the
        application.
        """


class Leg(Protocol):
    """The methods of a simulated call (leg) that its parts use."""

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
        """Adds a line to Twilio's debugger, which the simulation imitates."""

    async def read(self, what: Document | Fetch) -> Document:
        """Returns a TwiML document. A `Document` is returned unchanged. For a `Fetch`, sends the request to the
        application and returns the TwiML of the response. If the request fails, returns Twilio's apology as TwiML.
        """

    async def while_silent(self, work: asyncio.Future[Any]) -> None:
        """Plays silence to the person on the phone until `work` is done."""

    def record(self, source: RecordingSource, options: Mapping[str, str] | None = None) -> RunningRecording:
        """Starts a recording of the call, which ends at the latest with the call. Returns the recording. `source` is
        Twilio's word for what started the recording, such as `RecordVerb`. `options` has the attributes of the
        recording, such as `recordingChannels`.
        """

    def end(self, status: str = "completed") -> None:
        """Ends the call with `status`. Only the first call of this method has an effect."""

    def continue_in_background(self, verb: Verb, base: str, fields: Mapping[str, str]) -> None:
        """Makes the request to the `action` URL of a TwiML verb in the background. Used when the person on the phone
        has hung up: Twilio still makes this request, and the call ends without waiting for the response. `base` is the
        URL of the TwiML document, and `fields` are additional form fields of the request.
        """

    async def joins(self) -> bool:
        """Waits until this call, which a `<Dial>` of another call has made, is connected with that other call. Returns
        True then, or False if this call ended first.
        """


class Conferences(Protocol):
    """The conferences of a simulated Twilio account."""

    async def join(self, call: Leg, noun: Verb, *, base: str) -> None:
        """Executes `<Conference>`: keeps the call in the conference until the call leaves it. `noun` is the TwiML
        element, and `base` is the URL of its document.
        """


class Account(Protocol):
    """The methods and data of a simulated Twilio account that a simulated call uses."""

    account_sid: str
    base_url: str
    sources: Sources
    price_after_s: float
    webhooks: Webhooks

    @property
    def rooms(self) -> Conferences: ...
    @property
    def caller_ids(self) -> Collection[str]: ...

    async def turn_to_dial(self) -> float:
        """Waits until a further outbound call may begin, because of the limit of calls per second. Returns the waiting
        time in seconds.
        """

    async def open_stream(self, call: Leg, url: str, noun: Verb) -> MediaPeer:
        """Connects a media stream from the simulated Twilio to the server at `url`. Returns the stream. Raises
        `ConnectFailed` or `WebhookFailed` if the connection fails.
        """

    def call_leg(
        self, parent: Leg, room: Any, *, to: str, from_: str, options: Mapping[str, Any], first: Document | Fetch
    ) -> Leg:
        """Starts the call of a `<Dial>` to the number `to`, for the call `parent`, and returns the new call. The new
        call executes the document `first`, and then enters the conference `room`.
        """

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` in a task, which is cancelled when the account is closed."""

    def notify(self, call: Leg, url: str, form: Mapping[str, str], method: str, *, event: str) -> None:
        """Sends a callback about the event `event` of a call to `url`, with the fields of `form`. Does not wait for the
        response.
        """

    def log(self, call: Leg, text: str) -> None:
        """Writes a line about a call to the log of the simulated Twilio."""
