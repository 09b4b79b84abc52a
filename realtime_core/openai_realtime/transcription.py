"""A transcription session of the OpenAI Realtime API over a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..connection import Connection
from ..errors import ConnectFailed, ConnectionLost, RealtimeCoreError, SessionExpired
from ..model_events import RealtimeModelInputAudioTranscriptionCompletedEvent
from ..transcription import OnDelta, TranscriptionSession
from .server_transcription import Outcome, ServerTranscription
from .websocket import Link, open_link

__all__ = ["OpenAITranscriptionSession"]

_logger = logging.getLogger(__name__)

_CLOSE_S = 0.9
_STALLED_BYTES = 2**18
"""The number of unsent bytes above which audio is dropped, because the server does not read it."""


class OpenAITranscriptionSession(TranscriptionSession):
    """A transcription session on a connection of its own. `connect` opens the connection. `transcription` has the
    settings `audio.input.transcription`. `open` must be called first, and once.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        transcription: Mapping[str, Any],
        *,
        timeout_s: float,
        on_delta: OnDelta | None = None,
    ) -> None:
        self._connect = connect
        self._transcription = transcription
        self._timeout_s = timeout_s
        self._on_delta = on_delta or _ignore
        self._link: Link[ServerTranscription] | None = None
        self._live: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[RealtimeModelInputAudioTranscriptionCompletedEvent]] = {}

    async def open(self) -> None:
        """Opens the connection. Returns when the server has accepted the settings. If this fails, nothing is left open.

        Raises `ConnectFailed`, or `ServerRejected` with the server's message.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._live = asyncio.create_task(self._run(ready), name="transcription session")
        try:
            await ready
        except BaseException:
            await self.close()
            raise

    @property
    def is_open(self) -> bool:
        return self._link is not None and not self._link.run.done()

    def append(self, audio: bytes) -> bool:
        link = self._link
        if link is None or not self.is_open or link.connection.buffered_bytes > _STALLED_BYTES:
            return False
        link.session.append(audio)
        return True

    def commit(self) -> asyncio.Future[RealtimeModelInputAudioTranscriptionCompletedEvent]:
        future: asyncio.Future[RealtimeModelInputAudioTranscriptionCompletedEvent]
        future = asyncio.get_running_loop().create_future()
        if self._link is None or not self.is_open:
            future.set_exception(ConnectFailed("The transcription session is not open."))
        else:
            self._pending[self._link.session.commit()] = future
        return future

    async def close(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        if self._link is not None:
            self._link.connection.close()
            await asyncio.wait((live,), timeout=_CLOSE_S)
        live.cancel()
        await asyncio.wait((live,))

    async def _run(self, ready: asyncio.Future[None]) -> None:
        """Runs the connection until its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                link = await open_link(self._connect, self._begin, _receive, tasks, self._timeout_s)
                self._link = link
                if not ready.done():
                    ready.set_result(None)
                close = await link.run
                expired = SessionExpired("The session reached the server's maximum length.", code="session_expired")
                link.session.end(expired if link.session.expired else ConnectionLost(close))
        except BaseExceptionGroup as group:
            error = group.exceptions[0]
            if not ready.done():
                ready.set_exception(error)
            else:
                _logger.warning("A transcription session failed: %s", error, exc_info=error)
        finally:
            if self._link is not None:
                self._link.session.end(ConnectFailed("The transcription session was closed."))
            if not ready.done():
                ready.set_exception(ConnectFailed("The transcription session was closed while it was connecting."))

    def _begin(self, connection: Connection) -> ServerTranscription:
        return ServerTranscription(connection.send, self._transcription, settle=self._settle, on_delta=self._on_delta)

    def _settle(self, turn: int, outcome: Outcome) -> None:
        future = self._pending.pop(turn, None)
        if future is None or future.done():
            return
        if isinstance(outcome, RealtimeCoreError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _receive(session: ServerTranscription, message: str | bytes) -> None:
    session.receive(message)


def _ignore(item_id: str, delta: str) -> None:
    pass
