"""The behaviour of an agent in a call, in a form in which two calls can be compared. Pure.

An *action* is one effect on the caller, the model or the outside world. Messages with audio, marks and generated
ids are not actions, because they may differ between two calls that sound the same. Speech is compared by conversation
item: by the amount of audio that was sent, by the times at which it was sent, and by checksums of the audio.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from ..journal.format import EXACT_SAMPLES, SCHEMA, Record, segments_of
from .triggers import AUDIO, our_ids

__all__ = ["Action", "Behaviour", "BehaviourReader", "SpokenPart", "behaviour_of"]

Lane = Literal["phone", "model", "tools", "call", "twilio", "config"]
_ACCIDENTAL = frozenset(("id", "action", "tool", "ours", "ms"))


@dataclass(frozen=True, slots=True)
class Action:
    """One action of the agent: an effect on the caller, the model or the outside world. `what` is a short name, by
    which the actions of two calls are paired for a comparison. `data` has the details. `t` is the time in seconds since
    the start of the call, and `index` is the number of the journal record.
    """

    lane: Lane
    t: float
    index: int
    what: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        details = ", ".join(f"{name}={_short(value)}" for name, value in self.data.items())
        return f"{self.what}({details})" if details else self.what


@dataclass(slots=True)
class SpokenPart:
    """The audio of one content part of an answer, as the audio was sent to Twilio. Each element of `pieces` is one
    piece of the audio: (offset in the part in samples, length in samples, checksum of the samples or None, time). Times
    are in seconds since the start of the call. `end` is the number of samples of the part that were sent.
    """

    item_id: str
    content_index: int
    t: float
    index: int
    end: int = 0
    pieces: list[tuple[int, int, int | None, float]] = field(default_factory=list)


@dataclass(slots=True)
class Behaviour:
    """What an agent did in one call, as its journal shows it: its actions, and its speech (`spoken`). A replay compares
    its own behaviour with the recorded behaviour. `caller` has the messages with the caller's audio that were sent to
    the model, each as (length in bytes, checksum or None, time in seconds since the start of the call, number of the
    journal record).
    """

    actions: list[Action] = field(default_factory=list)
    spoken: dict[tuple[str, int], SpokenPart] = field(default_factory=dict)
    caller: list[tuple[int, int | None, float, int]] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    """The ids of the conversation items whose audio was interrupted. The amount of sent audio of such an item varies by
    milliseconds.
    """


def behaviour_of(records: Iterable[tuple[int, Record]], schema: int = SCHEMA) -> Behaviour:
    """Returns the behaviour of the agent in a call, from the records of its journal. Each record has its index.
    Incoming messages are ignored. `schema` is the journal schema. Details that journals with this schema do not contain
    are left out.
    """
    reader = BehaviourReader(schema)
    for index, record in records:
        reader.take(index, record)
    return reader.behaviour


class BehaviourReader:
    """Collects the behaviour of an agent (`Behaviour`: its actions and its speech) from the journal of a call. `take`
    adds one record of the journal at a time. `behaviour` is the result. The function `behaviour_of` reads a whole
    journal at once.
    """

    def __init__(self, schema: int = SCHEMA) -> None:
        self.behaviour = Behaviour()
        self.schema = schema
        self._items: dict[str, str] = {}
        self._in_tools = 0

    def take(self, index: int, record: Record) -> None:
        data = record.data
        match record.kind:
            case "twilio.out":
                self._to_phone(index, record)
            case "model.out":
                self._to_model(index, record)
            case "tool.start":
                self._in_tools += 1
                self._add("tools", index, record, f"tool {data.get('name')}", arguments=_parsed(data.get("arguments")))
            case "tool.end":
                self._in_tools -= 1
                self._add("tools", index, record, f"tool {data.get('name')} returns", output=data.get("output"))
            case "answered":
                self._add("call", index, record, f"answered by {data.get('by')}", move=data.get("move"))
            case "control" | "control.end" | "timer" | "rest" | "play":
                self._own(index, record)
            case "interruption":
                self.behaviour.cut.update(str(item) for item, *_ in data.get("heard", ()))
            case "error" if "source" not in data:  # the application's code does not run in a replay
                self._add("call", index, record, "error", error=data.get("error"))
            case "end":
                self._add("call", index, record, "the call ends", reason=data.get("reason"))

    def _own(self, index: int, record: Record) -> None:
        """Handles a record of an action that the call did by itself or at the request of users' code."""
        data, schema = record.data, self.schema
        if record.kind == "control" and schema < 3:
            if schema == 2 and self._in_tools:  # others may have no request of users' code
                self._add("call", index, record, str(data.get("action")))
        elif record.kind == "timer" and schema >= 2:
            what, colon, fill = str(data.get("name")).partition(": ")
            if colon:  # audio in place of a silence; earlier versions had other words before the colon
                what = f"pending answer: {fill}"
            self._add("call", index, record, f"time is up: {what}")
        elif schema >= 3:
            details = {k: v for k, v in data.items() if k not in _ACCIDENTAL}
            match record.kind:
                case "control":
                    self._add("call", index, record, str(data.get("action")), **details)
                case "control.end":
                    self._add("call", index, record, f"{data.get('action')} is over", **details)
                case "rest":
                    self._add("twilio", index, record, f"REST {data.get('action')}", **details)
                case "play":
                    self._add("call", index, record, f"play {data.get('item_id')}", clip=data.get("clip"))

    def _add(self, lane: Lane, index: int, record: Record, what: str, /, **data: Any) -> None:
        self.behaviour.actions.append(Action(lane, record.t, index, what, data))

    def _to_phone(self, index: int, record: Record) -> None:
        message = record.message
        if record.event == "clear":
            self._add("phone", index, record, "clear")
        elif record.event == "media":
            segments = segments_of(message)
            whole = len(segments) == 1
            for segment in segments:
                if not segment.item_id:
                    continue
                key = (segment.item_id, segment.content_index)
                spoken = self.behaviour.spoken.get(key)
                if spoken is None:
                    spoken = self.behaviour.spoken[key] = SpokenPart(*key, record.t, index)
                    self._add("phone", index, record, f"speak {self._name(segment.item_id)}")
                checked = whole and not {"bed", "sealed"} & message.keys() and self.schema >= EXACT_SAMPLES
                crc32 = message["crc32"] if checked else None
                spoken.pieces.append((segment.offset, segment.length, crc32, record.t))
                spoken.end = max(spoken.end, segment.offset + segment.length)

    def _to_model(self, index: int, record: Record) -> None:
        message, event = record.message, record.event
        if event == AUDIO:
            crc32 = message["crc32"] if self.schema >= EXACT_SAMPLES and not message.get("sealed") else None
            self.behaviour.caller.append((message["bytes"], crc32, record.t, index))
            return
        if event == "conversation.item.create":
            for our_id in our_ids(message)[1:]:
                self._items[our_id] = f"our item {len(self._items) + 1}"
        data = {k: v for k, v in message.items() if k not in ("type", "event_id")}
        lane: Lane = "config" if event == "session.update" else "model"
        self.behaviour.actions.append(Action(lane, record.t, index, event, self._named(data)))

    def _name(self, item_id: str) -> str:
        return self._items.get(item_id, item_id)

    def _named(self, value: Any) -> Any:
        """Returns the value without generated ids: the id of an item becomes the number of the item, and the id of an
        event is removed.
        """
        if isinstance(value, dict):
            return {k: self._named(v) for k, v in value.items() if k != "client_event_id"}
        if isinstance(value, list):
            return [self._named(each) for each in value]
        return self._name(value) if isinstance(value, str) else value


def _parsed(text: Any) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return text


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=repr).decode()
    return text if len(text) <= 120 else f"{text[:117]}..."


def by_lane(actions: Iterable[Action]) -> dict[str, list[Action]]:
    lanes: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        lanes[action.lane].append(action)
    return lanes
