"""The interface between a session and a speech model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from .capabilities import ModelCapabilities
from .done import DONE, Done, is_done, withdraw
from .errors import UserError
from .playback_tracker import ForeignTracker, RealtimePlaybackState, RealtimePlaybackTracker

if TYPE_CHECKING:
    from .config import RealtimeSessionModelSettings
    from .connection import Connection
    from .items import RealtimeItem
    from .model_events import RealtimeModelEvent
    from .model_inputs import RealtimeModelSendEvent
    from .playback import Player
    from .sources import Sources
    from .transcription import OnDelta, TranscriptionSession

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
    """The configuration of the connection to the model."""

    api_key: str | Callable[[], str | Awaitable[str]]
    """The API key, or a plain or async function that returns it. Default: `OPENAI_API_KEY`."""
    url: str
    """The full WebSocket URL. This key overrides `OPENAI_BASE_URL`, the model name and `call_id`."""
    base_url: str
    """The base URL of a compatible server (`https://host/v1`; http, ws or wss). Default: `OPENAI_BASE_URL`, or OpenAI's
    URL.
    """
    headers: dict[str, str]
    """The headers of the connection, used unchanged. With this key, no `Authorization` header is made from the API key:
    add it here if the server needs it.
    """
    safety_identifier: str
    """A stable identifier of the end user that does not reveal the user's identity, with at most 512 printable ASCII
    characters. It is sent in the header `OpenAI-Safety-Identifier`, also if `headers` is set. Source:
    https://developers.openai.com/api/docs/guides/realtime-websocket
    """
    initial_model_settings: RealtimeSessionModelSettings
    player: Player
    """The object that plays the agent's audio. It reports the heard position: how much of the audio the caller has
    heard. The default plays nothing, and assumes that the caller hears all audio without delay from its arrival.
    """
    playback_tracker: Player
    """The object that plays the agent's audio, under the name that this key has in the OpenAI Agents SDK, usually a
    `RealtimePlaybackTracker`. If `player` is also set, `player` is used.
    """
    call_id: str
    """The id of a SIP call that the model's server has already accepted. The session then controls this call."""
    conversation: Callable[[], Sequence[RealtimeItem]]
    """A function that returns the conversation so far, for the server session that replaces a lost session. A session
    sets this key to a function that returns its history.
    """
    transport: Any
    """An async function `(url, headers) -> Connection` that opens the connection in place of a WebSocket."""
    sources: Sources
    """The source of ids and of the random part of waiting times. Default: the operating system."""
    tap: Callable[[Connection], Connection]
    """A function that wraps each opened connection, for example to record its messages."""
    on_refused: Callable[[Exception], None]
    """A function that is called with the exception of each failed connection attempt, for example to record it."""


def player_of(options: RealtimeModelConfig) -> Player | None:
    """Returns the player of a model configuration, from the key `player` or `playback_tracker`. Returns None if neither
    key is set. A playback tracker that is not a `Player`, such as a tracker of the OpenAI Agents SDK, is wrapped in a
    `ForeignTracker`. Raises `UserError` for an object that is neither.
    """
    player: Any = options.get("player") or options.get("playback_tracker")
    if player is None or hasattr(player, "heard"):
        return cast("Player | None", player)
    if not hasattr(player, "get_state"):
        raise UserError(f"{player!r} is no player: give a RealtimePlaybackTracker as playback_tracker.")
    return ForeignTracker(player)


class RealtimeModelListener(ABC):
    """Receives the events of a model."""

    @abstractmethod
    def on_event(self, event: RealtimeModelEvent) -> Coroutine[Any, Any, None]:
        """Handles an event. The events arrive in order.

        A listener that must wait uses `async def`, and the model awaits the listener before the next event. A listener
        that does not wait handles the event during the call and returns `DONE`.
        """


class RealtimeModel(ABC):
    """The interface of a speech model to which a session is connected. A subclass decides how the model is reached, for
    example by a WebSocket.
    """

    capabilities: ModelCapabilities = ModelCapabilities()

    emit_raw: bool = True
    """Whether the model emits `raw_server_event` for every message of the server. A model can save work if this is
    False.
    """

    @abstractmethod
    async def connect(self, options: RealtimeModelConfig) -> None:
        """Opens the connection. Returns when the model has accepted its configuration."""

    @abstractmethod
    def add_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    def remove_listener(self, listener: RealtimeModelListener) -> None: ...

    @abstractmethod
    def send_event(self, event: RealtimeModelSendEvent) -> Coroutine[Any, Any, None]:
        """Sends one input to the model. A model that must wait uses `async def`, and the session awaits the model
        before the next input. A model that does not wait sends the input during the call and returns `DONE`.
        """

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Sends the input `event` if the function `send_if()` returns True at the moment of sending. Returns whether
        the input was sent.

        No other code runs between the condition and `send_event`. If `send_event` of a model is `async def`, nothing is
        sent, because the model may wait, and the condition could become False during the wait.
        """
        if not send_if():
            return False
        sending = self.send_event(event)
        if not is_done(sending):
            if withdraw(sending):
                return False
            await sending
        return True

    async def transcription_session(self, on_delta: OnDelta | None = None) -> TranscriptionSession:
        """Opens a session that only transcribes speech, beside the conversation. The session uses the address, the key
        and the transcription settings of the last `connect`. `on_delta` is called with each piece of a transcript, as
        (item id, text). With None, there are only whole transcripts.

        Raises:
            UserError: the model offers no transcription session (see `ModelCapabilities.transcribes`), the model was
                not connected, or the transcription is switched off.
            ConnectFailed: the connection could not be opened.
            ServerRejected: the server refused the settings.
        """
        raise UserError("This model offers no transcription session.")

    @abstractmethod
    async def close(self) -> None:
        """Closes the connection. Idempotent."""
