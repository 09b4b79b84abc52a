"""The order of a conversation's items, from the protocol's `previous_item_id`. Pure.

A conversation also has items that the history does not list: outputs of tools (a part of their call), lists of tools,
requests for approval and their answers, reasoning, and unknown types. Other items can name these items as their
predecessor, so each unlisted item keeps its place as an `OtherItem`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .items import RealtimeItem, RealtimeToolCallItem

__all__ = ["Entry", "Items", "OtherItem", "call_index", "chain_end", "index", "listed", "place", "taken_out"]


@dataclass(frozen=True, slots=True)
class OtherItem:
    """An item that has a place in the order of the conversation and is not shown in the history. `kind` is the
    protocol's `type`. `call_id` and `output` are set only if the item is the output of a tool.
    """

    item_id: str
    kind: str
    previous_item_id: str | None = None
    call_id: str | None = None
    output: str | None = None


Entry = RealtimeItem | OtherItem
Items = tuple[Entry, ...]


def listed(items: Items) -> list[RealtimeItem]:
    """Returns the items that users see in the history. Leaves out the entries of type `OtherItem`: they are stored only
    because other items name them as their predecessor.
    """
    return [item for item in items if not isinstance(item, OtherItem)]


def index(items: Items, item_id: str) -> int | None:
    """Returns the index of the item with the id `item_id` in `items`, or None. The search starts at the end, because
    most changes are there.
    """
    return next((i for i in range(len(items) - 1, -1, -1) if items[i].item_id == item_id), None)


def call_index(items: Items, call_id: str | None) -> int | None:
    """Returns the index in `items` of the tool call with the id `call_id`, or None."""
    if not call_id:
        return None
    for i in range(len(items) - 1, -1, -1):
        item = items[i]
        if isinstance(item, RealtimeToolCallItem) and item.call_id == call_id:
            return i
    return None


def chain_end(items: Items, start: int) -> int:
    """Returns the index after the last item of the chain that begins at the index `start`. In a chain, each item names
    the item before it as its predecessor.
    """
    end = start + 1
    while end < len(items) and items[end].previous_item_id == items[end - 1].item_id:
        end += 1
    return end


def place(items: Items, chain: Items) -> Items:
    """Returns the items of a conversation with a chain of items inserted. In a chain, each item names the item before
    it as its predecessor. The chain is inserted after the predecessor of its first item. If `items` already contains an
    item whose predecessor is the last item of the chain, this item and its own chain are moved after the inserted
    chain.
    """
    previous = chain[0].previous_item_id
    if previous is None:
        at = len(items)
    elif previous == "":
        at = 0
    else:
        known = index(items, previous)
        at = len(items) if known is None else known + 1
    waiting = next((i for i, item in enumerate(items) if item.previous_item_id == chain[-1].item_id), None)
    if waiting is None:
        return items[:at] + chain + items[at:]
    end = chain_end(items, waiting)
    followers, rest = items[waiting:end], items[:waiting] + items[end:]
    if waiting < at:
        at = max(waiting, at - len(followers))
    return rest[:at] + chain + followers + rest[at:]


def taken_out(items: Items, at: int) -> Items:
    """Returns the items without the item at the index `at`. Items whose predecessor was this item get the predecessor
    of this item as their predecessor.
    """
    gone = items[at]
    rest = items[:at] + items[at + 1 :]
    return tuple(
        replace(item, previous_item_id=gone.previous_item_id) if item.previous_item_id == gone.item_id else item
        for item in rest
    )
