"""Computes the conversation from the events of the model: `reduce(items, event) -> (items, changes)`. Pure.

`items` is a tuple in the order of the conversation. The tuple and its items are never changed in place. The order
follows the protocol's `previous_item_id`, even if an item arrives before its predecessor (`history_order`). The
history that applications get has messages and finished tool calls. Other items are stored only because their neighbours
name them as predecessors. No
audio is stored. Each audio part of the agent has the received length, the spoken text and, if playback was cut, the
heard text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from .history_merge import later_status, merged, words_within
from .history_order import Entry, Items, OtherItem, call_index, chain_end, index, listed, place, taken_out
from .items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputText,
    ItemStatus,
    RealtimeItem,
    RealtimeToolCallItem,
    UserMessageItem,
)
from .model_events import (
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioCommittedEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherItemEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelOutputTextDoneEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
)

__all__ = ["Added", "Change", "Deleted", "Items", "ToolOutputSent", "Updated", "reduce"]


@dataclass(frozen=True, slots=True)
class Added:
    item: RealtimeItem


@dataclass(frozen=True, slots=True)
class Updated:
    item: RealtimeItem


@dataclass(frozen=True, slots=True)
class Deleted:
    item_id: str


Change = Added | Updated | Deleted
Reduced = tuple[Items, tuple[Change, ...]]


@dataclass(frozen=True, slots=True)
class ToolOutputSent:
    """The model has received the output of a tool call. The session itself creates this event."""

    call_id: str
    output: str


def reduce(items: Items, event: RealtimeModelEvent | ToolOutputSent, *, bytes_per_ms: float = 48.0) -> Reduced:
    """Returns the conversation after `event`, and a tuple of the changes: an `Added`, `Updated` or `Deleted` for each
    item that differs. Events that do not concern the conversation have no effect.

    `bytes_per_ms` is the number of bytes per millisecond of the session's output audio: 48 for PCM16 at 24 kHz, 8 for
    G.711.
    """
    match event:
        case RealtimeModelAudioEvent():
            return _received(items, event, len(event.data) / bytes_per_ms)
        case (
            RealtimeModelTranscriptDeltaEvent()
            | RealtimeModelTranscriptDoneEvent()
            | RealtimeModelOutputTextDeltaEvent()
            | RealtimeModelOutputTextDoneEvent()
        ):
            return _said(items, event)
        case RealtimeModelItemUpdatedEvent():
            return _upsert(items, event.item, event.previous_item_id)
        case RealtimeModelInputAudioCommittedEvent():
            turn = UserMessageItem(item_id=event.item_id, content=[InputAudio()], status="in_progress")
            return _upsert(items, turn, event.previous_item_id)
        case RealtimeModelInputAudioTranscriptionCompletedEvent():
            final: Callable[[str], str] = lambda known: event.transcript or known  # noqa: E731
            return _transcribed(items, event.item_id, event.content_index, final, "completed")
        case RealtimeModelInputAudioTranscriptionDeltaEvent():
            grown: Callable[[str], str] = lambda known: known + event.delta  # noqa: E731
            return _transcribed(items, event.item_id, event.content_index, grown, "in_progress")
        case RealtimeModelInputAudioTranscriptionFailedEvent():
            return _update(items, event.item_id, UserMessageItem, lambda item: replace(item, status="incomplete"))
        case RealtimeModelTurnEndedEvent():
            return _ended(items, "completed" if event.status == "completed" else "incomplete")
        case RealtimeModelAudioInterruptedEvent():
            return _interrupted(items, event)
        case RealtimeModelItemTruncatedEvent():
            return _cut(items, event.item_id, event.content_index, event.audio_end_ms)
        case RealtimeModelItemDeletedEvent():
            return _deleted(items, event.item_id)
        case RealtimeModelToolCallEvent():
            return _upsert(items, _tool_call_item(event), event.previous_item_id)
        case ToolOutputSent():
            return _tool_output(items, event.call_id, event.output)
        case RealtimeModelOtherItemEvent():
            return _other(items, event)
        case _:
            return items, ()


# Items of the server


def _upsert(items: Items, new: RealtimeItem, previous_item_id: str | None) -> Reduced:
    previous = new.previous_item_id if previous_item_id is None else previous_item_id
    at = index(items, new.item_id)
    if isinstance(new, RealtimeToolCallItem):
        at = call_index(items, new.call_id) if at is None else at
        new = _with_known_output(items, new)
    if at is None:
        item = replace(new, previous_item_id=previous)
        placed = place(items, (item,))
        return placed, (Added(item), *_moved(items, placed))
    old = items[at]
    item = replace(new, previous_item_id=old.previous_item_id if old.previous_item_id is not None else previous)
    if not isinstance(old, OtherItem):
        item = merged(old, item)
    if item == old:
        return items, ()
    put = _put(items, at, item)
    return put, (Added(item) if isinstance(old, OtherItem) else Updated(item), *_moved(items, put, except_for=item))


def _other(items: Items, event: RealtimeModelOtherItemEvent) -> Reduced:
    """Stores the place of an item that the history does not list. A tool's output belongs to its tool call."""
    before, at = items, index(items, event.item_id)
    entry = OtherItem(event.item_id, event.item_type, event.previous_item_id, event.call_id, event.output)
    if at is None:
        items = place(items, (entry,))
    else:
        old = items[at]
        if not isinstance(old, OtherItem):
            return items, ()
        if old.previous_item_id is not None:
            entry = replace(entry, previous_item_id=old.previous_item_id)
        items = _put(items, at, entry)
    if event.output is None:
        return items, _moved(before, items)
    after, changes = _tool_output(items, event.call_id, event.output)
    return after, (*changes, *_moved(before, items))


def _moved(before: Items, after: Items, *, except_for: RealtimeItem | None = None) -> tuple[Updated, ...]:
    """Returns an `Updated` for each listed item that has another place among the items that were listed before."""
    if after[: len(before)] == before:
        return ()
    known, now = [item.item_id for item in listed(before)], listed(after)
    new = [item for item in now if item.item_id in known]
    ids = {item.item_id for item in new}
    old = [item_id for item_id in known if item_id in ids]
    return tuple(
        Updated(item) for item_id, item in zip(old, new, strict=True) if item.item_id != item_id and item != except_for
    )


def _put(items: Items, at: int, entry: Entry) -> Items:
    """Replaces the item at the index `at`. If the new item has a new place, the item and its followers are moved to
    this place.
    """
    if entry.previous_item_id == items[at].previous_item_id:
        return (*items[:at], entry, *items[at + 1 :])
    end = chain_end(items, at)
    return place(items[:at] + items[end:], (entry, *items[at + 1 : end]))


def _replaced(items: Items, at: int, item: RealtimeItem) -> Reduced:
    if items[at] == item:
        return items, ()
    return (*items[:at], item, *items[at + 1 :]), (Updated(item),)


TItem = TypeVar("TItem", UserMessageItem, AssistantMessageItem)


def _update(items: Items, item_id: str, cls: type[TItem], change: Callable[[TItem], TItem]) -> Reduced:
    """Changes an item of this class, if there is such an item."""
    at = index(items, item_id)
    if at is None:
        return items, ()
    item = items[at]
    return _replaced(items, at, change(item)) if isinstance(item, cls) else (items, ())


def _deleted(items: Items, item_id: str) -> Reduced:
    at = index(items, item_id)
    if at is None:
        return items, ()
    gone, items = items[at], taken_out(items, at)
    if not isinstance(gone, OtherItem):
        return items, (Deleted(item_id),)
    at = call_index(items, gone.call_id)
    if at is None:
        return items, ()
    call = items[at]
    assert isinstance(call, RealtimeToolCallItem)
    return _replaced(items, at, replace(call, output=None, status="in_progress"))


# Speech of the agent


def _with_part(
    content: list[AssistantContent], index: int, cls: type[AssistantAudio] | type[AssistantText]
) -> tuple[list[AssistantContent], AssistantContent]:
    """Returns a copy of the content that has a part of this class at `index`, and this part."""
    grown = [*content, *(cls() for _ in range(index + 1 - len(content)))]
    if not isinstance(grown[index], cls):
        grown[index] = cls()
    return grown, grown[index]


def _said(
    items: Items,
    event: RealtimeModelTranscriptDeltaEvent
    | RealtimeModelTranscriptDoneEvent
    | RealtimeModelOutputTextDeltaEvent
    | RealtimeModelOutputTextDoneEvent,
) -> Reduced:
    spoken = isinstance(event, RealtimeModelTranscriptDeltaEvent | RealtimeModelTranscriptDoneEvent)

    def change(item: AssistantMessageItem) -> AssistantMessageItem:
        content, part = _with_part(item.content, event.content_index, AssistantAudio if spoken else AssistantText)
        if isinstance(event, RealtimeModelOutputTextDoneEvent):
            content[event.content_index] = AssistantText(text=event.text)
        elif isinstance(part, AssistantText):
            assert isinstance(event, RealtimeModelOutputTextDeltaEvent)
            content[event.content_index] = replace(part, text=(part.text or "") + event.delta)
        elif isinstance(event, RealtimeModelTranscriptDoneEvent):
            content[event.content_index] = _heard(replace(part, transcript=event.transcript or part.transcript))
        else:
            content[event.content_index] = _heard(replace(part, transcript=(part.transcript or "") + event.delta))
        return replace(item, content=content)

    if index(items, event.item_id) is None:
        item = change(AssistantMessageItem(item_id=event.item_id, content=[], status="in_progress"))
        return (*items, item), (Added(item),)
    return _update(items, event.item_id, AssistantMessageItem, change)


def _received(items: Items, event: RealtimeModelAudioEvent, ms: float) -> Reduced:
    """Counts the received audio of a part. Causes no history event."""

    def change(item: AssistantMessageItem) -> AssistantMessageItem:
        content, part = _with_part(item.content, event.content_index, AssistantAudio)
        assert isinstance(part, AssistantAudio)
        content[event.content_index] = replace(part, received_ms=part.received_ms + ms)
        return replace(item, content=content)

    return _update(items, event.item_id, AssistantMessageItem, change)[0], ()


def _ended(items: Items, status: ItemStatus) -> Reduced:
    """Ends the agent's messages that the server did not end before their response. The server makes one response at a
    time, so all open messages belong to the response that ended.
    """
    changed = {
        item.item_id: replace(item, status=status)
        for item in items
        if isinstance(item, AssistantMessageItem) and item.status == "in_progress"
    }
    return tuple(changed.get(item.item_id, item) for item in items), tuple(Updated(item) for item in changed.values())


# The heard position


def _interrupted(items: Items, event: RealtimeModelAudioInterruptedEvent) -> Reduced:
    cuts = [(cut.item_id, cut.content_index, cut.audio_end_ms) for cut in event.truncations]
    if not cuts and event.audio_end_ms > 0:
        cuts = [(event.item_id, event.content_index, event.audio_end_ms)]
    changes: list[Change] = []
    for item_id, content_index, audio_end_ms in cuts:
        items, changed = _cut(items, item_id, content_index, audio_end_ms)
        changes += changed
    return items, tuple(changes)


def _cut(items: Items, item_id: str, content_index: int, audio_end_ms: int) -> Reduced:
    def change(item: AssistantMessageItem) -> AssistantMessageItem:
        if content_index >= len(item.content):
            return item
        part = item.content[content_index]
        if not isinstance(part, AssistantAudio) or (
            part.heard_ms == audio_end_ms and part.heard_transcript is not None
        ):
            return item
        content = list(item.content)
        content[content_index] = _heard(replace(part, heard_ms=audio_end_ms, heard_transcript=None))
        return replace(item, content=content)

    return _update(items, item_id, AssistantMessageItem, change)


def _heard(part: AssistantAudio) -> AssistantAudio:
    """Returns the part with the heard words. The words are computed once, because text that arrives after the cut was
    not heard.
    """
    if part.heard_ms is None or part.heard_transcript is not None or part.transcript is None:
        return part
    fraction = part.heard_ms / part.received_ms if part.received_ms > 0 else float(part.heard_ms > 0)
    return replace(part, heard_transcript=words_within(part.transcript, fraction))


# Speech of the caller, and tools


def _transcribed(
    items: Items, item_id: str, content_index: int, text: Callable[[str], str], status: ItemStatus
) -> Reduced:
    def change(item: UserMessageItem) -> UserMessageItem:
        content = list(item.content) or [InputAudio()]
        places = [i for i, part in enumerate(content) if isinstance(part, InputAudio)]
        if not places:
            return item
        at = content_index if content_index in places else places[0]
        part = content[at]
        assert isinstance(part, InputAudio)
        content[at] = replace(part, transcript=text(part.transcript or ""))
        return replace(item, content=content, status=later_status(item.status, status))

    if index(items, item_id) is None:
        known = InputText(text=text("")) if status == "completed" else InputAudio(transcript=text(""))
        item = UserMessageItem(item_id=item_id, content=[known], status=status)
        return (*items, item), (Added(item),)
    return _update(items, item_id, UserMessageItem, change)


def _tool_call_item(event: RealtimeModelToolCallEvent) -> RealtimeToolCallItem:
    return RealtimeToolCallItem(
        item_id=event.id or event.call_id, call_id=event.call_id, name=event.name, arguments=event.arguments
    )


def _tool_output(items: Items, call_id: str | None, output: str) -> Reduced:
    at = call_index(items, call_id)
    if at is None:
        return items, ()
    call = items[at]
    assert isinstance(call, RealtimeToolCallItem)
    return _replaced(items, at, replace(call, output=output, status="completed"))


def _with_known_output(items: Items, call: RealtimeToolCallItem) -> RealtimeToolCallItem:
    """Returns the tool call with its output, if the output arrived before the call."""
    for item in items if call.output is None and call.call_id else ():
        if isinstance(item, OtherItem) and item.call_id == call.call_id and item.output is not None:
            return replace(call, output=item.output, status="completed")
    return call
