"""The order of the items, from what the server reports and what the client has requested.

The protocol's `previous_item_id` is null for the first item of a conversation. Some servers send null for every item.
"""

from __future__ import annotations

from ..server_events import ServerEvent
from .known_facts import Recent

__all__ = ["ItemPlaces"]


class ItemPlaces:
    """The places of one server session's items. `goes_on` means that another session came before this one, so its first
    item is not the first of the conversation.
    """

    def __init__(self) -> None:
        self.goes_on = False
        self._requested = Recent(1024)
        self._naming: set[type[ServerEvent]] = set()
        self._first_item_id = ""

    def requested(self, item_id: str, previous_item_id: str) -> None:
        """Registers that the client requests an item after another one, or as the first (`root`)."""
        self._requested[item_id] = "" if previous_item_id == "root" else previous_item_id

    def previous(self, event: type[ServerEvent], item_id: str, named: str | None) -> str | None:
        """Returns the item before `item_id`. "": it is the first of the conversation. None means that this is unknown,
        so the order is that of arrival.

        `named` is the predecessor in that kind of event: "" for null, None if the event does not have it. Null means
        the first item if the server names predecessors in other events of that kind, and for the first item that comes
        at all.
        """
        self._first_item_id = self._first_item_id or item_id
        if named:
            self._naming.add(event)
            return named
        if named == "" and not self.goes_on and (item_id == self._first_item_id or event in self._naming):
            return ""
        requested: str | None = self._requested.get(item_id)
        return requested
