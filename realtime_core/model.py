"""The interface between a session and a speech model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from .capabilities import ModelCapabilities
from .done import DONE, Done, is_done, withdraw
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
    "DONE",
    "Done",
    "ModelCapabilities",
    "RealtimeModel",
    "RealtimeModelConfig",
    "RealtimeModelListener",
    "RealtimePlaybackState",
    "RealtimePlaybackTracker",
    "player_of",
]


class RealtimeModelConfig(TypedDict, total=False):
    """How to connect to the model. All keys are optional."""

    api_key: str | Callable[[], str | Awaitable[str]]
    """The API key, or a plain or async function that returns it. Default: `OPENAI_API_KEY`."""
    url: str
    """The full WebSocket address. It overrides `OPENAI_BASE_URL`, the model name and `call_id`."""
    base_url: str
    """The base address of a compatible server (`https://host/v1`; http, ws, wss). Default: `OPENAI_BASE_URL`, then
    OpenAI."""
    headers: dict[str, str]
    """The headers of the connection, unchanged. They replace the `Authorization` header."""
    safety_identifier: str
    """A stable identifier of the end user that does not reveal the user, at most 512 printable ASCII characters. It is
    sent in the header `OpenAI-Safety-Identifier`, together with the key or `headers`. Source:
    https://developers.openai.com/api/docs/guides/realtime-websocket
    """
    initial_model_settings: RealtimeSessionModelSettings
    player: Player
    """The player of the agent's audio, which knows the heard position. Default: a clock that assumes undisturbed
    playback."""
    playback_tracker: Player
    """The name of `player` in the OpenAI Agents SDK, for a `RealtimePlaybackTracker`. `player` comes first."""
    call_id: str
    """The id of a SIP call that the server already holds. The session attaches to this call."""
    conversation: Callable[[], Sequence[RealtimeItem]]
    """Returns the conversation so far, for the server session that replaces a lost one. A session returns its history.
    """
    transport: Any
    """An async function `(url, headers) -> Connection` that opens the connection instead of a WebSocket."""
    sources: Sources
    """The source of the model's ids and jitter. Default: the operating system."""
    tap: Callable[[Connection], Connection]
    """Wraps each opened connection, to record its messages."""
    on_refused: Callable[[Exception], None]
    """Called with the error of each connection attempt that failed, to record it."""


def player_of(options: RealtimeModelConfig) -> Player | None:
    """Returns the player of a configuration, which may have it under either name."""
    return options.get("player") or options.get("playback_tracker")


class RealtimeModelListener(ABC):
    """Receives the events of a model."""

    @abstractmethod
    def on_event(self, event: RealtimeModelEvent) -> Coroutine[Any, Any, None]:
        """Handles an event. The events come in order.

        A listener that waits is `async def`, and the model awaits it before the next event. A listener that does not
        wait handles the event in the call and returns `DONE`.
        """


class RealtimeModel(ABC):
    """A speech model behind some transport."""

    capabilities: ModelCapabilities = ModelCapabilities()

    emit_raw: bool = True
    """Whether to emit `raw_server_event` for every message of the server. A model can save work when this is off."""

    @abstractmethod
    async def connect(self, options: RealtimeModelConfig) -> None:
        """Opens the connection. Returns when the model has accepted its configuration."""

    @abstractmethod
    def add_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    def remove_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    def send_event(self, event: RealtimeModelSendEvent) -> Coroutine[Any, Any, None]:
        """Sends one input to the model. A model that waits is `async def`; the session awaits it before the next input.
        A model that does not wait sends in the call and returns `DONE`."""

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Sends one input if `send_if()` is true at the moment of sending; returns whether it was sent.

        Nothing runs between the condition and `send_event`. A model whose `send_event` is `async def` sends nothing
        here, because it may wait, and the condition could become false meanwhile.
        """
        if not send_if():
            return False
        sending = self.send_event(event)
        if not is_done(sending):
            if withdraw(sending):
                return False
            await sending
        return True

    @abstractmethod
    async def close(self) -> None:
        """Closes the connection. Idempotent."""
