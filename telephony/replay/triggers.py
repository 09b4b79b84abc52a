"""Finds the triggers of the model's messages. A trigger is the event that a message of the model follows: a command
that was sent to the model, or audio of the caller. Pure.

Commands are counted by type. A replay finds for example "the third `response.create`", independent of its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..journal.format import Record, object_at

__all__ = ["AUDIO", "Trigger", "Triggers", "our_ids"]

AUDIO = "input_audio_buffer.append"


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event in a recorded call that a message of the model followed: the `count`-th command of the type `type` that
    was sent to the model, counted from 1. `t` is the time of the event in seconds since the start of the call. If the
    event is audio of the caller, `count` is the number of bytes that were sent to the model so far on the media stream
    with the number `stream`.
    """

    type: str
    count: int
    t: float
    stream: int = 0


def our_ids(message: Mapping[str, Any]) -> list[str]:
    """Returns the ids that the client has generated in a command to the model: the id of the event, and the id of the
    item that the command creates.
    """
    item = message.get("item")
    ids = [message.get("event_id"), item.get("id") if isinstance(item, dict) else None]
    return [each for each in ids if isinstance(each, str)]


class Triggers:
    """Finds out what caused each message of the model in a recording: its triggers. A trigger is a command or audio
    that was sent to the model, or the opening of the connection. All commands must be passed to `sent`, in order. `of`
    returns the triggers of a message from the model. A replay delays the message until its triggers have happened.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._stream = 0
        self._audio: Trigger | None = None
        self._open: Trigger | None = None
        self._by_id: dict[str, Trigger] = {}
        self._truncates: dict[str, list[Trigger]] = {}
        self._updates: list[Trigger] = []
        self._responses: dict[str, tuple[Trigger, ...]] = {}
        self._cancels: dict[str, Trigger] = {}

    def sent(self, record: Record, type: str) -> None:
        """Must be called with each command that was sent to the model in the recording, so that it counts as a possible
        trigger of later messages of the model. `type` is the type of the command, and `record` is its journal record.
        The type `open` means that a connection was opened.
        """
        message = record.message
        if type == "open":
            self._counts["open"] += 1
            self._open, self._audio = Trigger("open", self._counts["open"], record.t), None
            return
        if type == AUDIO:
            self._counts[AUDIO] += int(message.get("bytes", 0))
            self._audio = Trigger(AUDIO, self._counts[AUDIO], record.t, self._stream)
            return
        self._counts[type] += 1
        trigger = Trigger(type, self._counts[type], record.t)
        for our_id in our_ids(message):
            self._by_id[our_id] = trigger
        if type == "conversation.item.truncate":
            self._truncates.setdefault(str(message.get("item_id")), []).append(trigger)
        elif type == "session.update":
            self._updates.append(trigger)
        elif type == "response.cancel":
            self._cancels[str(message.get("response_id"))] = trigger

    def stream_began(self) -> None:
        self._stream += 1
        self._counts[AUDIO] = 0
        self._audio = None

    def stream_ended(self) -> None:
        """Excludes the caller's audio on the current media stream from the triggers of later messages of the model.
        Must be called when a media stream ended in the recording.
        """
        self._audio = None

    def of(self, event: str, message: Mapping[str, Any]) -> tuple[Trigger, ...]:
        """Returns the triggers of a message that the model sent: the events that caused the message. The commands that
        the message answers are triggers. Another trigger is the latest audio of the caller that was sent to the model.
        Without such audio, the opening of the connection is a trigger. `event` is the type of the message.
        """
        triggers = self._answered(event, message)
        clock = self._audio or self._open
        return triggers if clock is None else (*triggers, clock)

    def _answered(self, event: str, message: Mapping[str, Any]) -> tuple[Trigger, ...]:
        match event:
            case "session.updated":
                return (self._updates.pop(0),) if self._updates else ()
            case "conversation.item.truncated":
                waiting = self._truncates.get(str(message.get("item_id")))
                return (waiting.pop(0),) if waiting else ()
            case "error":
                error = message.get("error")
                trigger = self._by_id.get(str(error.get("event_id"))) if isinstance(error, dict) else None
                return (trigger,) if trigger else ()
            case "response.created":
                return self._response_created(object_at(message, "response"))
            case "response.done":
                response = object_at(message, "response")
                cancel = self._cancels.get(str(response.get("id")))
                return (*self._responses.get(str(response.get("id")), ()), *([cancel] if cancel else []))
        if isinstance(response_id := message.get("response_id"), str):
            return self._responses.get(response_id, ())
        item = message.get("item")
        trigger = self._by_id.get(str(item.get("id"))) if isinstance(item, dict) else None
        return (trigger,) if trigger else ()

    def _response_created(self, response: Mapping[str, Any]) -> tuple[Trigger, ...]:
        event_id = object_at(response, "metadata").get("client_event_id")
        trigger = self._by_id.get(str(event_id)) if event_id else None
        triggers = (trigger,) if trigger else ()
        self._responses[str(response.get("id"))] = triggers
        return triggers
