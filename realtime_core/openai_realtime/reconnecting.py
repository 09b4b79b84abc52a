"""A transport that keeps one conversation over several connections."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from .. import model_inputs as sent
from ..connection import Close, Connection
from ..errors import ConnectionLost, RealtimeCoreError, ServerRejected, SessionExpired
from ..items import RealtimeItem
from ..model_events import (
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelResponseFailedEvent,
    RealtimeModelSpeechStoppedEvent,
    RealtimeModelTurnEndedEvent,
)
from .dialogue import Dialogue, Setup
from .hosted_tools import abandon
from .outgoing import send
from .recovery import AudioBacklog, ReconnectPolicy, is_recoverable, is_worth_retrying, replayed, summary
from .session_config import SessionConfig, bytes_per_ms
from .websocket import Link, open_link

__all__ = ["ReconnectingTransport"]

_logger = logging.getLogger(__name__)

_STALLED_BYTES = 2**18
"""So much unsent, and the socket is taken to be stalled: newer audio waits where the oldest can be dropped."""
_OUTBOX = 256
_POLL_S = 0.25
_ROLLOVER_AGAIN_S = 10.0
_BEFORE_SPEECH_S = 1.0
"""Of the time before the server notices that the caller speaks, so much belongs to the turn."""

_AT_ONCE = (
    sent.RealtimeModelSendInterrupt,
    sent.RealtimeModelSendSessionUpdate,
    sent.RealtimeModelSendResponseCancel,
)
"""What has its effect without a connection, too: playback stops, settings are desired, nothing is being made."""


class ReconnectingTransport:
    """Opens connections, and replaces one that is lost or about to expire.

    `conversation` returns what was said so far, for the new session; without it a new session knows nothing. Between
    two sessions the caller's audio and all that is sent wait. `is_attached`: the server holds the call itself, and with
    it the conversation.
    """

    def __init__(
        self,
        setup: Setup,
        new_config: Callable[[], SessionConfig],
        connect: Callable[[], Awaitable[Connection]],
        *,
        policy: ReconnectPolicy,
        timeout_s: float,
        conversation: Callable[[], Sequence[RealtimeItem]] | None = None,
        is_attached: bool = False,
        plainer_config: Callable[[], SessionConfig] | None = None,
    ) -> None:
        self.setup = setup
        self._new_config = new_config
        self._plainer_config = plainer_config
        """The configuration without the transcription model that we have chosen; None where the user has chosen it."""
        self._config = new_config()
        self._connect = connect
        self._policy = policy
        self._timeout_s = timeout_s
        self._conversation = conversation
        self._is_attached = is_attached
        self._link: Link | None = None
        self._ready = False
        self._closing = False
        self._attempt = 0
        self._since = 0.0
        self._outbox: deque[sent.RealtimeModelSendEvent] = deque()
        self._bytes_per_s = 1000 * bytes_per_ms(self._config.effective.input_format)
        self._backlog = AudioBacklog(int(policy.gap_audio_s * self._bytes_per_s))
        self._said = AudioBacklog(int(policy.gap_audio_s * self._bytes_per_s))
        """What was sent of a turn that is not answered: said again to the next session if this one is lost."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None

    @property
    def config(self) -> SessionConfig:
        return self._link.dialogue.config if self._link else self._config

    @property
    def dropped_audio_bytes(self) -> int:
        """Of the caller's audio, because the connection was away or stalled for too long."""
        return self._backlog.dropped_bytes

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Open the first session, and try again for a while where that may help. Raises what `open_link` raises."""
        self.setup.emit(RealtimeModelConnectionStatusEvent("connecting"))
        give_up_at = self.setup.now() + self._policy.first_session_s
        attempt = 0
        while self._link is None:
            try:
                self._link = await self._open(tasks)
            except RealtimeCoreError as error:
                delay_s = self._policy.delay_s(attempt, self.setup.sources.random)
                attempt += 1
                if self._refuses_transcription(error):
                    continue
                too_late = attempt > self._policy.attempts or self.setup.now() + delay_s > give_up_at
                if too_late or not is_worth_retrying(error):
                    raise
                _logger.info("Attempt %d to reach the model failed: %s", attempt, error)
                await asyncio.sleep(delay_s)
        self._ready, self._since = True, self.setup.now()
        self.setup.emit(RealtimeModelConnectionStatusEvent("connected"))

    def _refuses_transcription(self, error: RealtimeCoreError) -> bool:
        """The server does not know the transcription model that we have chosen. The session begins without it."""
        plainer, self._plainer_config = self._plainer_config, None
        is_refused = isinstance(error, ServerRejected) and error.param.startswith("session.audio.input.transcription")
        if plainer is None or not is_refused:
            return False
        _logger.warning("What callers say is not transcribed: %s Set a transcription model that the server has.", error)
        self._new_config = plainer
        return True

    async def stay(self, tasks: asyncio.TaskGroup) -> None:
        """Stay until the conversation has ended. Raises `ConnectionLost` or `SessionExpired` where it was not meant to
        end and cannot go on, and `ServerRejected` or `UserError` where a new session is refused."""
        while True:
            assert self._link is not None
            close = await self._watch(self._link, tasks)
            if self._closing:
                return
            dialogue = self._link.dialogue
            if not (dialogue.expired or is_recoverable(close)) or not self._policy.attempts:
                self._retire(dialogue, close)
                self._end(dialogue, close)
                if dialogue.expired:
                    raise SessionExpired("The session reached the server's maximum length.", code="session_expired")
                if close.code != 1000:
                    raise ConnectionLost(close)
                self.setup.emit(RealtimeModelEndOfStreamEvent())
                return
            await self._reconnect(close, tasks)

    def send(self, event: sent.RealtimeModelSendEvent) -> None:
        """Send it, or keep it until there is a session again."""
        assert self._link is not None
        if isinstance(event, sent.RealtimeModelSendAudio):
            self._send_audio(event)
        elif self._ready or isinstance(event, _AT_ONCE):
            send(self._link.dialogue, event)
            self._set_timer()
        elif len(self._outbox) < _OUTBOX:
            self._outbox.append(event)
        else:
            _logger.warning("The model has been away for long: a %s is dropped.", type(event).__name__)

    def close(self) -> None:
        self._closing = True
        self._cancel_timer()
        if self._link is not None:
            self._link.connection.close()

    def pause(self, paused: bool) -> None:
        """Stop taking messages from the server, or go on."""
        if self._link is not None:
            (self._link.connection.pause if paused else self._link.connection.resume)()

    def _send_audio(self, event: sent.RealtimeModelSendAudio) -> None:
        assert self._link is not None
        if not self._ready or (self._link.connection.buffered_bytes > _STALLED_BYTES and not event.commit):
            self._backlog.add(event.audio)
            if event.commit:
                self._outbox.append(sent.RealtimeModelSendAudio(b"", commit=True))
            return
        if self._backlog:
            for audio in self._backlog.take():
                self._link.dialogue.append(audio)
        send(self._link.dialogue, event)
        if not self._is_attached:
            self._said.add(event.audio)
            if not self._link.dialogue.turn_is_open:
                self._said.keep(int(_BEFORE_SPEECH_S * self._bytes_per_s))

    # Connections.

    async def _open(self, tasks: asyncio.TaskGroup) -> Link:
        def begin(connection: Connection) -> Dialogue:
            if self._link is None:
                self._config = self._new_config()  # a failed attempt has left its mark on the one before
            else:
                self._config = self._link.dialogue.config.renewed()
            return Dialogue(connection, self.setup, self._config)

        return await open_link(self._connect, begin, self._receive, tasks, self._timeout_s)

    def _receive(self, dialogue: Dialogue, message: str | bytes) -> None:
        if not dialogue.retired:
            dialogue.receive(message)
            self._set_timer()

    async def _reconnect(self, close: Close, tasks: asyncio.TaskGroup) -> None:
        """Replace a session that is lost, or raise."""
        assert self._link is not None
        lost = self._link.dialogue
        self._ready = False
        self._retire(lost, close, goes_on=True)
        self.setup.emit(RealtimeModelConnectionStatusEvent("reconnecting", close=close))
        failure: RealtimeCoreError = ConnectionLost(close)
        if self.setup.now() - self._since >= self._policy.settled_after_s:
            self._attempt = 0
        while self._attempt < self._policy.attempts:
            await asyncio.sleep(self._policy.delay_s(self._attempt, self.setup.sources.random))
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
        self._end(lost, close)
        raise failure

    def _end(self, dialogue: Dialogue, close: Close) -> None:
        """The conversation is over: what the server was asked for is never answered."""
        self.setup.emit(RealtimeModelConnectionStatusEvent("disconnected", close=close))
        for change in dialogue.config.unanswered:
            change.settle(ConnectionLost(close))

    def _retire(self, dialogue: Dialogue, close: Close | None = None, *, goes_on: bool = False) -> None:
        """The server session is over, and with it what was open in it: the caller's turn and the agent's response.
        `close` is None where another session takes its place in a pause of the talk."""
        dialogue.retired = True
        abandon(dialogue)
        self.setup.policy.reset()
        self.setup.player.release()
        self._set_timer()
        if dialogue.caller_speaks:
            self.setup.emit(RealtimeModelSpeechStoppedEvent(*dialogue.speech_began))
        active_id = dialogue.responses.active_id
        for response_id in dict.fromkeys((*dialogue.open_parts.values(), active_id)):
            if response_id is not None:
                dialogue.finish(response_id)
        if active_id is not None:
            again = goes_on and bool(dialogue.responses.unanswered(self.setup.now()))
            self.setup.emit(
                RealtimeModelTurnEndedEvent(response_id=active_id, status="failed", reason="connection_lost")
            )
            self.setup.emit(RealtimeModelResponseFailedEvent(active_id, "failed", "connection_lost", retrying=again))
        is_cut = active_id is not None and not goes_on
        if close is not None and (is_cut or dialogue.commits_by_hand):  # an answer that is expected does not come
            self.setup.emit(RealtimeModelErrorEvent(ConnectionLost(close)))

    def _take_over(self, link: Link) -> None:
        """The new session goes on where the old one ended."""
        assert self._link is not None
        old, new = self._link.dialogue, link.dialogue
        self._link, self._ready, self._since = link, True, self.setup.now()
        new.succeed(old, knows_calls=self._is_attached)
        new.update_session()
        if not self._is_attached:
            self._tell(new)
        for item in old.unacknowledged.values():
            if item["type"] == "message" and item["id"] not in old.hidden_items:
                new.create_item(item)
        said = self._said.take() if old.turn_is_open else []
        for audio in (*said, *self._backlog.take()):
            new.append(audio)
        now = self.setup.now()
        if said:  # it should be taken as a turn once more, and answered as such: what is asked for below waits for that
            new.perform(new.responses.speech_stopped(now))
        for options in old.responses.unanswered(now):
            new.perform(new.responses.request(now, options))
        for _ in range(len(self._outbox)):
            send(new, self._outbox.popleft())
        self._set_timer()
        self.setup.emit(RealtimeModelConnectionStatusEvent("connected"))

    def _tell(self, dialogue: Dialogue) -> None:
        """Tell the new session what was said so far. That asks for no response."""
        items = self._conversation() if self._conversation else ()
        if self._policy.memory == "items":
            for item in replayed(items, self._policy.max_chars):
                dialogue.create_item(item, hidden=True)
                dialogue.foreign_calls.discard(item.get("call_id", ""))
        elif (text := summary(items, self._policy.max_chars)) is not None:
            dialogue.create_note(text)

    # Time.

    async def _watch(self, link: Link, tasks: asyncio.TaskGroup) -> Close:
        """Wait for the connection's end; before the session expires, replace it in a pause of the talk."""
        loop = asyncio.get_running_loop()
        due = self._rollover_at(link.dialogue)
        quiet = 0
        while True:
            timeout = None if due is None else max(due - loop.time(), _POLL_S)
            done, _ = await asyncio.wait((link.run,), timeout=timeout)
            if done:
                return link.run.result()
            if due is None or loop.time() < due:
                continue
            quiet = quiet + 1 if link.dialogue.at_rest else 0
            if quiet < 2:
                continue
            try:
                successor = await self._open(tasks)
            except RealtimeCoreError as error:
                _logger.warning("The session could not be renewed before its end: %s", error)
                due = loop.time() + _ROLLOVER_AGAIN_S
                continue
            if link.run.done() or not link.dialogue.at_rest:
                successor.dialogue.retired = True  # the talk went on meanwhile
                successor.connection.close()
                quiet = 0
                continue
            self.setup.emit(RealtimeModelConnectionStatusEvent("reconnecting"))
            self._retire(link.dialogue)
            self._take_over(successor)
            link.connection.close()
            link = successor
            due = self._rollover_at(link.dialogue)
            quiet = 0

    def _rollover_at(self, dialogue: Dialogue) -> float | None:
        """When to begin to look for a pause, on the loop's clock. A server whose clock is off is not believed."""
        if dialogue.expires_at is None or not self._policy.attempts:
            return None
        left_s = dialogue.expires_at - self.setup.sources.now().timestamp()
        if left_s <= 0:
            return None
        return self.setup.now() + max(left_s - self._policy.rollover_margin_s, left_s / 2)

    def _set_timer(self) -> None:
        """One timer for all that is due in the dialogue."""
        link = self._link
        at = link.dialogue.deadline if link and not link.dialogue.retired and not self._closing else None
        if at == self._timer_at:
            return
        self._cancel_timer()
        if at is not None:
            self._timer_at = at
            self._timer = asyncio.get_running_loop().call_at(at, self._on_time)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None

    def _on_time(self) -> None:
        self._timer = self._timer_at = None
        if self._link is not None and not self._link.dialogue.retired:
            self._link.dialogue.on_time()
            self._set_timer()
