"""The items of a conversation: messages and tool calls, with the names of the Realtime protocol.

Items are immutable. The history (`realtime_core.history`) replaces changed items. No item contains audio. The `audio`
fields exist for compatibility and are always `None`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from .errors import UserError

__all__ = [
    "AssistantAudio",
    "AssistantContent",
    "AssistantMessageItem",
    "AssistantText",
    "InputAudio",
    "InputImage",
    "InputText",
    "ItemStatus",
    "RealtimeItem",
    "RealtimeMessageItem",
    "RealtimeResponse",
    "RealtimeToolCallItem",
    "SystemMessageItem",
    "UserContent",
    "UserMessageItem",
    "item_from_dict",
    "item_of",
]

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class _Dumpable:
    """Provides `model_dump` and `model_copy` for compatibility with pydantic items."""

    __slots__ = ()

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False) -> dict[str, Any]:
        """Returns plain dicts and lists that can be written as JSON. `item_from_dict` can read the result."""
        data: dict[str, Any] = dataclasses.asdict(self)  # type: ignore[call-overload]
        return _without_none(data) if exclude_none else data

    def model_dump_json(self, *, exclude_none: bool = False) -> str:
        """Returns the item as JSON text."""
        return json.dumps(self.model_dump(exclude_none=exclude_none), ensure_ascii=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Returns a copy of the item with some fields changed."""
        return dataclasses.replace(self, **(update or {}))  # type: ignore[type-var]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class InputText(_Dumpable):
    """A content part with text that the user wrote."""

    type: Literal["input_text"] = "input_text"
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudio(_Dumpable):
    """A content part with speech of the caller. `transcript` is None until the speech is transcribed."""

    type: Literal["input_audio"] = "input_audio"
    audio: str | None = None
    transcript: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage(_Dumpable):
    """A content part with an image: its `https:` or `data:` URL."""

    type: Literal["input_image"] = "input_image"
    image_url: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantText(_Dumpable):
    """A content part with text that the model wrote."""

    type: Literal["text"] = "text"
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantAudio(_Dumpable):
    """A content part with speech of the model.

    `transcript` is the whole generated text. `received_ms` is the length of the received audio. If playback was cut,
    `heard_ms` is the heard position in milliseconds, otherwise None. `heard_transcript` has the words up to the heard
    position. These words are an estimate: if half of the audio was heard, they are the first half of the text, cut at
    the end of a word.
    """

    type: Literal["audio"] = "audio"
    audio: str | None = None
    transcript: str | None = None
    received_ms: float = 0.0
    heard_ms: int | None = None
    heard_transcript: str | None = None

    @property
    def heard(self) -> str | None:
        """The words that the listener heard: `heard_transcript` if playback was cut, otherwise `transcript`. None if
        there is no transcript.
        """
        return self.transcript if self.heard_ms is None else self.heard_transcript


UserContent = InputText | InputAudio | InputImage
AssistantContent = AssistantText | AssistantAudio


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMessageItem(_Dumpable):
    """A message with an instruction for the model within the conversation."""

    item_id: str
    previous_item_id: str | None = None
    type: Literal["message"] = "message"
    role: Literal["system"] = "system"
    content: list[InputText]
    status: ItemStatus | None = None

    @property
    def text(self) -> str:
        return " ".join(part.text for part in self.content if part.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessageItem(_Dumpable):
    """A message of the user, spoken or written."""

    item_id: str
    previous_item_id: str | None = None
    type: Literal["message"] = "message"
    role: Literal["user"] = "user"
    content: list[UserContent]
    status: ItemStatus | None = None

    @property
    def text(self) -> str:
        """The written text, or the transcript of the speech."""
        return " ".join(t for part in self.content if (t := _user_text(part)))


def _user_text(part: UserContent) -> str | None:
    if isinstance(part, InputText):
        return part.text
    return part.transcript if isinstance(part, InputAudio) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessageItem(_Dumpable):
    """A message of the agent, spoken or written."""

    item_id: str
    previous_item_id: str | None = None
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: ItemStatus | None = None
    content: list[AssistantContent]

    @property
    def text(self) -> str:
        """The whole text that the model generated, including text that was not heard."""
        return " ".join(t for p in self.content if (t := p.transcript if isinstance(p, AssistantAudio) else p.text))

    @property
    def heard_text(self) -> str:
        """The text that the listener heard."""
        return " ".join(t for p in self.content if (t := p.heard if isinstance(p, AssistantAudio) else p.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeToolCallItem(_Dumpable):
    """A tool call with its output. `output` is None until the tool has run.

    `server_label` is the name of the MCP server if the model's server ran the call (hosted MCP). In this case,
    `call_id` is the id of the item, and the output of a failed call is the text of the error. With `server_label` None,
    the session runs the tool.
    """

    item_id: str
    previous_item_id: str | None = None
    call_id: str | None = None
    type: Literal["function_call"] = "function_call"
    status: ItemStatus = "in_progress"
    arguments: str
    name: str
    output: str | None = None
    server_label: str | None = None


RealtimeMessageItem = SystemMessageItem | UserMessageItem | AssistantMessageItem
RealtimeItem = RealtimeMessageItem | RealtimeToolCallItem


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeResponse(_Dumpable):
    """One response of the model: its id and its messages."""

    id: str
    output: list[RealtimeMessageItem]


_USER_PARTS: dict[str, type[UserContent]] = {
    "input_text": InputText,
    "input_audio": InputAudio,
    "input_image": InputImage,
}
_ASSISTANT_PARTS: dict[str, type[AssistantContent]] = {
    "text": AssistantText,
    "output_text": AssistantText,
    "audio": AssistantAudio,
    "output_audio": AssistantAudio,
}


def item_of(given: Any) -> RealtimeItem:
    """Returns `given` as an item of the history. `given` is an item, a dict with the fields of an item (in the form of
    `model_dump` or of the protocol), or an object with `model_dump`, such as an item of the OpenAI Agents SDK. Raises
    `UserError` for other objects, and for an item without an id.
    """
    item = given
    if not isinstance(item, RealtimeItem):
        data = given.model_dump() if hasattr(given, "model_dump") else given
        if not isinstance(data, Mapping):
            raise UserError(f"An item of a conversation cannot be {given!r}.")
        item = item_from_dict(data)
    if not item.item_id:
        raise UserError(f"An item of a conversation needs an item_id: {given!r}.")
    return item


def item_from_dict(data: Mapping[str, Any]) -> RealtimeItem:
    """Converts the result of `model_dump`, or the protocol's form (`id` in place of `item_id`, `output_audio`, ...), to
    an item.

    Audio, unknown fields, unknown content parts and values of a wrong type are omitted. Raises `UserError` for an
    unknown type or role.
    """
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    head: dict[str, Any] = {
        "item_id": texts.get("item_id") or texts.get("id") or "",
        "previous_item_id": texts.get("previous_item_id"),
    }
    if data.get("type") == "function_call":
        fields: dict[str, Any] = {
            k: texts[k] for k in ("call_id", "arguments", "name", "output", "status", "server_label") if k in texts
        }
        return RealtimeToolCallItem(**head, **{"arguments": "", "name": "", **fields})
    head["status"] = texts.get("status")
    given = data.get("content")
    content = [part for part in given if isinstance(part, Mapping)] if isinstance(given, list | tuple) else []
    match data.get("role"):
        case "user":
            return UserMessageItem(**head, content=_parts(_USER_PARTS, content))
        case "assistant":
            return AssistantMessageItem(**head, content=_parts(_ASSISTANT_PARTS, content))
        case "system" | "developer":
            return SystemMessageItem(**head, content=_parts({"input_text": InputText}, content))
        case role:
            raise UserError(f"An item of a conversation cannot have type {data.get('type')!r}, role {role!r}.")


def _parts(classes: Mapping[str, Any], content: list[Mapping[str, Any]]) -> list[Any]:
    parts = []
    for raw in content:
        if (cls := classes.get(str(raw.get("type")))) is not None:
            names = {f.name for f in dataclasses.fields(cls)} - {"type", "audio"}
            kinds = {name: int | float if name.endswith("_ms") else str for name in names}
            parts.append(cls(**{k: v for k, v in raw.items() if k in names and isinstance(v, kinds[k])}))
    return parts
