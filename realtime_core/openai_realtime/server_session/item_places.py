"""Finds out the order of the items of a conversation. The sources are the events of the server and the requests of the
client.

The server's events name the item before an item in `previous_item_id`. This field is null for the first item of a
conversation. Some servers send null for every item.
"""

from __future__ import annotations

from ..server_events import ServerEvent
from .known_facts import RecentEntries

__all__ = ["ItemPlaces"]


class ItemPlaces:
    """Finds out which item precedes an item in the conversation of one server session. `goes_on` is True if the
    conversation began in an earlier session. The first item of this session is then not the first item of the
    conversation.
    """

    def __init__(self) -> None:
        self.goes_on = False
        self._requested = RecentEntries(1024)
        self._naming: set[type[ServerEvent]] = set()
        self._first_item_id = ""

    def requested(self, item_id: str, previous_item_id: str) -> None:
        """Stores the place at which the client has asked the server to insert the item `item_id`: after the item
        `previous_item_id`, or as the first item (`root`). `previous` returns this place if the server does not report
        one.
        """
        self._requested[item_id] = "" if previous_item_id == "root" else previous_item_id

    def previous(self, event: type[ServerEvent], item_id: str, named: str | None) -> str | None:
        """Returns the id of the item that precedes the item `item_id` in the conversation. Returns "" if the item is
        the first, and None if its place is not known. If the result is None, the history orders the item by the time of
        its arrival.

        `event` is the type of the server event that reports the item. `named` is the predecessor that the event names:
        "" if it is null, or None if the event does not have the field. Null means that the item is the first, but some
        servers always send null. Therefore null counts only for the very first item, and for servers that have sent
        other predecessors in events of this type.
        """
        self._first_item_id = self._first_item_id or item_id
        if named:
            self._naming.add(event)
            return named
        if named == "" and not self.goes_on and (item_id == self._first_item_id or event in self._naming):
            return ""
        requested: str | None = self._requested.get(item_id)
        return requested
