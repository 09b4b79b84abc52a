"""How to make one conversation out of another: the client events that delete and create items. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .items import (
    AssistantMessageItem,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from .model_inputs import RealtimeModelRawClientMessage

__all__ = ["history_edits", "wire_items"]


def history_edits(old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> list[RealtimeModelRawClientMessage]:
    """Client events that turn `old` into `new`. An item that was changed or moved is deleted and created again; what
    comes before it stays as it is."""
    before = {item.item_id: item for item in old}
    after = {item.item_id for item in new}
    kept: set[str] = set()
    position = 0
    order = [item.item_id for item in old if item.item_id in after]
    for item in new:  # the kept items must be in the old order
        if before.get(item.item_id) == item and item.item_id in order[position:]:
            position = order.index(item.item_id) + 1
            kept.add(item.item_id)
    edits = [_event("conversation.item.delete", item_id=i) for i in before if i not in kept]
    last_kept = max((i for i, item in enumerate(new) if item.item_id in kept), default=-1)
    previous = "root"
    for index, item in enumerate(new):
        if item.item_id in kept:
            previous = item.item_id
            continue
        for wire in wire_items(item):
            place = {"previous_item_id": previous} if index < last_kept else {}  # else it goes to the end
            edits.append(_event("conversation.item.create", item=wire, **place))
            previous = wire["id"]
    return edits


def _event(type: str, **fields: Any) -> RealtimeModelRawClientMessage:
    return {"type": type, "other_data": fields}


def wire_items(item: RealtimeItem) -> Iterator[dict[str, Any]]:
    """The protocol's form of an item that a client may create: speech as text (of the agent's, what was heard), a tool
    call followed by its output."""
    if isinstance(item, RealtimeToolCallItem):
        call_id = item.call_id or item.item_id
        call = {"type": "function_call", "call_id": call_id, "name": item.name, "arguments": item.arguments}
        yield {"id": item.item_id, **call}
        if item.output is not None:
            output = {"type": "function_call_output", "call_id": call_id, "output": item.output}
            yield {"id": f"{item.item_id[:28]}_out", **output}
        return
    yield {"id": item.item_id, "type": "message", "role": item.role, "content": list(_content(item))}


def _content(item: SystemMessageItem | UserMessageItem | AssistantMessageItem) -> Iterator[dict[str, Any]]:
    if isinstance(item, AssistantMessageItem):
        yield {"type": "output_text", "text": item.heard_text}
        return
    for part in item.content:
        match part:
            case InputText(text=text) | InputAudio(transcript=text) if text:
                yield {"type": "input_text", "text": text}
            case InputImage(image_url=url) if url:
                detail = {"detail": part.detail} if part.detail else {}
                yield {"type": "input_image", "image_url": url, **detail}
