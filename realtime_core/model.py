"""The interface between a session and a speech model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from .capabilities import ModelCapabilities
from .playback_tracker import RealtimePlaybackState, RealtimePlaybackTracker

if TYPE_CHECKING:
    from .config import RealtimeSessionModelSettings
    from .connection import Connection
    from .items import RealtimeItem
    from .model_events import RealtimeModelEvent
    from .model_inputs import RealtimeModelSendEvent
    from .playback import Player
    from .sources import Sources

__all__ = [
    "ModelCapabilities",
    "RealtimeModel",
    "RealtimeModelConfig",
    "RealtimeModelListener",
    "RealtimePlaybackState",
    "RealtimePlaybackTracker",
]


class RealtimeModelConfig(TypedDict, total=False):
    """How to reach the model. Every key may be absent."""

    api_key: str | Callable[[], str | Awaitable[str]]
    """The key, or a function (or coroutine function) that returns it; else `OPENAI_API_KEY`."""
    url: str
    """The full WebSocket address; it overrides `OPENAI_BASE_URL`, the model name and `call_id`."""
    base_url: str
    """Where a compatible server listens (`https://host/v1`; http, ws, wss); else `OPENAI_BASE_URL`, else OpenAI."""
    headers: dict[str, str]
    """Sent as they are, in place of the `Authorization` header."""
    safety_identifier: str
    """A stable identifier of the end user that does not name the user, at most 512 printable ASCII characters. It goes
    out in the header `OpenAI-Safety-Identifier`, beside the key or `headers`.
    Source: https://developers.openai.com/api/docs/guides/realtime-websocket"""
    initial_model_settings: RealtimeSessionModelSettings
    playback_tracker: Player
    """Plays the audio and knows the heard position; else a clock that assumes undisturbed playback."""
    call_id: str
    """Attach to a SIP call that the server already holds."""
    conversation: Callable[[], Sequence[RealtimeItem]]
    """Returns the conversation so far, for a new server session after one was lost; a session returns its history."""
    transport: Any
    """A coroutine function `(url, headers) -> Connection` that opens the connection, in place of a WebSocket."""
    sources: Sources
    """Where the model's ids and its jitter come from; else the operating system's."""
    tap: Callable[[Connection], Connection]
    """Wraps each connection when it has been opened, to record what crosses it."""
    on_refused: Callable[[Exception], None]
    """Called with the error of each connection that could not be opened, to record it."""


class RealtimeModelListener(ABC):
    """Receives the events that a model emits."""

    @abstractmethod
    async def on_event(self, event: RealtimeModelEvent) -> None:
        """Called with each event, in order."""

    def on_event_now(self, event: RealtimeModelEvent) -> bool:
        """Take the event in the same step, without awaiting; return whether it was taken. A listener without this
        method gets every event through `on_event`."""
        return False


class RealtimeModel(ABC):
    """A speech model at the other end of some transport."""

    capabilities: ModelCapabilities = ModelCapabilities()

    emit_raw: bool = True
    """Emit `raw_server_event` for every message of the server. A model may save work where this is off."""

    @abstractmethod
    async def connect(self, options: RealtimeModelConfig) -> None:
        """Open the connection; return when the model has accepted its configuration."""

    @abstractmethod
    def add_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    def remove_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """Send one input to the model."""

    def send_event_now(self, event: RealtimeModelSendEvent) -> bool:
        """Send in the same step, without awaiting; return whether it was sent. A model without this method gets every
        input through `send_event`, in order."""
        return False

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Send one input if `send_if()` holds at the moment at which the input is sent; return whether it was sent.

        Nothing happens between the condition and `send_event_now`. A model that does not override `send_event_now`
        sends nothing here, because `send_event` may wait, and the condition may be over by then.
        """
        return send_if() and self.send_event_now(event)

    @abstractmethod
    async def close(self) -> None:
        """Close the connection. Idempotent."""
