"""The model for the OpenAI Realtime API over a WebSocket."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from ..capabilities import ModelCapabilities
from ..connection import Connection
from ..done import DONE
from ..errors import ConnectFailed, UserError
from ..model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener, player_of
from ..model_events import RealtimeModelEvent, RealtimeModelExceptionEvent
from ..model_inputs import RealtimeModelSendEvent
from ..playback import ClockPlayer
from ..response_outcome import RetryPolicy
from ..sources import SYSTEM, Sources
from ..transcription import OnDelta, TranscriptionSession
from ..turn_policy import ServerTurns, TurnPolicy
from .defaults import DEFAULT_MODEL
from .endpoint import resolve_endpoint, resolve_transcription_endpoint
from .listeners import Listeners
from .reconnecting import ReconnectingTransport
from .recovery import ReconnectPolicy
from .server_session import SessionPorts
from .session_config import EffectiveSettings, SessionConfig
from .transcription import OpenAITranscriptionSession
from .websocket import Transport, TransportConfig, websocket_transport

__all__ = ["OpenAIRealtimeWebSocketModel"]

_logger = logging.getLogger(__name__)

_CLOSE_S = 0.9


class OpenAIRealtimeWebSocketModel(RealtimeModel):
    """A session with a server of the OpenAI Realtime protocol (GA, and the event names of the beta).

    A server event is decoded, handled and emitted in the step of the event loop in which it arrives, without awaiting.
    `send_event` writes in the same step. The model requests one response at a time (`Responses`), counts the audio that
    was heard (`PlaybackLedger` and the `player`), follows `turn_policy` for turns, and replaces a session that is lost
    or about to expire (`reconnect`). With `ReconnectPolicy(attempts=0)`, a session is never replaced.

    `transport` opens connections (default: a WebSocket with `transport_config`). `retry` is the policy for failed
    responses. If `hold_for_tools` is True, turns of the caller are answered when running tools have returned, so the
    model does not invent their results. Only one session can be open at a time. After `close` the model can be
    connected again.
    """

    capabilities = ModelCapabilities(
        drives_player=True,
        confirms_settings=True,
        truncates=True,
        cancels=True,
        decides_turns=True,
        pauses_responses=True,
        transcribes=True,
    )

    def __init__(
        self,
        *,
        transport_config: TransportConfig | None = None,
        turn_policy: TurnPolicy | None = None,
        transport: Transport | None = None,
        sources: Sources = SYSTEM,
        reconnect: ReconnectPolicy | None = None,
        retry: RetryPolicy | None = None,
        hold_for_tools: bool = True,
    ) -> None:
        self._transport_config = transport_config or {}
        self._turn_policy = turn_policy or ServerTurns()
        self._open = transport
        self._sources = sources
        self._reconnect = reconnect or ReconnectPolicy()
        self._retry = retry
        self._hold_for_tools = hold_for_tools
        self._listeners = Listeners(self._pause)
        self._emit_raw = True
        self._transport: ReconnectingTransport | None = None
        self._live: asyncio.Task[None] | None = None
        self._ready = False
        self._options: RealtimeModelConfig | None = None
        """The options of the last `connect`."""

    @property
    def emit_raw(self) -> bool:
        """Whether to emit `raw_server_event` for every frame (the default). If False, audio is decoded without parsing
        the frame as JSON.
        """
        return self._emit_raw

    @emit_raw.setter
    def emit_raw(self, value: bool) -> None:
        self._emit_raw = value
        if self._transport is not None:
            self._transport.ports.emit_raw = value

    @property
    def effective(self) -> EffectiveSettings | None:
        """The settings in effect, as the server reports them: the audio formats, and whether the server answers and
        interrupts. None before `connect`.
        """
        return self._transport.config.effective if self._transport else None

    @property
    def ignored_errors(self) -> Counter[str]:
        """The number of errors of the server that no event reports, by code. These errors are harmless, or are caused
        by this package.
        """
        return self._transport.ports.ignored_errors if self._transport else Counter()

    def add_listener(self, listener: RealtimeModelListener) -> None:
        self._listeners.add(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        self._listeners.remove(listener)

    async def connect(self, options: RealtimeModelConfig) -> None:
        """Opens the connection. Returns when the server has acknowledged the configuration.

        Raises `UserError` (no key, contradicting options, or already connected), `ConnectFailed`, or `ServerRejected`
        with the server's message about the configuration. In these cases no connection is left open.
        """
        if self._live is not None and not self._live.done():
            raise UserError("The model is connected already: use one model for each session.")
        self._options = options
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._live = asyncio.create_task(self._run(options, ready), name="realtime model")
        try:
            await ready
        except BaseException:
            await self.close()
            raise

    def send_event(self, event: RealtimeModelSendEvent) -> Coroutine[Any, Any, None]:
        """Sends an input in this step of the event loop. Between two sessions the input is stored.

        After the end, inputs are dropped, because an event has reported the end. Raises `UserError` before `connect`.
        """
        if not self._ready or self._transport is None:
            raise UserError("The model is not connected: call connect() first.")
        if self._live is not None:
            self._transport.send(event)
        return DONE

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Sends the input `event` if `send_if()` returns True. Returns whether the input was sent. An input that is
        stored between two sessions counts as sent. An input after the end does not count as sent.
        """
        return await super().send_event_if(event, send_if) and self._live is not None

    async def transcription_session(self, on_delta: OnDelta | None = None) -> TranscriptionSession:
        """Opens a session that only transcribes speech, on a second connection
        (`wss://.../v1/realtime?intent=transcription`). The session uses the address, the key and the transcription
        settings of the last `connect`. `on_delta` is called with each piece of a transcript, as (item id, text). The
        functions `tap` and `on_refused` of the model's configuration are not called for this connection, because they
        are for the conversation.

        Raises:
            UserError: the model is not connected, or the transcription is switched off.
            ConnectFailed: the connection could not be opened.
            ServerRejected: the server refused the settings.

        Source: https://developers.openai.com/api/docs/guides/realtime-transcription
        """
        options, transport = self._options, self._transport
        if options is None or transport is None:
            raise UserError("The model is not connected: call connect() first.")
        transcription = transport.config.transcription
        if transcription is None:
            raise UserError("The transcription is switched off: set input_audio_transcription.")
        open_transport = self._transport_of(options)

        async def connect() -> Connection:
            endpoint = await resolve_transcription_endpoint(options, os.environ)
            return await open_transport(endpoint.url, endpoint.headers)

        session = OpenAITranscriptionSession(connect, transcription, timeout_s=self._timeout_s, on_delta=on_delta)
        await session.open()
        return session

    async def close(self) -> None:
        """Closes the connection, in at most a second. No more events are emitted."""
        live, self._live = self._live, None
        if live is None:
            return
        if self._transport is not None and self._ready:
            self._transport.close()
            await asyncio.wait((live,), timeout=_CLOSE_S)
        live.cancel()
        await asyncio.wait((live,))

    async def _run(self, options: RealtimeModelConfig, ready: asyncio.Future[None]) -> None:
        """Runs connections and listeners until the end."""
        self._ready = False
        self._listeners.restart()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listeners.deliver(), name="model listeners")
                try:
                    self._transport = await self._prepare(options)
                    await self._transport.begin(tasks)
                    self._ready = True
                    if not ready.done():
                        ready.set_result(None)
                    await self._transport.stay(tasks)
                finally:
                    self._listeners.end()
        except BaseExceptionGroup as group:
            error = _first_of(group)
            if not ready.done():
                ready.set_exception(error)
            elif isinstance(error, Exception) and self._live is not None:
                self._emit(RealtimeModelExceptionEvent(error))
                await self._listeners.deliver()
        finally:
            if self._transport is not None:
                self._transport.close()
            if not ready.done():
                ready.set_exception(ConnectFailed("The model was closed while it was connecting."))

    @property
    def turn_policy(self) -> TurnPolicy:
        return self._turn_policy

    @property
    def _timeout_s(self) -> float:
        return self._transport_config.get("session_timeout", 15.0)

    def _transport_of(self, options: RealtimeModelConfig) -> Transport:
        return options.get("transport") or self._open or websocket_transport(self._transport_config)

    async def _prepare(self, options: RealtimeModelConfig) -> ReconnectingTransport:
        settings = options.get("initial_model_settings") or {}
        model_name, call_id = settings.get("model_name"), options.get("call_id")
        now = asyncio.get_running_loop().time
        tap, on_refused = options.get("tap"), options.get("on_refused")
        transport = self._transport_of(options)

        async def open_connection() -> Connection:
            endpoint = await resolve_endpoint(options, model_name, DEFAULT_MODEL, os.environ)
            try:
                connection: Connection = await transport(endpoint.url, endpoint.headers)
            except Exception as error:
                if on_refused is not None:
                    on_refused(error)
                raise
            return tap(connection) if tap is not None else connection

        self._turn_policy.reset()
        ports = SessionPorts(
            policy=self._turn_policy,
            player=player_of(options) or ClockPlayer(now),
            sources=options.get("sources") or self._sources,
            emit=self._emit,
            log=_logger,
            capabilities=self.capabilities,
            retry=self._retry,
            hold_for_tools=self._hold_for_tools,
            log_payloads=self._transport_config.get("log_payloads", False),
            emit_raw=self._emit_raw,
        )
        return ReconnectingTransport(
            ports,
            SessionConfig(settings, turns=self._turn_policy.turn_detection, defaults=not call_id),
            open_connection,
            now=now,
            policy=self._reconnect,
            timeout_s=self._timeout_s,
            conversation=options.get("conversation"),
            is_attached=bool(call_id),
        )

    def _emit(self, event: RealtimeModelEvent) -> None:
        if self._live is not None:
            self._listeners.emit(event)

    def _pause(self, paused: bool) -> None:
        if self._transport is not None:
            self._transport.pause(paused)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the first failure in a group. The other failures are mostly consequences of the first."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
