"""The items of a conversation of the embedded server, in order, and the rules for changing them. Pure.

Source of the rules: the Realtime API's reference, `conversation.item.create`, `.delete`, `.truncate`, `.retrieve`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .checks import anything, boolean, choice, integer, items, obj, text
from .formats import PCM, WireFormat
from .rejection import Rejected, invalid_type, invalid_value, missing, no_such_item
from .voice import Speech

__all__ = ["CREATE", "NAME_ITEM", "Item", "Items"]

_STATUS = choice("completed", "incomplete", "in_progress")
_CALL_ID = text(64, "[a-zA-Z0-9_-]+")
_BASE = {"type": text(), "id": text(32), "object": choice("realtime.item"), "status": _STATUS}
_MCP = {"type": text(), "id": text(32), "server_label": text()}
_PART = {
    "type": choice("input_text", "input_audio", "input_image", "output_text", "output_audio"),
    "text": text(),
    "audio": text(),
    "transcript": text(),
    "image_url": text(),
    "detail": choice("auto", "low", "high"),
}
_KINDS = {
    "message": obj(
        {**_BASE, "role": choice("system", "user", "assistant"), "content": items(obj(_PART, "type"))},
        "role",
        "content",
    ),
    "function_call": obj({**_BASE, "name": text(), "call_id": _CALL_ID, "arguments": text()}, "name", "arguments"),
    "function_call_output": obj({**_BASE, "call_id": _CALL_ID, "output": text()}, "call_id", "output"),
    "mcp_call": obj(
        {
            **_MCP,
            "name": text(),
            "arguments": text(),
            "output": text(),
            "error": anything,
            "approval_request_id": text(),
        },
        "server_label",
        "name",
        "arguments",
    ),
    "mcp_list_tools": obj({**_MCP, "tools": items(anything)}, "server_label", "tools"),
    "mcp_approval_request": obj({**_MCP, "name": text(), "arguments": text()}, "server_label", "name", "arguments"),
    "mcp_approval_response": obj(
        {"type": text(), "id": text(32), "approval_request_id": text(), "approve": boolean, "reason": text()},
        "approval_request_id",
        "approve",
    ),
}
_PARTS_OF = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
}
CREATE = obj({"type": text(), "event_id": text(), "item": anything, "previous_item_id": anything})
"""The schema of the event `conversation.item.create`: the names of its fields. The class `Items` checks the item
itself.
"""
NAME_ITEM = obj({"type": text(), "event_id": text(), "item_id": anything})
"""The schema of the events `conversation.item.delete` and `conversation.item.retrieve`: the names of their fields. The
class `Items` checks the value of `item_id`.
"""
_TRUNCATE = obj(
    {
        "type": text(),
        "event_id": text(),
        "item_id": text(),
        "content_index": integer(0, 0),
        "audio_end_ms": integer(0, 10**9),
    },
    "item_id",
    "content_index",
    "audio_end_ms",
)


@dataclass(slots=True)
class Item:
    """One item of the conversation. `wire` is the item as a JSON object of the protocol, without audio. The other
    fields describe the model's audio that was sent for the item.
    """

    wire: dict[str, Any]
    speech: Speech | None = None
    format: WireFormat = PCM
    audio_bytes: int = 0
    audio_tokens: int = 0
    has_model_audio: bool = False

    @property
    def id(self) -> str:
        return self.wire["id"]  # type: ignore[no-any-return]

    @property
    def audio_ms(self) -> float:
        return self.audio_bytes / self.format.bytes_per_ms

    def with_audio(self) -> dict[str, Any]:
        """Returns the item in the protocol's form with its audio, for the event `conversation.item.retrieved`."""
        if self.speech is None:
            return self.wire
        audio = base64.b64encode(self.speech.encoded(self.format)[: self.audio_bytes]).decode()
        return {**self.wire, "content": [{**part, "audio": audio} for part in self.wire["content"]]}


class Items:
    """The items of the session's conversation, in order: messages, tool calls and results of tools."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []

    def __iter__(self) -> Iterator[Item]:
        return (self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        return self._order[-1] if self._order else None

    def append(self, item: Item) -> str | None:
        """Adds an item at the end. Returns the id of the item before it, or None."""
        previous = self.last_id
        self._items[item.id] = item
        self._order.append(item.id)
        return previous

    def previous_id(self, item_id: str) -> str | None:
        at = self._order.index(item_id) if item_id in self._items else 0
        return self._order[at - 1] if at else None

    def call(self, call_id: str) -> Item | None:
        """Returns the function call item with the id `call_id`, or None."""
        return next((i for i in self if i.wire["type"] == "function_call" and i.wire["call_id"] == call_id), None)

    def _asks(self, item_id: str) -> bool:
        """Returns whether the item is a request for approval."""
        return item_id in self._items and self._items[item_id].wire["type"] == "mcp_approval_request"

    def create(self, wire: Any, previous_item_id: Any, new_id: str) -> Item:
        """Creates an item from `wire`, the object that a client sent, and inserts the item after the item with the id
        `previous_item_id`. With None, the new item is the last item. With `root`, the new item is the first item.
        `new_id` is the id of the new item if the client gave no id. Returns the new item. Raises `Rejected` for an
        invalid item.
        """
        wire = self.check(wire, new_id)
        if wire["id"] in self._items:
            message = f"Error adding item: the item with id '{wire['id']}' already exists."
            raise Rejected(message, code="item_create_duplicate_item_id", param="item.id")
        if wire["type"] == "function_call_output" and self.call(wire["call_id"]) is None:
            raise Rejected(f"Tool call ID '{wire['call_id']}' not found in conversation.", code="invalid_tool_call_id")
        if wire["type"] == "mcp_approval_response" and not self._asks(wire["approval_request_id"]):
            raise invalid_value("item.approval_request_id", wire["approval_request_id"])
        item = Item(wire)
        if previous_item_id is None:
            self.append(item)
            return item
        if previous_item_id != "root" and (
            not isinstance(previous_item_id, str) or previous_item_id not in self._items
        ):
            message = f"Error adding item: the previous item with id '{previous_item_id}' does not exist."
            raise Rejected(message, code="item_create_invalid_previous_item_id", param="previous_item_id")
        self._items[item.id] = item
        self._order.insert(0 if previous_item_id == "root" else self._order.index(previous_item_id) + 1, item.id)
        return item

    @staticmethod
    def check(wire: Any, new_id: str) -> dict[str, Any]:
        """Checks `wire`, the object of an item that a client sent, and returns the object in the server's form.
        `new_id` is the id of the item if the client gave none. Raises `Rejected` for an invalid object.
        """
        if not isinstance(wire, dict):
            raise missing("item") if wire is None else invalid_type("item", "an object", wire)
        if "type" not in wire:
            raise missing("item.type")
        if not isinstance(wire["type"], str) or wire["type"] not in _KINDS:
            raise invalid_value("item.type", wire["type"], *_KINDS)
        _KINDS[wire["type"]](wire, "item")
        common = {} if wire["type"].startswith("mcp_") else {"object": "realtime.item", "status": "completed"}
        made: dict[str, Any] = {"id": new_id, **common, **wire}
        if made["type"] == "function_call":
            made.setdefault("call_id", new_id.replace("item_", "call_"))
        for i, part in enumerate(made.get("content", ())):
            if part["type"] not in _PARTS_OF[made["role"]]:
                raise invalid_value(f"item.content[{i}].type", part["type"], *_PARTS_OF[made["role"]])
            if part["type"].endswith("_text") and "text" not in part:
                raise missing(f"item.content[{i}].text")
        if "content" in made:
            made["content"] = [{k: v for k, v in part.items() if k != "audio"} for part in made["content"]]
        return made

    def retrieve(self, item_id: Any) -> Item:
        return self._get(item_id, "retrieving", "retrieve")

    def delete(self, item_id: Any) -> None:
        self._get(item_id, "deleting", "delete")
        del self._items[item_id]
        self._order.remove(item_id)

    def truncate(self, event: dict[str, Any]) -> Item:
        """Handles the client event `conversation.item.truncate`: cuts the model's audio of an item at the heard
        position. Removes the transcript, because the server does not know which words were heard. Returns the item.
        """
        _TRUNCATE(event, "")
        item = self._get(event["item_id"], "truncating", "truncate")
        if not item.has_model_audio:
            raise Rejected("Only model output audio messages can be truncated", code="unsupported_content_type")
        if event["audio_end_ms"] > item.audio_ms:
            message = f"Audio content of {int(item.audio_ms)}ms is already shorter than {event['audio_end_ms']}ms"
            raise Rejected(message, code="invalid_value", param="audio_end_ms")
        item.audio_bytes = event["audio_end_ms"] * item.format.bytes_per_ms
        item.wire = {**item.wire, "content": [{"type": "output_audio", "transcript": ""}]}
        return item

    def _get(self, item_id: Any, doing: str, verb: str) -> Item:
        if item_id is None:
            raise missing("item_id")
        item = self._items.get(item_id) if isinstance(item_id, str) else None
        if item is None:
            raise no_such_item(doing, verb, item_id)
        return item
