"""One session with the model's server. Creates the objects that do its work, such as the agent's audio, the caller's
turns and the responses, and passes to them the server's messages, the inputs and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ... import model_events as emitted
from ...connection import Close
from ...deadlines import earliest
from ...errors import ConnectionLost, ServerRejected
from ...model_inputs import RealtimeModelSendAudio, RealtimeModelSendEvent
from ...responses import Responses
from .. import server_events as wire
from ..encoding import encode_append
from ..protocol import decode_audio, decode_object, parse
from ..server_errors import Fault, classify, exception
from ..session_config import SessionConfig
from .agent_speech import AgentSpeech
from .audio_parts import AudioParts
from .caller_turns import CallerTurns
from .client_events import ClientEvents
from .hosted_tools import HostedTools
from .item_events import ItemEvents
from .items import ConversationItems
from .known_facts import KnownFacts, RepeatedMessages
from .ports import SessionPorts
from .refusals import Refusals
from .requests import ResponseRequests
from .response_events import ResponseEvents
from .response_pause import ResponsePause
from .steps import Steps
from .tool_gate import CallerSpeech, ToolGate
from .updates import SessionUpdates
from .user_inputs import UserInputs

__all__ = ["ServerSession"]


class ServerSession:
    """One session with the model's server. It exists as long as its connection. `now` is in seconds on any steady
    clock.

    The methods take inputs, each with its time `now`. An input is handled in one step, which changes the state and
    causes effects, in order. Client events are passed to `send`. Audio, model events and the answers to requested
    settings are passed to `ports`, the objects that outlive the session. `deadline` is the time at which `on_time` must
    be called. If a listener calls these methods while it gets an event, its input is handled in the next step.
    """

    def __init__(self, send: Callable[[str], None], ports: SessionPorts, config: SessionConfig) -> None:
        emit, log, capabilities = ports.emit, ports.log, ports.capabilities
        self._ports = ports
        self._write = send
        self._ids = ports.ids
        self._emit = emit
        self._steps = steps = Steps()
        self.config = config
        self.created = False
        """`session.created` has come."""
        self.configured = False
        """The server has taken the configuration."""
        self.rejection: ServerRejected | None = None
        """The server's error where it has not taken the configuration."""
        self.expires_at: float | None = None
        """When the server ends the session, in Unix time; None where it has not announced that."""
        self.expired = False
        self.unusable = False
        """The server has changed the audio format, so its audio would be noise. Its later messages are ignored."""
        self.ended = False
        """`end` was called."""
        self._messages = RepeatedMessages()
        self._speech = CallerSpeech()
        known = KnownFacts()
        self._client = ClientEvents(send, ports.ids, log if ports.log_payloads else None)
        self.audio = AudioParts(ports.player, self._client, emit, truncates=capabilities.truncates)
        self.responses = Responses(ports.ids, retry=ports.retry)
        self.requests = ResponseRequests(self.responses, self._client, self.audio, known, emit, steps)
        self.updates = SessionUpdates(
            config, self._client, self.responses, self.audio, emit, steps, decides_turns=capabilities.decides_turns
        )
        self._pause = ResponsePause(self.requests, self.updates, steps)
        self.items = ConversationItems(self._client, self.requests, known, ports.sources, emit, ports.ignored_errors)
        self._gate = ToolGate(self._speech, self.requests, self.updates, steps, enabled=ports.hold_for_tools)
        self._turns = CallerTurns(
            ports.policy,
            self._speech,
            self.requests,
            self.audio,
            self._gate,
            self.updates,
            self.items,
            known,
            emit,
            steps,
            capabilities,
        )
        self._hosted = HostedTools(self.items, self._gate, self.requests, known, emit, steps)
        speech = AgentSpeech(self.responses, self.audio, self.items, config, known, emit)
        self._item_events = ItemEvents(
            self.items, self.requests, self._turns, speech, self._gate, self._hosted, emit, steps, log
        )
        self._response_events = ResponseEvents(
            self.requests, self.audio, self._item_events, self._hosted, known, emit, steps
        )
        self._refusals = Refusals(
            self.updates,
            self.items,
            self._turns,
            self.requests,
            self._response_events,
            known,
            ports.ignored_errors,
            emit,
            steps,
            log,
        )
        self._inputs = UserInputs(
            self._client,
            self.items,
            self.requests,
            self._response_events,
            self.audio,
            self._turns,
            self._gate,
            self._hosted,
            self.updates,
            self._pause,
            emit,
            steps,
            cancels=capabilities.cancels,
        )
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            **self._turns.handlers,
            **speech.handlers,
            **self._item_events.handlers,
            **self._response_events.handlers,
            wire.SessionCreated: self._session_created,
            wire.SessionUpdated: self._session_updated,
            wire.ServerError: self._error,
            wire.RateLimits: self._rate_limits,
            wire.Cleared: self._nothing,
            wire.Notice: self._other,
            wire.Unknown: self._other,
            wire.Malformed: self._malformed,
        }

    # Inputs.

    def receive(self, message: str | bytes, now: float) -> None:
        """Processes one JSON message that the server sent and that arrived at the time `now`: changes the state of the
        session, emits events, and sends commands that follow from the message.
        """
        self._steps.run(now, self._receive, message)

    def send(self, event: RealtimeModelSendEvent, now: float) -> None:
        """Processes an input of the user, such as audio, a text or a change of settings, and sends the resulting
        commands to the server. Raises `UserError` for an object that is not an input of a model.

        If the session is processing another input or message, this input waits until that is complete. An error in the
        values of such an input is not raised, but reported with an `error` event.
        """
        if isinstance(event, RealtimeModelSendAudio) and event.audio:
            self.append(event.audio)
        handle = self._inputs.handler(event)
        if self._steps.running:
            self._steps.run(now, self._send_late, handle, event)
        else:
            self._steps.run(now, handle, event)

    def append(self, audio: bytes) -> None:
        """Appends the caller's audio, in the input format of the session, to the server's input buffer."""
        text = encode_append(audio)
        if self._steps.running:
            self._steps.run(self._steps.now, self._write, text)
        else:
            self._write(text)

    def configure(self, now: float) -> None:
        """Sends the whole configuration. `configured` is True when the server has accepted the configuration."""
        self._steps.run(now, self._configure)

    def on_time(self, now: float) -> None:
        """Performs the actions that are due at `now`. Must be called at the time `deadline`."""
        self._steps.run(now, self._on_time)

    @property
    def deadline(self) -> float | None:
        """The time at which the next action is due, such as a request that was delayed. `on_time` must be called at
        this time. None if no action is due.
        """
        return earliest(self.responses.deadline, self._turns.deadline, self.config.deadline)

    # Its place in the conversation.

    def turn_is_open(self, now: float) -> bool:
        """Returns whether the turn of the caller is open: the caller speaks, or has spoken and has no answer yet."""
        return self._speech.is_active or self.responses.awaits_server_answer(now)

    def at_rest(self, now: float) -> bool:
        """Returns whether the caller and the agent are silent, and no answer is in progress or expected."""
        is_busy = self.requests.agent_active or self._speech.is_active or self._gate.tool_runs or self._turns.commits
        return not is_busy and self.responses.at_rest(now)

    def end(self, now: float, close: Close | None = None, *, continues: bool = False) -> None:
        """Ends the session, the caller's turn and the agent's response, because the connection has ended.

        `close` says how the connection ended. It is None if another session takes over in a pause of the conversation.
        `continues` is True if another session will take over.
        """
        self.ended = True
        self._steps.run(now, self._end, close, continues)

    def discard(self) -> None:
        """Stops handling messages, because the session is not needed."""
        self.ended = True

    def succeed(
        self,
        lost: ServerSession,
        now: float,
        *,
        knows_calls: bool,
        items: Iterable[dict[str, Any]] = (),
        summary: str | None = None,
        turn_audio: Sequence[bytes] = (),
        later_audio: Sequence[bytes] = (),
    ) -> None:
        """Continues the conversation of the session `lost`, whose connection has ended.

        First this session gets the conversation so far, from `items` or as the text `summary`. This requests no
        response. Then this session repeats what the lost session has not answered: messages, the audio of the caller's
        unfinished turn (`turn_audio`), and requests for responses. `later_audio` is the caller's audio that arrived
        while there was no session. `knows_calls` is True if the server still has the tool calls of the lost session.
        """
        self._steps.run(now, self._succeed, lost, knows_calls, items, summary, turn_audio, later_audio)

    # Steps.

    def _send_late(self, handle: Callable[[Any], None], event: RealtimeModelSendEvent) -> None:
        """Executes an input that has waited for the end of a step."""
        try:
            handle(event)
        except Exception as error:
            self._ports.log.warning("A %s could not be sent: %s", type(event).__name__, error, exc_info=error)
            self._emit(emitted.RealtimeModelErrorEvent(error))

    def _configure(self) -> None:
        self.updates.send()
        if not self.config.under_way:
            self.configured = True

    def _on_time(self) -> None:
        now = self._steps.now
        self.updates.on_time(now)
        self._response_events.on_time()
        self._turns.on_time(now)

    def _end(self, close: Close | None, continues: bool) -> None:
        self.updates.stop()
        self._turns.end()
        self._hosted.abandon()
        self._ports.policy.reset()
        self.audio.release()
        if self._speech.is_active:
            self._emit(emitted.RealtimeModelSpeechStoppedEvent(self._speech.item_id, self._speech.start_ms))
        active_id = self.responses.active_id
        for response_id in dict.fromkeys((*self.audio.open.values(), active_id)):
            if response_id is not None:
                self.audio.finish(response_id)
        if active_id is not None:
            again = continues and bool(self.responses.unanswered(self._steps.now))
            self._emit(
                emitted.RealtimeModelTurnEndedEvent(response_id=active_id, status="failed", reason="connection_lost")
            )
            self._emit(emitted.RealtimeModelResponseFailedEvent(active_id, "failed", "connection_lost", retrying=again))
        is_lost = not continues and (active_id is not None or bool(self.responses.unanswered(self._steps.now)))
        if close is not None and (is_lost or self._turns.commits):  # the user waits for an answer that does not come
            self._emit(emitted.RealtimeModelErrorEvent(ConnectionLost(close)))

    def _succeed(
        self,
        lost: ServerSession,
        knows_calls: bool,
        items: Iterable[dict[str, Any]],
        summary: str | None,
        turn_audio: Sequence[bytes],
        later_audio: Sequence[bytes],
    ) -> None:
        self.config.succeed(lost.config)
        self.items.places.goes_on = True
        self._gate.succeed(lost._gate, knows_calls=knows_calls)
        self._pause.succeed(lost._pause)
        self.updates.send()
        for item in items:
            self.items.create(item, hidden=True)
            self._gate.make_known(item.get("call_id", ""))
        if summary is not None:
            self.items.create_note(summary)
        for item in lost.items.messages_to_repeat():
            self.items.create(item)
        for audio in (*turn_audio, *later_audio):
            self._write(encode_append(audio))
        now = self._steps.now
        if turn_audio:  # the server answers this turn again, and the requests below wait for the answer
            self.requests.perform(self.responses.speech_stopped(now))
        for options in lost.responses.unanswered(now):
            self.requests.perform(self.responses.request(now, options))

    def _receive(self, message: str | bytes) -> None:
        ports = self._ports
        if ports.log_payloads:
            ports.log.debug("< %s", message)
        event: wire.ServerEvent | None = None if ports.emit_raw else decode_audio(message)
        event_id = None
        if event is None:
            data = parse(message)
            if isinstance(data, wire.Malformed):
                event = data
            else:
                event, event_id = decode_object(data), data.get("event_id")
                if ports.emit_raw:
                    self._emit(emitted.RealtimeModelRawServerEvent(data))
        if not self._messages.is_repeated(message, event_id):
            self._handle(event)

    # Server events.

    def _handle(self, event: wire.ServerEvent) -> None:
        if (response_id := _response_of(event)) is not None:
            self._response_events.progress(response_id)
        self._handlers[type(event)](event)

    def _session_created(self, event: wire.SessionCreated) -> None:
        expires_at = event.session.get("expires_at")
        self.expires_at = float(expires_at) if isinstance(expires_at, int | float) and expires_at else None
        self.config.created(event.session)
        self.created = True

    def _session_updated(self, event: wire.SessionUpdated) -> None:
        self.updates.confirmed(event.session)
        if not self.created or self.config.under_way:
            return
        try:
            self.config.check_formats()
        except ServerRejected as error:
            if self.configured:
                self._emit(emitted.RealtimeModelErrorEvent(error))
                self.unusable = True
            else:
                self.rejection = error
        else:
            self.configured = True

    def _error(self, event: wire.ServerError) -> None:
        error = exception(event)
        if not self.configured:
            self.rejection = self.rejection or error
            return
        self._refusals.handle(event, error)
        if classify(event) is Fault.EXPIRED:
            self.expired = True

    def _rate_limits(self, event: wire.RateLimits) -> None:
        self._emit(emitted.RealtimeModelRateLimitsEvent(event.rate_limits))

    def _nothing(self, event: wire.ServerEvent) -> None:
        pass

    def _other(self, event: wire.Notice | wire.Unknown) -> None:
        self._emit(emitted.RealtimeModelOtherEvent(event.data))
        self._hosted.notice(event)
        self._item_events.notice(event)
        self._turns.notice(event)

    def _malformed(self, event: wire.Malformed) -> None:
        self._ports.ignored_errors["malformed"] += 1
        self._ports.log.warning("A message of the server is left out: %s", event.reason)
        self._emit(emitted.RealtimeModelOtherEvent(event))


def _response_of(event: wire.ServerEvent) -> str | None:
    """Returns the id of the response to which the event belongs, or None."""
    if isinstance(event, wire.Notice):
        response_id = event.data.get("response_id")
        return response_id if isinstance(response_id, str) else None
    return getattr(event, "response_id", None)
