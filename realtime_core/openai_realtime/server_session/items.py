"""The items that the client, and not the model or the caller, adds to the conversation on the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ...model_events import RealtimeModelEvent, RealtimeModelItemDeletedEvent
from ...sources import Sources
from ..recovery import refused_output_note
from ..server_events import Committed, ItemDeleted
from .client_events import ClientEvents
from .item_places import ItemPlaces
from .known_facts import KnownFacts, RecentEntries
from .requests import ResponseRequests

__all__ = ["ConversationItems"]


class ConversationItems:
    """Creates and deletes items, and stores each item until the server has confirmed it."""

    def __init__(
        self,
        client: ClientEvents,
        requests: ResponseRequests,
        known: KnownFacts,
        sources: Sources,
        emit: Callable[[RealtimeModelEvent], None],
        ignored_errors: Counter[str],
    ) -> None:
        self._client = client
        self._requests = requests
        self._known = known
        self._sources = sources
        self._emit = emit
        self._ignored_errors = ignored_errors
        self._created = RecentEntries(256)
        """Event id of a `conversation.item.create` -> item id."""
        self.unconfirmed = RecentEntries(256)
        """Item id -> the item, until the server confirms it."""
        self._hidden = RecentEntries(256)
        """Items that the history does not show."""
        self._edited = RecentEntries(1024)
        """Items that the user has put into the conversation -> whether the server has confirmed them."""
        self._calls = RecentEntries(1024)
        """Call ids of the tool calls that the user has put into the conversation."""
        self._edits = RecentEntries(1024)
        """Event id of a `conversation.item.create` or `.delete` of the user -> its type and fields."""
        self.places = ItemPlaces()

    def is_deleted(self, item_id: str) -> bool:
        return self._known.has(ItemDeleted, item_id)

    def is_hidden(self, item_id: Any) -> bool:
        return str(item_id) in self._hidden

    def is_edited(self, item_id: Any) -> bool:
        """Returns whether the user has added or changed the item in the conversation. Tool calls among these items are
        not run.
        """
        return str(item_id) in self._edited

    def is_clients(self, item: Mapping[str, Any]) -> bool:
        """Returns whether the client has put this item into the conversation. It is not a new act of the model or of
        the caller: a tool call is not run again, and a text is not checked again.
        """
        item_id, call_id = item.get("id"), item.get("call_id")
        return self.is_edited(item_id) or self.is_hidden(item_id) or str(call_id) in self._calls

    def messages_to_repeat(self) -> list[dict[str, Any]]:
        """Returns the user's messages that the server has not confirmed. These messages are sent again in a new
        session.
        """
        return [
            item for item in self.unconfirmed.values() if item["type"] == "message" and not self.is_hidden(item["id"])
        ]

    def create(self, item: dict[str, Any], *, hidden: bool = False) -> str:
        """Adds an item to the conversation with the client event `conversation.item.create`. With `hidden`, the item is
        not reported to the history. Returns the id of the item.
        """
        item_id: str = item.setdefault("id", self._sources.id("item"))
        self._known.forget(ItemDeleted, item_id)
        self._created[self._client.send("conversation.item.create", {"item": item})] = item_id
        self.unconfirmed[item_id] = item
        if hidden:
            self._hidden[item_id] = True
        return item_id

    def create_note(self, text: str) -> str:
        """Adds a message for the model that is not part of the users' history. Returns the id of its item."""
        content = [{"type": "input_text", "text": text}]
        return self.create({"type": "message", "role": "system", "content": content}, hidden=True)

    def edit(self, event_id: str, type: str, fields: dict[str, Any]) -> None:
        """Sends a client event of the user that changes the conversation. `type` is `conversation.item.create` or
        `conversation.item.delete`, `fields` are the fields of the event, and `event_id` is its id.
        """
        item = fields.get("item")
        if isinstance(item, Mapping) and isinstance(call_id := item.get("call_id"), str):
            self._calls[call_id] = True
        if type == "conversation.item.create" and isinstance(item, Mapping) and (item_id := str(item.get("id") or "")):
            self._known.forget(ItemDeleted, item_id)
            self._known.add(True, Committed, item_id)  # the item is not a turn of the caller
            self._hidden.pop(item_id, None)
            self._edited[item_id] = False
            if isinstance(previous := fields.get("previous_item_id"), str):
                self.places.requested(item_id, previous)
        self._edits[event_id] = type, fields
        self._client.send(type, fields, event_id=event_id)

    def edit_refused(self, event_id: str, code: str) -> bool:
        """Reacts to the server's error `code` for an edit of the conversation. `event_id` is the id of the refused
        client event. The reason of such an error is an item that the server does not know, for example after a
        reconnect. If the edit deletes this item, the item counts as deleted. If the edit adds a new item after this
        item, the new item is added at the end. Returns False if `event_id` is no edit or the error has another reason.
        """
        type, fields = self._edits.pop(event_id, ("", {}))
        if type == "conversation.item.delete" and code == "item_delete_invalid_item_id":
            self.deleted(str(fields.get("item_id") or ""))
        elif type == "conversation.item.create" and code == "item_create_invalid_previous_item_id":
            rest = {key: value for key, value in fields.items() if key != "previous_item_id"}
            self.edit(self._client.ids(), type, rest)
        else:
            return False
        self._ignored_errors[code] += 1
        return True

    def creation_refused(self, event_id: str) -> None:
        """Registers that the server has reported an error about the client event with the id `event_id`. If this event
        was to create an item, the item is dropped. If the item was the output of a tool, the output is sent to the
        model again as a message. Any other event is ignored.
        """
        item_id = self._created.pop(event_id, None)
        if item_id is None:
            return
        item = self.unconfirmed.pop(item_id, {})
        was_wanted = self._requests.responses.answer_not_needed(item_id)
        if item.get("type") == "function_call_output":
            note_id = self.create_note(refused_output_note(item["output"]))
            if was_wanted:
                self._requests.request_answer(note_id)

    def confirmed(self, item_id: Any) -> None:
        """Marks the item as a part of the conversation on the server, because the server has confirmed it. The item is
        then not sent again in a new session.
        """
        if isinstance(item_id, str):
            self.unconfirmed.pop(item_id, None)
            if item_id in self._edited:
                self._edited[item_id] = True
            self._requests.responses.acknowledged(item_id)

    def ran_before(self, item_id: str) -> None:
        """Marks the item as a tool call that was run before this session, so the call is not run again."""
        self._edited[item_id] = True

    def deleted(self, item_id: str) -> None:
        """Emits the event that the item was removed from the conversation. A later report of the server about this
        removal then has no effect.
        """
        if self._edited.get(item_id) is not False:  # else the user has created an item with this id again
            self._known.add(True, ItemDeleted, item_id)
        self._emit(RealtimeModelItemDeletedEvent(item_id))
