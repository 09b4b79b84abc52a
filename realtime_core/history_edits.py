"""Computes client events that change one conversation into another by deleting and creating items. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .history_order import Entry, OtherItem
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

__all__ = ["history_edits", "wire_items", "wire_outputs"]


def history_edits(
    old: Sequence[Entry], new: Sequence[RealtimeItem], *, lost: Collection[str] = ()
) -> list[RealtimeModelRawClientMessage]:
    """Returns the client events (deletions and creations of items) that change the conversation `old` into `new`. The
    order of the two sequences is the order of the conversation. `previous_item_id` of the items is ignored.

    An item that was changed or moved is deleted and created again. The items before this item stay. A tool call is
    deleted together with its output. If only the output differs, the call stays.

    `lost` has the ids of items that were created in an earlier connection to the server. The server of the current
    connection may not have these items, or may have only a message that summarises them. An edit deletes this message
    and creates the items again.
    """
    new = [_anywhere(item) for item in new]
    before = {item.item_id: _anywhere(item) for item in old if not isinstance(item, OtherItem)}
    after = {item.item_id for item in new}
    if list(before.values()) == new:
        return []
    outputs = _outputs_by_call(old)
    kept: set[str] = set()
    other_outputs: set[str] = set()
    position = 0
    order = [item_id for item_id in before if item_id in after]
    for item in new:  # the kept items must be in the old order
        known = before.get(item.item_id)
        is_same, other_output = known == item, _differs_in_output(known, item, outputs)
        if (is_same or other_output) and item.item_id not in lost and item.item_id in order[position:]:
            position = order.index(item.item_id) + 1
            kept.add(item.item_id)
            if other_output:
                other_outputs.add(item.item_id)
    notes = [item.item_id for item in old if isinstance(item, OtherItem) and item.kind == "message"]
    gone = notes if any(item_id in lost for item_id in before) else []
    for item_id, item in before.items():
        if item_id not in kept:
            gone.append(item_id)
        if isinstance(item, RealtimeToolCallItem) and (item_id not in kept or item_id in other_outputs):
            gone += outputs.get(item.call_id or "", ())
    edits = [_event("conversation.item.delete", item_id=item_id) for item_id in gone]
    last_kept = max((i for i, item in enumerate(new) if item.item_id in kept), default=-1)
    behind = _behind(old, set(gone))
    previous = "root"
    for index, item in enumerate(new):
        is_kept = item.item_id in kept
        if is_kept:
            previous = item.item_id
        for wire in wire_items(item) if not is_kept else wire_outputs(item) if item.item_id in other_outputs else ():
            at_end = index > last_kept or (index == last_kept and behind.get(item.item_id) is None)
            place = {} if at_end else {"previous_item_id": previous}
            edits.append(_event("conversation.item.create", item=wire, **place))
            previous = wire["id"]
        if is_kept:
            previous = behind.get(item.item_id) or previous
    return edits


def _anywhere(item: RealtimeItem) -> RealtimeItem:
    return replace(item, previous_item_id=None)


def _outputs_by_call(items: Sequence[Entry]) -> dict[str, list[str]]:
    """Returns a mapping from each call id to the ids of the items with the output of the call."""
    found: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, OtherItem) and item.call_id and item.output is not None:
            found.setdefault(item.call_id, []).append(item.item_id)
    return found


def _differs_in_output(old: RealtimeItem | None, new: RealtimeItem, outputs: Mapping[str, list[str]]) -> bool:
    """Returns whether both are the same tool call with different outputs, and the old output can be deleted."""
    if not isinstance(old, RealtimeToolCallItem) or not isinstance(new, RealtimeToolCallItem) or new.server_label:
        return False
    if old.output == new.output or (old.output is not None and not outputs.get(old.call_id or "")):
        return False
    return replace(old, output=new.output, status=new.status) == new


def _behind(items: Sequence[Entry], gone: set[str]) -> dict[str, str]:
    """Returns a mapping from each listed item to the last unlisted item that directly follows it. New items are
    inserted after the unlisted item.
    """
    found: dict[str, str] = {}
    head = ""
    for item in items:
        if not isinstance(item, OtherItem):
            head = item.item_id
        elif head and item.item_id not in gone:
            found[head] = item.item_id
    return found


def _event(type: str, **fields: Any) -> RealtimeModelRawClientMessage:
    return {"type": type, "other_data": fields}


def wire_items(item: RealtimeItem) -> Iterator[dict[str, Any]]:
    """Yields the item in the form of the protocol, as a client may create it.

    Speech becomes text. For the agent's speech, the text is the heard text. A tool call is followed by its output. A
    call of a hosted tool contains its output.
    """
    if isinstance(item, RealtimeToolCallItem) and item.server_label is not None:
        output = {} if item.output is None else {"output": item.output}
        called = {"server_label": item.server_label, "name": item.name, "arguments": item.arguments}
        yield {"id": item.item_id, "type": "mcp_call", **called, **output}
    elif isinstance(item, RealtimeToolCallItem):
        call_id = item.call_id or item.item_id
        call = {"type": "function_call", "call_id": call_id, "name": item.name, "arguments": item.arguments}
        yield {"id": item.item_id, **call}
        yield from wire_outputs(item)
    else:
        yield {"id": item.item_id, "type": "message", "role": item.role, "content": list(_content(item))}


def wire_outputs(item: RealtimeItem) -> Iterator[dict[str, Any]]:
    """Yields the `function_call_output` item of the protocol for a tool call with an output. Yields nothing for any
    other item.
    """
    if isinstance(item, RealtimeToolCallItem) and item.server_label is None and item.output is not None:
        output = {"call_id": item.call_id or item.item_id, "output": item.output}
        yield {"id": f"{item.item_id[:28]}_out", "type": "function_call_output", **output}


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
