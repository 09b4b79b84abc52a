"""Decides what the records of a call may contain, and removes the rest. Pure.

A call is *sealed* before the notice about its recording was heard, after the caller has refused a recording, and in a
secret part. The records of a sealed part keep times, ids and lengths, so that the call can be replayed. They have no
sample, no word, no key and no argument of a tool: audio becomes silence of the same length, a text becomes `HIDDEN`.

What was said in a sealed part may arrive later: a transcript, the end of an answer, a copy of the conversation for a
new connection. So the ids of its items stay sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any

import pybase64

from ...journal.encoding import MAX_DEPTH, dump, parse_object
from ...masking import BULLET

__all__ = ["HIDDEN", "Seal", "SealReason", "hidden_arguments"]

HIDDEN = BULLET * 3
"""The replacement for a hidden text of any length. A replacement of the same length would reveal spoken digits ("four
two")."""
MARGIN_S = 0.3
"""A frame that was spoken in a sealed part arrives later, by the delay of the line. Frames up to this long after the
seal was opened are hidden, too."""
_MAX_IDS = 20_000
_STRUCTURE = frozenset(
    {
        "type", "event", "event_id", "client_event_id", "item_id", "response_id", "call_id", "id", "name", "object",
        "status", "role", "previous_item_id", "conversation_id", "output_modalities", "modalities", "voice", "code",
        "streamSid", "accountSid", "callSid", "sequenceNumber", "track", "action", "tool", "target", "clip",
        "digest", "model", "format", "tool_choice", "phase", "reason", "from", "to", "what", "peer", "terminator",
    }
)  # fmt: skip
"""The keys of strings that a replay needs. None holds words of a person."""
_OF_CONTROLS = frozenset({"action", "tool", "target", "clip", "digest", "terminator", "source", "item_id"})
_PLAIN_KINDS = frozenset(
    {"header", "stream", "close", "end", "timer", "open", "model", "lost", "handoff", "interruption", "callback",
     "rest", "answered", "verdict", "skipped", "consent", "seal", "twilio.out", "clip", "supervisor"}
)  # fmt: skip
"""Kinds of records without words, keys and arguments."""
_BEGINNINGS = (".speech_started", ".speech_stopped", ".committed", ".item.added", ".item.created", ".item.create",
               ".output_item.added")  # fmt: skip
_AUDIO = ("response.output_audio.delta", "response.audio.delta")


class SealReason(Enum):
    """The reason why a call is sealed."""

    NOTICE = auto()
    """The notice about the recording was not heard yet, or its question was not answered."""
    REFUSED = auto()
    """The caller has refused a recording."""
    SECRET = auto()
    """The call is in a secret part."""


class Seal:
    """The seal of one call. All times are in seconds of one clock, and stamps are media timestamps in milliseconds."""

    def __init__(self) -> None:
        self._reasons: dict[SealReason, int] = {}
        self._ids: dict[str, None] = {}
        """The items, responses and tool calls of sealed parts."""
        self._known: dict[str, None] = {}
        """The items that began while the call was not sealed."""
        self._lag_s: float | None = None
        self._from_ms = 0.0
        """A frame with an earlier stamp than this is hidden."""
        self._is_frame_hidden = False
        self._was_frame_hidden = False
        self._connections = 0
        self._is_fresh = False
        self._is_pcmu = False
        self._appended_bytes = 0
        self._spoken_ms = 0.0

    # --- opening and closing -----------------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return bool(self._reasons)

    @property
    def is_secret(self) -> bool:
        """Whether the call is in a secret part, or was not to be recorded."""
        return SealReason.SECRET in self._reasons or SealReason.REFUSED in self._reasons

    @property
    def watches(self) -> bool:
        """Whether messages have to be searched for sealed content: the call is sealed now, or was sealed before."""
        return bool(self._reasons or self._ids)

    def close(self, reason: SealReason) -> None:
        """Seals the call for this reason. Two seals for the same reason have to be opened twice."""
        self._reasons[reason] = self._reasons.get(reason, 0) + 1
        self._is_frame_hidden = True

    def open(self, reason: SealReason, now: float) -> None:
        """Removes one seal of this reason. The call stays sealed until its last seal is removed."""
        left = self._reasons.get(reason, 0) - 1
        if left > 0:
            self._reasons[reason] = left
        elif left == 0:
            del self._reasons[reason]
            self._from_ms = self.stamp_after(now)
            if reason is SealReason.SECRET:
                per_ms = 8 if self._is_pcmu else 48
                self._spoken_ms = self._appended_bytes / per_ms + MARGIN_S * 1000

    def stamp_after(self, now: float) -> float:
        """Returns the media timestamp in milliseconds. A frame with this timestamp or a later one was certainly spoken
        after `now`.
        """
        return 0.0 if self._lag_s is None else (now - self._lag_s + MARGIN_S) * 1000

    # --- the caller's audio ------------------------------------------------------------------------------------------

    def stream_started(self) -> None:
        """A media stream has started. Its timestamps begin at 0."""
        self._lag_s, self._from_ms = None, 0.0

    def frame(self, stamp_ms: int, now: float) -> bool:
        """Handles a frame of the caller. Returns whether the frame has to be hidden."""
        lag_s = now - stamp_ms / 1000
        if self._lag_s is None or lag_s < self._lag_s:
            self._lag_s = lag_s
        self._was_frame_hidden = self._is_frame_hidden
        self._is_frame_hidden = bool(self._reasons) or stamp_ms < self._from_ms
        return self._is_frame_hidden

    @property
    def hides_caller(self) -> bool:
        """Whether the last frame of the caller was hidden, or the one before it. The filter of the resampler carries a
        part of a frame into the next one."""
        return self._is_frame_hidden or self._was_frame_hidden

    def appended(self, n_bytes: int) -> None:
        """Registers that audio of the caller went to the model."""
        self._appended_bytes += n_bytes
        self._is_fresh = False

    def connected(self) -> None:
        """Notes a new connection to the model. It gets a copy of the conversation."""
        self._connections += 1
        self._appended_bytes, self._spoken_ms = 0, 0.0
        self._is_fresh = self._connections > 1

    # --- items -------------------------------------------------------------------------------------------------------

    def add(self, item_id: str) -> None:
        """Seals an item. It stays sealed until the end of the call."""
        if item_id and len(self._ids) < _MAX_IDS:
            self._ids[item_id] = None

    def hides(self, item_id: str) -> bool:
        """Returns whether this item, response or tool call belongs to a sealed part."""
        return item_id in self._ids

    def hides_new(self, item_id: str) -> bool:
        """Returns whether this item is sealed. In a sealed part an item that is not known becomes sealed."""
        if self._reasons and item_id not in self._known:
            self.add(item_id)
        return item_id in self._ids

    # --- messages and records ----------------------------------------------------------------------------------------

    def record(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Returns the record without the content that the seal hides."""
        if not self.watches or kind in _PLAIN_KINDS or (kind == "twilio.in" and "message" in fields):
            return fields
        if kind in ("tool.start", "tool.end"):
            return self._tool(kind, fields)
        if not self._reasons:
            return fields
        if kind in ("control", "control.end", "play", "error"):
            return {**_hidden(fields, keep=_OF_CONTROLS)}
        return {**_hidden(fields, numbers=True, keep=frozenset())}

    def _tool(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        call_id = str(fields.get("call_id"))
        if kind == "tool.start" and self._reasons:
            self.add(call_id)
        elif call_id not in self._ids:
            return fields
        hidden = dict(fields)
        if "arguments" in fields:
            hidden["arguments"] = hidden_arguments(fields["arguments"])
        if "output" in fields:
            hidden["output"] = HIDDEN
        if "error" in fields:
            hidden["error"] = str(fields["error"]).partition(":")[0]
        return hidden

    def message(self, kind: str, text: str) -> str:
        """A message of one of the connections, as JSON text, without the content that the seal hides. Call this method
        for each message, because the messages show which items are sealed."""
        if not self.watches:
            self._notice(text)
            return text
        message = parse_object(text)
        if message is None:
            return text
        if kind.startswith("twilio"):
            return self._of_twilio(message, text)
        type_ = str(message.get("type", ""))
        if type_.startswith("session."):
            return dump(_instructions_hidden(message)) if self.is_secret else text
        self._learn(type_, message)
        ids = tuple(_ids_of(message))
        if type_ in _AUDIO:
            return dump(self._silent(message)) if self._reasons or self._touches(ids) else text
        if type_ == "conversation.item.create" and self._is_fresh and self._ids:
            return dump(_hidden(message))  # a copy of the conversation for a new connection
        if self._touches(ids):
            return dump(self._items_hidden(message))
        if self._reasons and not (ids and all(each in self._known for each in ids)):
            return dump(_hidden(message))
        return text

    def _notice(self, text: str) -> None:
        """Remembers an item that begins while the call is not sealed. Only messages that announce an item are read."""
        head = text[:120]
        if "session.updated" in head:
            self._is_pcmu = '"audio/pcmu"' in text
        elif ".added" in head or ".created" in head or "speech_started" in head or "item.create" in head:
            message = parse_object(text)
            if message is not None:
                self._learn(str(message.get("type", "")), message)

    def _learn(self, type_: str, message: Mapping[str, Any]) -> None:
        is_piece = type_.startswith("response.") and type_.endswith(".delta")
        if not is_piece and not type_.endswith(_BEGINNINGS):
            return
        was_spoken_inside = (
            type_.endswith("speech_started") and _number(message.get("audio_start_ms")) < self._spoken_ms
        )
        for each in _ids_of(message):
            if self._reasons or was_spoken_inside:
                self.add(each)
            elif each not in self._ids and len(self._known) < _MAX_IDS:
                self._known[each] = None

    def _of_twilio(self, message: dict[str, Any], text: str) -> str:
        if isinstance(media := message.get("media"), dict) and "payload" in media and self._is_frame_hidden:
            n = len(pybase64.b64decode(media["payload"]))
            silence = pybase64.b64encode(b"\xff" * n).decode()
            return json.dumps({**message, "media": {**media, "payload": silence}}, separators=(",", ":"))
        if isinstance(dtmf := message.get("dtmf"), dict) and (self._reasons or self._is_frame_hidden):
            return dump({**message, "dtmf": {**dtmf, "digit": BULLET}})
        return text

    def _touches(self, ids: Iterable[str]) -> bool:
        return any(each in self._ids for each in ids)

    def _items_hidden(self, value: Any) -> Any:
        """Returns the value without the texts of its sealed items."""
        if isinstance(value, list):
            return [self._items_hidden(each) for each in value]
        if not isinstance(value, dict):
            return value
        if any(str(value.get(name)) in self._ids for name in ("id", "item_id", "call_id")):
            return _hidden(value)
        return {name: self._items_hidden(each) for name, each in value.items()}

    def _silent(self, message: dict[str, Any]) -> dict[str, Any]:
        """Returns the message with silence in place of its audio."""
        n = len(pybase64.b64decode(str(message.get("delta", ""))))
        silence = (b"\xff" if self._is_pcmu else b"\x00") * n
        return {**message, "delta": pybase64.b64encode(silence).decode()}


def hidden_arguments(arguments: Any) -> str:
    """Returns the arguments of a tool, as JSON text, with the same names and without their values."""
    try:
        value = json.loads(arguments)
    except (TypeError, ValueError):
        return HIDDEN
    return json.dumps(_hidden(value, numbers=True, keep=frozenset()), ensure_ascii=False)


def _hidden(value: Any, *, numbers: bool = False, keep: frozenset[str] = _STRUCTURE, depth: int = MAX_DEPTH) -> Any:
    """Returns the value with `HIDDEN` for its texts, and with 0 for its numbers where `numbers` is set."""
    match value:
        case str():
            return HIDDEN
        case bool() | None:
            return value
        case int() | float():
            return 0 if numbers else value
        case list() | tuple():
            return (
                HIDDEN if depth < 0 else [_hidden(each, numbers=numbers, keep=keep, depth=depth - 1) for each in value]
            )
        case Mapping() if depth < 0:
            return HIDDEN
        case Mapping():
            return {name: _hidden_at(name, each, numbers, keep, depth) for name, each in value.items()}
    return HIDDEN


def _hidden_at(name: str, value: Any, numbers: bool, keep: frozenset[str], depth: int) -> Any:
    if name in keep and not isinstance(value, Mapping):
        return value
    if name == "arguments" and isinstance(value, str):
        return hidden_arguments(value)
    return _hidden(value, numbers=numbers, keep=keep, depth=depth - 1)


def _instructions_hidden(message: Mapping[str, Any]) -> dict[str, Any]:
    session = message.get("session")
    if not isinstance(session, Mapping) or "instructions" not in session:
        return dict(message)
    return {**message, "session": {**session, "instructions": HIDDEN}}


def _ids_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yields the ids of the items of a message, and of tool calls."""
    for holder in (message, *_objects(message)):
        for name in ("item_id", "call_id", "id"):
            if isinstance(found := holder.get(name), str) and (holder is not message or name != "id"):
                yield found


def _objects(message: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if isinstance(item := message.get("item"), Mapping):
        yield item
    if isinstance(response := message.get("response"), Mapping):
        for each in response.get("output") or ():
            if isinstance(each, Mapping):
                yield each


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
