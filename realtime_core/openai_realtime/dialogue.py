"""One session with the server: its state, and what is done in it.

A dialogue lives as long as its connection. What outlives it (player, turn policy, sources) comes in a `Setup`.
Everything here is synchronous; `incoming` handles what the server says, `outgoing` what the user sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..connection import Connection
from ..errors import ServerRejected
from ..model_events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelResponseFailedEvent,
    RealtimeModelSpeechStoppedEvent,
    RealtimeModelTurnEndedEvent,
)
from ..outcomes import RetryPolicy
from ..playback import ClockPlayer, HeardItem, PlaybackLedger, Player, Truncation
from ..response_effects import CancelResponse, CreateResponse, Effect, ResponseFailed, ResponseStalled
from ..responses import Responses, ResponseState
from ..sources import Sources
from ..turns import TurnAction, TurnPolicy
from .incoming import handle
from .item_places import ItemPlaces
from .protocol import EventIds, decode_audio, decode_object, encode, encode_append, parse
from .recovery import refused_output_note
from .server_events import (
    Committed,
    ItemDeleted,
    Malformed,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SpeechStopped,
)
from .session_config import SessionConfig, bytes_per_ms, setting_name
from .settings_ledger import ANSWER_S, Refusal
from .told import Messages, Recent, Told

__all__ = ["Dialogue", "Setup"]

_logger = logging.getLogger(__name__)

_HOLD_LIMIT_S = 20.0
"""For so long at most nobody is answered because a tool runs."""


@dataclass(slots=True)
class Setup:
    """What a dialogue is given and leaves behind."""

    policy: TurnPolicy
    player: Player
    sources: Sources
    emit: Callable[[RealtimeModelEvent], None]
    now: Callable[[], float]
    ids: EventIds = field(default_factory=EventIds)
    retry: RetryPolicy | None = None
    hold_for_tools: bool = True
    log_payloads: bool = False
    emit_raw: bool = True
    swallowed: Counter[str] = field(default_factory=Counter)
    """Errors that nobody was told about, by code: the benign ones, and those that are our own fault."""


class Dialogue:
    """The state of one server session. `created` and `configured` are set when the server has said so; `configured`
    raises the server's complaint."""

    def __init__(self, connection: Connection, setup: Setup, config: SessionConfig) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.setup = setup
        self.config = config
        self.created: asyncio.Future[None] = loop.create_future()
        self.configured: asyncio.Future[None] = loop.create_future()
        self.expires_at: float | None = None
        self.expired = False
        self.responses = Responses(setup.ids, retry=setup.retry)
        self.ledger = PlaybackLedger()
        self.muted = Recent(64)
        self.finished = Recent(64)
        """Responses that are over, as far as anybody was told."""
        self.unannounced_id = ""
        """A response of which something came, and not its beginning."""
        self.speaking_of = Recent(256)
        """Item id -> response id, of audio that came."""
        self.open_parts: dict[tuple[str, int], str] = {}
        """Audio parts that are not complete -> response id."""
        self.commits_by_hand: deque[str] = deque(maxlen=64)
        self.created_items = Recent(256)
        """Event id of a `conversation.item.create` -> item id."""
        self.unacknowledged = Recent(256)
        """Item id -> the item, as long as the server has not confirmed it."""
        self.hidden_items = Recent(256)
        """Items that are none of the user's business."""
        self.restored = Recent(1024)
        """Items that the client has put into the conversation by hand -> whether the server has confirmed them. Nothing
        is to be done about a tool call among them."""
        self._edits = Recent(1024)
        """Event id of a `conversation.item.create` or `.delete` sent by hand -> its type and fields."""
        self.places = ItemPlaces()
        self.open_calls: set[str] = set()
        """Tool calls without an output."""
        self.called = Recent(256)
        """Tool calls that were told."""
        self.foreign_calls: set[str] = set()
        """Those of them that an earlier session made: this one does not know them."""
        self.hosted_calls: set[str] = set()
        """Items of tool calls that the server runs (hosted MCP) and that are not over."""
        self.hosted = Recent(256)
        """Item id -> `HostedCall`: what is known of a call of a hosted tool."""
        self.approvals_asked = Recent(64)
        """Items of hosted tool calls that somebody was asked about."""
        self._held_until: float | None = None
        self._held_server = False
        self.caller_speaks = False
        self.speech_began = ("", 0)
        """Item id, and ms of the input audio, of the last `speech_started`."""
        self.told = Told()
        self._messages = Messages()
        self.completes_items = False
        """The server sends `conversation.item.done` (GA); else `response.output_item.done` says the same (beta)."""
        self.retired = False
        """Another session has taken its place: what still comes is nobody's business."""

    @property
    def emit(self) -> Callable[[RealtimeModelEvent], None]:
        return self.setup.emit

    @property
    def player(self) -> Player:
        return self.setup.player

    @property
    def holds_answers(self) -> bool:
        """Turns are not answered until the tools that run have returned."""
        return self._held_until is not None

    @property
    def deadline(self) -> float | None:
        """When `on_time` is to be called."""
        deadlines = (self.responses.deadline, self.setup.policy.deadline, self.config.deadline)
        return min((each for each in deadlines if each is not None), default=None)

    # In and out.

    def receive(self, message: str | bytes) -> None:
        """A message of the server's."""
        if self.setup.log_payloads:
            _logger.debug("< %s", message)
        event: ServerEvent | None = None if self.setup.emit_raw else decode_audio(message)
        event_id = None
        if event is None:
            data = parse(message)
            if isinstance(data, Malformed):
                event = data
            else:
                event, event_id = decode_object(data), data.get("event_id")
                if self.setup.emit_raw:
                    self.emit(RealtimeModelRawServerEvent(data))
        if not self._messages.is_repeated(message, event_id):
            handle(self, event)

    def command(self, type: str, fields: Mapping[str, Any] | None = None, *, event_id: str | None = None) -> str:
        """Send a client event; returns its id."""
        event_id = event_id or self.setup.ids()
        text = encode(event_id, type, fields or {})
        if self.setup.log_payloads:
            _logger.debug("> %s", text)
        self.connection.send(text)
        return event_id

    def append(self, audio: bytes) -> None:
        self.connection.send(encode_append(self.setup.ids(), audio))

    def create_item(self, item: dict[str, Any], *, hidden: bool = False) -> str:
        """Send `conversation.item.create`; returns the item's id, which is ours to choose."""
        item_id: str = item.setdefault("id", self.setup.sources.id("item"))
        self.told.forget(ItemDeleted, item_id)
        self.created_items[self.command("conversation.item.create", {"item": item})] = item_id
        self.unacknowledged[item_id] = item
        if hidden:
            self.hidden_items[item_id] = True
        return item_id

    def item_refused(self, item_id: str) -> None:
        """The server does not take an item of ours. A tool's output must not be lost by that: it is told in words."""
        item = self.unacknowledged.pop(item_id, {})
        wanted = self.responses.unwant(item_id)
        if item.get("type") == "function_call_output":
            note_id = self.create_note(refused_output_note(item["output"]))
            if wanted:
                self.perform(self.responses.want(self.setup.now(), note_id))

    def edit(self, event_id: str, type: str, fields: dict[str, Any]) -> None:
        """Send a `conversation.item.create` or `.delete` that the user has made."""
        item = fields.get("item")
        if type == "conversation.item.create" and isinstance(item, Mapping) and (item_id := str(item.get("id") or "")):
            self.told.forget(ItemDeleted, item_id)
            self.told.news(True, Committed, item_id)  # it is no turn that the server has taken
            self.hosted.pop(item_id, None)
            self.hidden_items.pop(item_id, None)
            self.restored[item_id] = False
            if isinstance(previous := fields.get("previous_item_id"), str):
                self.places.asked(item_id, previous)
        self._edits[event_id] = type, fields
        self.command(type, fields, event_id=event_id)

    def edit_refused(self, event_id: str, code: str) -> bool:
        """The server does not know an item that an edit names, as after a reconnect: an item that is to be deleted is
        gone, and a new one goes to the end. Returns False for any other error."""
        type, fields = self._edits.pop(event_id, ("", {}))
        if type == "conversation.item.delete" and code == "item_delete_invalid_item_id":
            handle(self, ItemDeleted(str(fields.get("item_id") or "")))
        elif type == "conversation.item.create" and code == "item_create_invalid_previous_item_id":
            rest = {key: value for key, value in fields.items() if key != "previous_item_id"}
            self.edit(self.setup.ids(), type, rest)
        else:
            return False
        self.setup.swallowed[code] += 1
        return True

    def create_note(self, text: str) -> str:
        """Tell the model something that is not part of what was said."""
        content = [{"type": "input_text", "text": text}]
        return self.create_item({"type": "message", "role": "system", "content": content}, hidden=True)

    def configure(self) -> None:
        """Send the whole configuration; `configured` tells the answer."""
        self.update_session()
        if not self.config.under_way:
            self.configured.set_result(None)

    def update_session(self) -> None:
        """Send what is asked for of the configuration. Without a session it waits for the next one."""
        if self.retired:
            return
        updates, settled = self.config.due(self.setup.ids, self.setup.now())
        for event_id, session in updates:
            self.command("session.update", {"session": session}, event_id=event_id)
        for change in settled:
            change.settle(None)

    def session_taken(self, session: Mapping[str, Any]) -> None:
        """`session.updated`."""
        taken = self.config.updated(session)
        effective = self.config.effective
        self.responses.audio = effective.speaks
        self.responses.server_responds = effective.create_response
        self.ledger.bytes_per_ms = bytes_per_ms(effective.output_format)
        if isinstance(self.player, ClockPlayer):
            self.player.bytes_per_ms = self.ledger.bytes_per_ms
        for change in taken:
            change.settle(None)
        self.update_session()
        if self.created.done() and not self.configured.done() and not self.config.under_way:
            self.configured.set_result(None)

    def session_refused(self, refusal: Refusal, error: ServerRejected) -> None:
        """An error refuses a `session.update`: what it asked for is not in force."""
        if not error.param and refusal.path is not None:
            error.param = setting_name(refusal.path)
        self.emit(RealtimeModelErrorEvent(error))
        if refusal.change is not None:
            refusal.change.settle(error)
        self.update_session()

    @property
    def waits_for_answers(self) -> bool:
        """A command is under way, other than a `session.update`, that the server may refuse."""
        asked = self.responses.state in (ResponseState.REQUESTED, ResponseState.COLLIDING)
        return bool(self.unacknowledged or self.commits_by_hand) or asked or self.responses.cancelling

    def reject_configuration(self, error: ServerRejected) -> bool:
        """An error came before the configuration was taken; returns whether somebody waits for it."""
        for step in (self.created, self.configured):
            if not step.done():
                step.set_exception(error)
                return True
        return False

    # Responses and turns.

    def perform(self, effects: Sequence[Effect]) -> None:
        """Do what `Responses` asks."""
        for effect in effects:
            match effect:
                case CreateResponse(event_id, options):
                    self.command("response.create", {"response": options}, event_id=event_id)
                case CancelResponse(event_id, response_id, mute):
                    if mute:
                        self.mute(response_id)
                    which = {"response_id": response_id} if response_id else {}
                    self.command("response.cancel", which, event_id=event_id)
                case ResponseStalled(response_id, is_complete):
                    self.told.news(True, ResponseDone, response_id)
                    self.finish(response_id)
                    if is_complete:
                        self.emit(RealtimeModelTurnEndedEvent(response_id=response_id))
                    else:
                        self.mute(response_id)
                        self.emit(
                            RealtimeModelTurnEndedEvent(response_id=response_id, status="failed", reason="stalled")
                        )
                case ResponseFailed(response_id, status, reason, error, retrying):
                    self.emit(RealtimeModelResponseFailedEvent(response_id, status, reason, error, retrying))

    def is_deleted(self, item_id: str) -> bool:
        """The item is no part of the conversation any more, whatever is still told of it."""
        return self.told.knows(ItemDeleted, item_id)

    def announce(self) -> None:
        """Let a response begin whose `response.created` is missing, where it matters that it is being made."""
        response_id = self.unannounced_id
        is_over = self.told.knows(ResponseDone, response_id) or self.told.knows(ResponseCreated, response_id)
        if response_id and not is_over and self.responses.active_id is None:
            handle(self, ResponseCreated(response_id, {"id": response_id}))

    def hold_answers(self) -> None:
        """The caller speaks while a tool runs. An answer now would invent the tool's result: it has to wait."""
        if not self.setup.hold_for_tools or not self.tool_runs or self.holds_answers:
            return
        self._held_until = self.setup.now() + _HOLD_LIMIT_S
        self.responses.hold(self._held_until)
        self._held_server = self.config.let_server_respond(False)
        self.update_session()

    @property
    def tool_runs(self) -> bool:
        """A tool was called, and its result is not there."""
        return bool(self.open_calls or self.hosted_calls)

    def call_answered(self, call_id: str) -> None:
        """The tool has returned: one response answers it and the turns held. (A hosted call goes by its item.)"""
        self.open_calls.discard(call_id)
        self.foreign_calls.discard(call_id)
        self.hosted_calls.discard(call_id)
        if not self.holds_answers or self.tool_runs:
            return
        self._held_until = None
        if self._held_server:
            self.config.let_server_respond(True)
            self.update_session()
        self.perform(self.responses.release(self.setup.now()))

    def succeed(self, lost: Dialogue, *, knows_calls: bool) -> None:
        """Take the place of a lost session: its tools run on, and what waits for them waits here."""
        self.config.succeed(lost.config)
        self.places.goes_on = True
        self.open_calls |= lost.open_calls
        if not knows_calls:
            self.foreign_calls |= lost.open_calls
        self._held_until, self._held_server = lost._held_until, lost._held_server
        if self._held_until is not None:
            self.responses.hold(self._held_until)

    def on_time(self) -> None:
        now = self.setup.now()
        self._give_up_updates(now)
        self.perform(self.responses.on_time(now))
        if interrupted := self.act(self.setup.policy.on_time(now)):
            self.emit(interrupted)

    def _give_up_updates(self, now: float) -> None:
        taken, failed = self.config.on_time(now)
        for change in taken:
            change.settle(None)
        for change in failed:
            error = ServerRejected(f"The server has not answered a session.update within {ANSWER_S:g} s.")
            self.emit(RealtimeModelErrorEvent(error))
            change.settle(error)

    def act(self, actions: Sequence[TurnAction]) -> RealtimeModelAudioInterruptedEvent | None:
        """Do what the turn policy asks (all but `RESPOND`, which needs to know the turn)."""
        interrupted = None
        for action in actions:
            if action is TurnAction.INTERRUPT:
                interrupted = self.silence()
                if self.config.effective.interrupt_response:
                    self.responses.cancelled_by_server()
                else:
                    self.perform(self.responses.cancel(mute=True))
            elif action is TurnAction.HOLD:
                if (by_db := self.setup.policy.duck_db) is None:
                    self.player.hold()
                else:
                    self.player.duck(by_db)
            elif action is TurnAction.RELEASE:
                self.player.release()
        return interrupted

    @property
    def agent_active(self) -> bool:
        """A response is under way, being made or being heard."""
        made = self.responses.state is not ResponseState.IDLE
        return made or any(not each.finished for each in self.player.heard())

    @property
    def turn_is_open(self) -> bool:
        """The caller speaks, or has spoken and was not answered."""
        return self.caller_speaks or self.responses.owes_server_answer(self.setup.now())

    @property
    def at_rest(self) -> bool:
        """Nobody speaks, nothing is being made or waited for."""
        quiet = not self.agent_active and not self.caller_speaks and not self.tool_runs and not self.commits_by_hand
        return quiet and self.responses.at_rest(self.setup.now())

    def mute(self, response_id: str) -> None:
        """Drop what is still to come of the response."""
        self.muted[response_id] = True

    def silence(self) -> RealtimeModelAudioInterruptedEvent | None:
        """Stop what is playing, truncate it at what was heard, and drop what is still to come of the response (which is
        not cancelled by that). Returns what was cut, if anything was."""
        heard = self.player.stop()
        self.player.release()
        truncations = self.ledger.truncations(heard)
        for each in truncations:
            position = {"item_id": each.item_id, "content_index": each.content_index, "audio_end_ms": each.audio_end_ms}
            self.command("conversation.item.truncate", position)
        if self.responses.active_id is not None:
            self.mute(self.responses.active_id)
        return self._cut(heard, truncations)

    def _cut(
        self, heard: Sequence[HeardItem], truncations: list[Truncation]
    ) -> RealtimeModelAudioInterruptedEvent | None:
        cut = tuple(each for each in heard if not each.finished)
        if not cut:
            return None
        first = cut[0]
        positions = {(each.item_id, each.content_index): each.audio_end_ms for each in truncations}
        return RealtimeModelAudioInterruptedEvent(
            item_id=first.item_id,
            content_index=first.content_index,
            audio_end_ms=positions.get((first.item_id, first.content_index), int(max(first.heard_ms, 0.0))),
            items=cut,
            truncations=tuple(truncations),
            response_id=self.speaking_of.get(first.item_id),
        )

    def finish(self, response_id: str) -> None:
        """The response is over: whatever audio it began is complete."""
        self.finished[response_id] = True
        for (item_id, content_index), owner in list(self.open_parts.items()):
            if owner == response_id:
                self.end_part(item_id, content_index)

    def end_part(self, item_id: str, content_index: int) -> None:
        """All audio of the part has come."""
        response_id = self.open_parts.pop((item_id, content_index), None)
        if response_id is None:
            return
        self.ledger.done(item_id, content_index)
        self.player.end(item_id, content_index)
        if response_id not in self.muted:
            self.emit(RealtimeModelAudioDoneEvent(item_id, content_index, response_id=response_id))

    def end_speech(self) -> None:
        """The caller's turn is over, whether or not the server has said that the speech ended."""
        if self.caller_speaks:
            self.caller_speaks = False
            self.told.news(True, SpeechStopped, self.speech_began[0])
            self.emit(RealtimeModelSpeechStoppedEvent(*self.speech_began))
