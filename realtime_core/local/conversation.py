"""One session of the embedded server: the OpenAI Realtime protocol as a state machine. Pure.

`receive` handles a message of the client, and `run` performs the due actions. Both put their effects into `outbox`:
texts to send, and at most one `HangUp`, which is last. `next_due` is the time of the next `run`. The module has no
sockets, tasks or clocks.

Source of the behaviour: the Realtime API's reference (GA), client and server events. Parts: `turns` (the caller's
speech), `responder` and `response` (the answers), `items`, `session_config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ..sources import Sources
from .items import CREATE, NAME_ITEM, Item, Items
from .outbox import HangUp, Outbox
from .rejection import Rejected, invalid_type, invalid_value, missing
from .reply import Director, ToolOutput
from .responder import Responder, texts_of
from .schedule import Schedule
from .session_config import SessionConfig, check_response_options
from .turns import Turns
from .voice import Voice

__all__ = ["Conversation", "HangUp", "handle_message"]


class Conversation:
    """One session of the embedded server. `model` is the name of the model in the client's URL. With None, the client's
    first `session.update` may name the model. The session ends `expires_after_s` seconds after its start. `expires_at`
    is the Unix time in seconds that the client sees in the session object, and has no other effect. `now` is in seconds
    on any steady clock.
    """

    def __init__(
        self,
        director: Director,
        voice: Voice,
        *,
        sources: Sources,
        now: float,
        expires_at: int,
        expires_after_s: float = 3600.0,
        model: str | None = None,
        speed: float = 5.0,
        latency_s: float = 0.3,
    ) -> None:
        self._config = config = SessionConfig(sources.id("sess"), model, expires_at)
        self._outbox = outbox = Outbox(sources)
        self._schedule = schedule = Schedule(now)
        self._items = items = Items()
        self._sources = sources
        self._responder = Responder(
            outbox, items, config, schedule, director, voice, sources, speed=speed, latency_s=latency_s
        )
        self._turns = Turns(outbox, items, config, schedule, director, self._responder, sources)
        self._held_back: list[str | bytes] = []
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update_session,
            "input_audio_buffer.append": lambda event: self._turns.append(event.get("audio")),
            "input_audio_buffer.commit": lambda event: self._turns.commit(),
            "input_audio_buffer.clear": lambda event: self._turns.clear(),
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": lambda event: self._responder.cancel(event.get("response_id")),
        }
        outbox.emit("session.created", session=config.object)
        conversation = {"id": self._responder.conversation_id, "object": "realtime.conversation"}
        outbox.emit("conversation.created", conversation=conversation)
        schedule.after(expires_after_s, lambda: self._expire(expires_after_s))

    @property
    def outbox(self) -> list[str | HangUp]:
        """The messages to send to the client, and at most one `HangUp` as the last element, in order. The code that
        sends the messages must then empty the list.
        """
        return self._outbox.actions

    @property
    def wanted_speech(self) -> list[str]:
        """The texts that must be synthesised (`Voice.prepare`) before an answer can continue. The code that calls `run`
        must remove a text from the list, synthesise the text, and call `speech_is_ready`.
        """
        return self._responder.wanted_speech

    @property
    def next_due(self) -> float | None:
        """The time at which `run` must be called next, or None if no action is planned."""
        return self._schedule.next_due

    def receive(self, message: str | bytes, now: float) -> None:
        """Handles one JSON message of the client. An invalid message causes an `error` event for the client, and no
        exception.
        """
        if self._schedule.stalls(now):
            self._held_back.append(message)
            return
        self._schedule.now = now
        handle_message(message, self._handlers, self._outbox)

    def run(self, now: float) -> None:
        """Performs the actions whose time has come. `next_due` says when this method must be called next."""
        if self._schedule.stalls(now):
            return
        held_back, self._held_back = self._held_back, []
        for message in held_back:
            self.receive(message, now)
        self._schedule.run(now)

    def speech_is_ready(self, now: float) -> None:
        """Continues the answer that waits for speech. Must be called after a text of `wanted_speech` (the texts that
        must be synthesised) has been synthesised.
        """
        self._schedule.now = now
        self._responder.speech_is_ready()

    def _update_session(self, event: dict[str, Any]) -> None:
        if "session" not in event:
            raise missing("session")
        self._config.update(event["session"], responding=self._responder.responding)
        self._turns.configure()
        self._outbox.emit("session.updated", session=self._config.object)

    def _expire(self, after_s: float) -> None:
        message = f"Your session hit the maximum duration of {after_s / 60:g} minutes."
        self._outbox.reject(Rejected(message, code="session_expired"), None)
        self._outbox.hang_up(1001, message)

    def _create_item(self, event: dict[str, Any]) -> None:
        CREATE(event, "")
        item = self._items.create(event.get("item"), event.get("previous_item_id"), self._sources.id("item"))
        self._note(item)
        previous = self._items.previous_id(item.id)
        for type in ("conversation.item.added", "conversation.item.done"):
            self._outbox.emit(type, previous_item_id=previous, item=item.wire)

    def _note(self, item: Item) -> None:
        """Stores an item for the next response."""
        wire, new_inputs = item.wire, self._responder.new_inputs
        if wire["type"] == "function_call_output":
            call = self._items.call(wire["call_id"])
            new_inputs.outputs.append(ToolOutput(call.wire["name"] if call else "", wire["output"]))
        elif wire["type"] == "message" and wire["role"] == "user":
            new_inputs.texts += texts_of(wire)
            new_inputs.speech_s += any(part["type"] == "input_audio" for part in wire["content"])

    def _retrieve_item(self, event: dict[str, Any]) -> None:
        NAME_ITEM(event, "")
        item = self._items.retrieve(event.get("item_id"))
        self._outbox.emit("conversation.item.retrieved", item=item.with_audio())

    def _truncate_item(self, event: dict[str, Any]) -> None:
        item = self._items.truncate(event)
        position = {"content_index": event["content_index"], "audio_end_ms": event["audio_end_ms"]}
        self._outbox.emit("conversation.item.truncated", item_id=item.id, **position)

    def _delete_item(self, event: dict[str, Any]) -> None:
        NAME_ITEM(event, "")
        self._items.delete(event.get("item_id"))
        self._outbox.emit("conversation.item.deleted", item_id=event["item_id"])

    def _create_response(self, event: dict[str, Any]) -> None:
        options = event.get("response")
        if options is None:
            options = {}
        check_response_options(options)
        self._responder.respond(options)


def handle_message(
    message: str | bytes, handlers: Mapping[str, Callable[[dict[str, Any]], None]], outbox: Outbox
) -> None:
    """Passes the event of a message of the client to the handler of its type. If the message or the event is invalid,
    the client gets an `error` event.
    """
    event: dict[str, Any] = {}
    try:
        event = _parse(message)
        handler = handlers.get(event["type"])
        if handler is None:
            raise invalid_value("type", event["type"], *handlers)
        handler(event)
    except Rejected as rejection:
        outbox.reject(rejection, event.get("event_id"))


def _parse(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        raise Rejected("Binary messages are not supported: send JSON text.", code="invalid_message")
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"The message is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise invalid_type("event", "an object", event)
    if not isinstance(event.get("type"), str):
        raise missing("type")
    return event
