"""Decides what the journal records of a call may contain, and removes all other content. Pure.

A call is *sealed* until the caller has heard the notice about the recording, after the caller has refused a recording,
and in a secret part. The records of a sealed part contain times, ids and lengths, so the call can be replayed. These
records contain no samples, words, keys or tool arguments: audio is replaced by silence of the same length, and text is
replaced by `HIDDEN`.

Words from a sealed part may arrive after the part has ended: in a transcript, at the end of an answer, or in a copy of
the conversation for a new connection. Therefore the ids of the items of a sealed part stay sealed.
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
"""The replacement for a hidden text. The replacement has a fixed length, because the length of a text could reveal
spoken digits ("four two").
"""
MARGIN_S = 0.3
"""The time in seconds after the end of a sealed part (a part that must not be recorded) in which frames are still
hidden. Frames that were spoken in the sealed part arrive late, by the delay of the line.
"""
_MAX_IDS = 20_000
_STRUCTURE = frozenset(
    {
        "type", "event", "event_id", "client_event_id", "item_id", "response_id", "call_id", "id", "name", "object",
        "status", "role", "previous_item_id", "conversation_id", "output_modalities", "modalities", "voice", "code",
        "streamSid", "accountSid", "callSid", "sequenceNumber", "track", "action", "tool", "target", "clip",
        "digest", "model", "format", "tool_choice", "phase", "reason", "from", "to", "what", "peer", "terminator",
    }
)  # fmt: skip
"""The keys of strings that a replay needs. These strings contain no words of a person."""
_OF_CONTROLS = frozenset({"action", "tool", "target", "clip", "digest", "terminator", "source", "item_id"})
_PLAIN_KINDS = frozenset(
    {"header", "stream", "close", "end", "timer", "open", "model", "lost", "handoff", "interruption", "callback",
     "rest", "answered", "verdict", "skipped", "consent", "seal", "twilio.out", "clip", "supervisor"}
)  # fmt: skip
"""The kinds of records that contain no words, keys or arguments."""
_BEGINNINGS = (".speech_started", ".speech_stopped", ".committed", ".item.added", ".item.created", ".item.create",
               ".output_item.added")  # fmt: skip
_SPOKEN = (".speech_started", ".output_item.added")
_ENDINGS = (".speech_stopped", ".output_item.done", "response.done")
_ANNOUNCING = (".added", ".created", "item.create", "speech_started", "speech_stopped", "output_item.done",
               "response.done")  # fmt: skip
"""Parts of the types of messages that show when an item begins or ends."""
_AUDIO = ("response.output_audio.delta", "response.audio.delta")


class SealReason(Enum):
    """The reasons why the conversation of a call must not be recorded at the moment (why the call is sealed)."""

    NOTICE = auto()
    """Nothing may be recorded yet: the caller has not heard the notice about the recording to its end, or has not
    answered the question of the notice.
    """
    REFUSED = auto()
    """The caller has refused a recording."""
    SECRET = auto()
    """The call is in a secret part (`Call.secret`)."""


class Seal:
    """Decides which parts of one call must not be recorded (are sealed), and hides their content in the records. All
    times are in seconds on one clock. `stamp` means a media timestamp in milliseconds.
    """

    def __init__(self) -> None:
        self._reasons: dict[SealReason, int] = {}
        self._ids: dict[str, None] = {}
        """The items, responses and tool calls of sealed parts."""
        self._known: dict[str, None] = {}
        """The items that began while the call was not sealed."""
        self._unfinished: dict[str, None] = {}
        """The items that are being spoken: a turn of the caller, or a part of an answer."""
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
        """Whether the call is in a secret part (`Call.secret`), or the caller has refused the recording."""
        return SealReason.SECRET in self._reasons or SealReason.REFUSED in self._reasons

    @property
    def watches(self) -> bool:
        """Whether messages must be searched for content that must not be recorded. True from the first part of the call
        that must not be recorded, because words from this part may also arrive later.
        """
        return bool(self._reasons or self._ids)

    def close(self, reason: SealReason) -> None:
        """Begins a part of the call that must not be recorded (seals the call), for this reason. If `close` is called
        twice with the same reason, `open` must be called twice. An item that is being spoken becomes sealed, because
        the rest of the item is spoken in the sealed part.
        """
        for item_id in self._unfinished:
            self.add(item_id)
        self._reasons[reason] = self._reasons.get(reason, 0) + 1
        self._is_frame_hidden = True

    def open(self, reason: SealReason, now: float) -> None:
        """Takes back one call of `close` with the same reason. When all calls of `close` are taken back, the
        conversation is recorded again, from the time `now` on.
        """
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
        """Returns a media timestamp in milliseconds. A frame with this timestamp or a later timestamp was certainly
        spoken after `now`.
        """
        return 0.0 if self._lag_s is None else (now - self._lag_s + MARGIN_S) * 1000

    # --- the caller's audio ------------------------------------------------------------------------------------------

    def stream_started(self) -> None:
        """Discards the measured delay between the media timestamps and the clock, because a new media stream has
        started. The timestamps of the new stream begin at 0.
        """
        self._lag_s, self._from_ms = None, 0.0

    def frame(self, stamp_ms: int, now: float) -> bool:
        """Returns whether a frame of the caller's audio belongs to a part of the call that must not be recorded. The
        journal then hides the audio. `stamp_ms` is the media timestamp of the frame. Must be called with each frame,
        when it arrives.
        """
        lag_s = now - stamp_ms / 1000
        if self._lag_s is None or lag_s < self._lag_s:
            self._lag_s = lag_s
        self._was_frame_hidden = self._is_frame_hidden
        self._is_frame_hidden = bool(self._reasons) or stamp_ms < self._from_ms
        return self._is_frame_hidden

    @property
    def hides_caller(self) -> bool:
        """Whether the resampled audio of the caller must now be hidden, because the last frame or the frame before it
        must not be recorded. The frame before it counts because the filter of the resampler mixes a part of each frame
        into the next frame.
        """
        return self._is_frame_hidden or self._was_frame_hidden

    def appended(self, n_bytes: int) -> bool:
        """Counts `n_bytes` bytes of the caller's audio that were sent to the model. The count is needed to find out
        whether speech that the model reports was spoken in a part of the call that must not be recorded. Returns the
        value of `hides_caller`.
        """
        self._appended_bytes += n_bytes
        self._is_fresh = False
        return self.hides_caller

    def connected(self) -> None:
        """Counts the caller's audio from 0 again, because the model has a new connection. The conversation is sent
        again over this connection. Items of the conversation that must not be recorded stay hidden in the journal.
        """
        self._connections += 1
        self._appended_bytes, self._spoken_ms = 0, 0.0
        self._is_fresh = self._connections > 1

    # --- items -------------------------------------------------------------------------------------------------------

    def add(self, item_id: str) -> None:
        """Marks an item as not to be recorded: records of the item are hidden until the end of the call."""
        if item_id and len(self._ids) < _MAX_IDS:
            self._ids[item_id] = None

    def hides(self, item_id: str) -> bool:
        """Returns whether the item, response or tool call with the id `item_id` belongs to a part of the call that must
        not be recorded.
        """
        return item_id in self._ids

    # --- messages and records ----------------------------------------------------------------------------------------

    def record(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Returns a journal record without the content that must not be recorded. `kind` and `fields` are the kind and
        the fields of the record.
        """
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

    def message(self, kind: str, text: str, parsed: dict[str, Any] | None = None) -> str:
        """Returns `text`, a JSON message from or to Twilio or the model, as it may be written to the journal: without
        the content that must not be recorded. `kind` is the kind of the journal record. `parsed` is the message if it
        was already parsed. This method must be called for each message, because it learns from the messages which items
        of the conversation must not be recorded. Only pieces of audio may be left out while `watches` is False.
        """
        if not self.watches:
            self._notice(text, parsed)
            return text
        message = parsed or parse_object(text)
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

    def _notice(self, text: str, parsed: dict[str, Any] | None) -> None:
        """Stores the id of an item that begins while the call is not sealed. Only messages that announce an item are
        read.
        """
        head = text[:120]
        if "session.updated" in head:
            self._is_pcmu = '"audio/pcmu"' in text
        elif any(part in head for part in _ANNOUNCING):
            message = parsed or parse_object(text)
            if message is not None:
                self._learn(str(message.get("type", "")), message)

    def _learn(self, type_: str, message: Mapping[str, Any]) -> None:
        if type_.endswith(_ENDINGS):
            for each in _ids_of(message):
                self._unfinished.pop(each, None)
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
                if type_.endswith(_SPOKEN):
                    self._unfinished[each] = None

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
        """Returns the value without the texts of sealed items."""
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
    """Returns the arguments of a tool as JSON text. The names of the arguments stay, and the values are hidden."""
    try:
        value = json.loads(arguments)
    except (TypeError, ValueError):
        return HIDDEN
    return json.dumps(_hidden(value, numbers=True, keep=frozenset()), ensure_ascii=False)


def _hidden(value: Any, *, numbers: bool = False, keep: frozenset[str] = _STRUCTURE, depth: int = MAX_DEPTH) -> Any:
    """Returns a copy of the value in which `HIDDEN` replaces all texts. If `numbers` is True, 0 replaces all
    numbers.
    """
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
    """Yields the ids of the items and of the tool calls in a message."""
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
