"""Keeps what the server has already reported in a session, such as a finished transcript, so a repeated or late event
has no effect.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

__all__ = ["KnownFacts", "RecentEntries", "RepeatedMessages"]


class RecentEntries(OrderedDict[Any, Any]):
    """A mapping that keeps only the last `limit` entries, so it cannot grow without limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            self.popitem(last=False)


class KnownFacts:
    """Keeps the last 1024 facts that the server has reported, such as a finished transcript, to recognise repeated
    reports. The key of a fact is the type of the event that reports the fact, and the ids in the event.
    """

    def __init__(self) -> None:
        self._facts = RecentEntries(1024)

    def add(self, value: Any, *key: Hashable) -> bool:
        """Stores the value of a fact. `key` is the type of the event that reports the fact, and the ids in the event.
        Returns whether the fact is new or has another value than before.
        """
        if key in self._facts and self._facts[key] == value:
            return False
        self._facts[key] = value
        return True

    def has(self, *key: Hashable) -> bool:
        return key in self._facts

    def value(self, *key: Hashable) -> Any:
        """Returns what the server has reported last for this key, such as the text of a transcript, or None if the
        server has reported nothing for this key. The key is the type of the event that reports the fact, and the ids in
        the event.
        """
        return self._facts.get(key)

    def forget(self, *key: Hashable) -> None:
        self._facts.pop(key, None)


class RepeatedMessages:
    """Recognises a message that arrives twice with the same text.

    The protocol gives each event its own id, so two equal messages are the same event. Some servers give several events
    the same id. For such a server, two equal messages may be two events (for example, the caller is silent twice), so
    no message counts as repeated. An event without an id (such as a key that is pressed twice) never counts as
    repeated.
    """

    def __init__(self) -> None:
        self._seen = RecentEntries(512)
        self._ids = RecentEntries(512)
        self._ids_differ = True

    def is_repeated(self, message: str | bytes, event_id: Any = None) -> bool:
        """Stores a message. Returns whether the same message was received before. `event_id` is the id of its event, if
        known.
        """
        digest = hash(message)
        repeated = digest in self._seen
        self._seen[digest] = True
        if isinstance(event_id, str):
            if self._ids.get(event_id, digest) != digest:
                self._ids_differ = False
            self._ids[event_id] = digest
        has_id = (b'"event_id"' in message) if isinstance(message, bytes) else ('"event_id"' in message)
        return repeated and has_id and self._ids_differ and len(self._ids) > 1
