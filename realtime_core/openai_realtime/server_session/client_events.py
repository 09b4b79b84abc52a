"""Encodes client events and writes them to one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..encoding import EventIds, encode
from .ports import Log

__all__ = ["ClientEvents"]


class ClientEvents:
    """Encodes client events and sends them, except the caller's audio. The function `payload_log` is called with each
    event.
    """

    def __init__(self, send: Callable[[str], None], ids: EventIds, payload_log: Log | None = None) -> None:
        self._send = send
        self._payload_log = payload_log
        self.ids = ids

    def send(self, type: str, fields: Mapping[str, Any] | None = None, *, event_id: str | None = None) -> str:
        """Sends a client event of this type with these fields. The id of the event is `event_id`, or a new id if it is
        None. Returns the id.
        """
        event_id = event_id or self.ids()
        text = encode(event_id, type, fields or {})
        if self._payload_log is not None:
            self._payload_log.debug("> %s", text)
        self._send(text)
        return event_id
