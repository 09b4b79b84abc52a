"""Keeps one conversation with the server over several connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .. import model_inputs as sent
from ..bounded_queue import BoundedQueue
from ..connection import Close, Connection
from ..deadline_timer import DeadlineTimer
from ..errors import ConnectionLost, RealtimeCoreError, SessionExpired
from ..items import RealtimeItem
from ..model_events import (
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
)
from .recovery import RecentAudio, ReconnectPolicy, is_recoverable, is_worth_retrying, replayed, summary
from .server_session import ServerSession, SessionPorts
from .session_config import SessionConfig
from .session_object import bytes_per_ms
from .websocket import Link, open_link

__all__ = ["ReconnectingTransport"]

_logger = logging.getLogger(__name__)

_STALLED_BYTES = 2**18
"""The number of unsent bytes above which a socket is stalled. Newer audio then waits in the backlog, which drops the
oldest audio.
"""
_OUTBOX = 256
_POLL_S = 0.25
_ROLLOVER_AGAIN_S = 10.0
_BEFORE_SPEECH_S = 1.0
"""The length in seconds of the audio before the reported start of speech that belongs to a turn."""

_AT_ONCE = (
    sent.RealtimeModelSendInterrupt,
    sent.RealtimeModelSendSessionUpdate,
    sent.RealtimeModelSendResponseCancel,
    sent.RealtimeModelSendPauseResponses,
)
"""The inputs that have an effect without a connection: playback stops, settings change, a response is not made."""


class ReconnectingTransport:
    """Opens connections, and replaces a connection that is lost or about to expire.

    `conversation` is a function that returns the history for a new session. With None, a new session begins without
    history. Between two sessions, the caller's audio and all other inputs wait. If `is_attached` is True, the
    connection belongs to a SIP call. The server then keeps the conversation over a lost connection, so a new connection
    does not send the history.
    """

    def __init__(
        self,
        ports: SessionPorts,
        config: SessionConfig,
        connect: Callable[[], Awaitable[Connection]],
        *,
        now: Callable[[], float],
        policy: ReconnectPolicy,
        timeout_s: float,
        conversation: Callable[[], Sequence[RealtimeItem]] | None = None,
        is_attached: bool = False,
    ) -> None:
        self.ports = ports
        self._config = config
        self._connect = connect
        self._now = now
        self._policy = policy
        self._timeout_s = timeout_s
        self._conversation = conversation
        self._is_attached = is_attached
        self._link: Link[ServerSession] | None = None
        self._ready = False
        self._closing = False
        self._attempt = 0
        self._since = 0.0
        self._outbox: BoundedQueue[sent.RealtimeModelSendEvent] = BoundedQueue(_OUTBOX)
        bytes_per_s = 1000 * bytes_per_ms(config.effective.input_format)
        self._before_speech_bytes = int(_BEFORE_SPEECH_S * bytes_per_s)
        self._backlog = RecentAudio(int(policy.gap_audio_s * bytes_per_s))
        """Audio that waits for a session."""
        self._sent_audio = RecentAudio(int(policy.gap_audio_s * bytes_per_s))
        """Audio of a turn without an answer: sent again to the next session if this one is lost."""
        self._timer = DeadlineTimer(self._on_time)
        """For everything that is due in the session."""

    @property
    def config(self) -> SessionConfig:
        return self._link.session.config if self._link else self._config

    @property
    def dropped_audio_bytes(self) -> int:
        """The number of bytes of the caller's audio that were dropped, because there was no connection or the
        connection was stalled for too long.
        """
        return self._backlog.dropped

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Opens the first session with the model's server. If this fails and another attempt may succeed, tries again
        after a pause. `tasks` runs the tasks of the connection. Raises the error of the last attempt, such as
        `ConnectFailed` or `ServerRejected`.
        """
        self.ports.emit(RealtimeModelConnectionStatusEvent("connecting"))
        give_up_at = self._now() + self._policy.first_session_s
        attempt = 0
        while self._link is None:
            try:
                self._link = await self._open(tasks)
            except RealtimeCoreError as error:
                delay_s = self._policy.delay_s(attempt, self.ports.sources.random)
                attempt += 1
                if (config := self._config.without_refused_default(error)) is not None:
                    _logger.warning(
                        "The caller's speech is not transcribed: %s Set a transcription model that the server has.",
                        error,
                    )
                    self._config = config
                    continue
                too_late = attempt > self._policy.attempts or self._now() + delay_s > give_up_at
                if too_late or not is_worth_retrying(error):
                    raise
                _logger.info("Attempt %d to reach the model failed: %s", attempt, error)
                await asyncio.sleep(delay_s)
        self._ready, self._since = True, self._now()
        self.ports.emit(RealtimeModelConnectionStatusEvent("connected"))

    async def stay(self, tasks: asyncio.TaskGroup) -> None:
        """Waits until the conversation ends. When the session with the server is lost or about to expire, opens a new
        session that continues the conversation. `tasks` runs the tasks of the connections.

        Raises `ConnectionLost` or `SessionExpired` if a session ended and was not replaced. Raises `ServerRejected` or
        `UserError` if the server refuses a new session.
        """
        while True:
            assert self._link is not None
            close = await self._watch(self._link, tasks)
            if self._closing:
                return
            session = self._link.session
            if not (session.expired or is_recoverable(close)) or not self._policy.attempts:
                self._end_session(session, close)
                self._disconnected(session, close)
                if session.expired:
                    raise SessionExpired("The session reached the server's maximum length.", code="session_expired")
                if close.code != 1000:
                    raise ConnectionLost(close)
                self.ports.emit(RealtimeModelEndOfStreamEvent())
                return
            await self._reconnect(close, tasks)

    def send(self, event: sent.RealtimeModelSendEvent) -> None:
        """Sends an input, or stores it until there is a session. The caller's audio also waits while the socket is
        stalled.
        """
        link = self._link
        assert link is not None
        if not isinstance(event, sent.RealtimeModelSendAudio):
            self._send_other(link.session, sent.as_sent(event))
            return
        if not self._ready or (link.connection.buffered_bytes > _STALLED_BYTES and not event.commit):
            self._backlog.put(event.audio)
            if event.commit:
                self._keep(sent.RealtimeModelSendAudio(b"", commit=True))
            return
        if self._backlog.size:
            for audio in self._backlog.take():
                link.session.append(audio)
        if event.commit:
            link.session.send(event, self._now())
        elif event.audio:
            link.session.append(event.audio)
        if not self._is_attached:
            self._sent_audio.put(event.audio, event.ulaw)
            if not link.session.turn_is_open(self._now()):
                self._sent_audio.keep_last(self._before_speech_bytes)

    def _send_other(self, session: ServerSession, event: sent.RealtimeModelSendEvent) -> None:
        if self._ready or isinstance(event, _AT_ONCE):
            session.send(event, self._now())
            self._set_timer()
        else:
            self._keep(event)

    def _keep(self, event: sent.RealtimeModelSendEvent) -> None:
        """Stores an input for the next session."""
        if not self._outbox.put(event):
            _logger.warning(
                "A %s is dropped, because there was no connection to the model for too long.", type(event).__name__
            )

    def close(self) -> None:
        self._closing = True
        self._timer.cancel()
        if self._link is not None:
            self._link.connection.close()

    def pause(self, paused: bool) -> None:
        """Stops reading messages from the server if `paused` is True, and continues otherwise."""
        if self._link is not None:
            (self._link.connection.pause if paused else self._link.connection.resume)()

    # Connections.

    async def _open(self, tasks: asyncio.TaskGroup) -> Link[ServerSession]:
        def begin(connection: Connection) -> ServerSession:
            # A failed attempt changes its configuration, so each attempt gets a new configuration.
            self._config = self._config.again() if self._link is None else self._link.session.config.renewed()
            return ServerSession(connection.send, self.ports, self._config)

        return await open_link(self._connect, begin, self._receive, tasks, self._timeout_s)

    def _receive(self, session: ServerSession, message: str | bytes) -> None:
        if not (session.ended or session.unusable):
            session.receive(message, self._now())
            self._set_timer()

    async def _reconnect(self, close: Close, tasks: asyncio.TaskGroup) -> None:
        """Replaces a lost session, or raises an exception."""
        assert self._link is not None
        lost = self._link.session
        self._ready = False
        self._end_session(lost, close, continues=True)
        self.ports.emit(RealtimeModelConnectionStatusEvent("reconnecting", close=close))
        failure: RealtimeCoreError = ConnectionLost(close)
        if self._now() - self._since >= self._policy.settled_after_s:
            self._attempt = 0
        while self._attempt < self._policy.attempts:
            await asyncio.sleep(self._policy.delay_s(self._attempt, self.ports.sources.random))
            self._attempt += 1
            try:
                link = await self._open(tasks)
            except RealtimeCoreError as error:
                failure = error
                if not is_worth_retrying(error):
                    break
                _logger.info("Attempt %d to reach the model again failed: %s", self._attempt, error)
            else:
                self._take_over(link)
                return
        self._disconnected(lost, close)
        raise failure

    def _disconnected(self, session: ServerSession, close: Close) -> None:
        """Handles the end of the conversation. The server will not answer the pending updates."""
        self.ports.emit(RealtimeModelConnectionStatusEvent("disconnected", close=close))
        for change in session.config.unanswered:
            change.settle(ConnectionLost(close))

    def _end_session(self, session: ServerSession, close: Close | None = None, *, continues: bool = False) -> None:
        session.end(self._now(), close, continues=continues)
        self._set_timer()

    def _take_over(self, link: Link[ServerSession]) -> None:
        """Lets the new session continue the conversation of the old session."""
        assert self._link is not None
        old, new = self._link.session, link.session
        self._link, self._ready, self._since = link, True, self._now()
        now = self._now()
        items, text = ([], None) if self._is_attached else self._memory()
        new.succeed(
            old,
            now,
            knows_calls=self._is_attached,
            items=items,
            summary=text,
            turn_audio=self._sent_audio.take() if old.turn_is_open(now) else (),
            later_audio=self._backlog.take(),
        )
        for event in self._outbox.take():
            new.send(event, now)
        self._set_timer()
        self.ports.emit(RealtimeModelConnectionStatusEvent("connected"))

    def _memory(self) -> tuple[Sequence[dict[str, Any]], str | None]:
        """Returns the conversation so far, for a new session: as items, or as one text."""
        items = self._conversation() if self._conversation else ()
        if self._policy.memory == "items":
            return replayed(items, self._policy.max_chars), None
        return (), summary(items, self._policy.max_chars)

    # Time.

    async def _watch(self, link: Link[ServerSession], tasks: asyncio.TaskGroup) -> Close:
        """Waits for the end of the connection. Replaces a session that is about to expire, during a pause of the
        conversation.
        """
        loop = asyncio.get_running_loop()
        due = self._rollover_at(link.session)
        quiet = 0
        while True:
            timeout = None if due is None else max(due - loop.time(), _POLL_S)
            done, _ = await asyncio.wait((link.run,), timeout=timeout)
            if done:
                return link.run.result()
            if due is None or loop.time() < due:
                continue
            quiet = quiet + 1 if link.session.at_rest(loop.time()) else 0
            if quiet < 2:
                continue
            try:
                successor = await self._open(tasks)
            except RealtimeCoreError as error:
                _logger.warning("No new session could replace the session before its end: %s", error)
                due = loop.time() + _ROLLOVER_AGAIN_S
                continue
            if link.run.done() or not link.session.at_rest(loop.time()):
                successor.session.discard()  # the conversation has continued meanwhile
                successor.connection.close()
                quiet = 0
                continue
            self.ports.emit(RealtimeModelConnectionStatusEvent("reconnecting"))
            self._end_session(link.session)
            self._take_over(successor)
            link.connection.close()
            link = successor
            due = self._rollover_at(link.session)
            quiet = 0

    def _rollover_at(self, session: ServerSession) -> float | None:
        """Returns when to start to look for a pause, on the loop's clock. Returns None if the expiry time of the server
        is in the past.
        """
        if session.expires_at is None or not self._policy.attempts:
            return None
        left_s = session.expires_at - self.ports.sources.now().timestamp()
        if left_s <= 0:
            return None
        return self._now() + max(left_s - self._policy.rollover_margin_s, left_s / 2)

    def _set_timer(self) -> None:
        link = self._link
        self._timer.set(link.session.deadline if link and not link.session.ended and not self._closing else None)

    def _on_time(self, now: float) -> None:
        if self._link is not None and not self._link.session.ended:
            self._link.session.on_time(now)
            self._set_timer()
