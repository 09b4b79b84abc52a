"""Keeps what the server has already reported in a session, such as a finished transcript, so a repeated or late event
has no effect.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from typing import Any

__all__ = ["KnownFacts", "RecentEntries", "RepeatedMessages"]


_NO_ID = 0


class RecentEntries(dict[Any, Any]):
    """A mapping that keeps only the last `limit` entries, so it cannot grow without limit."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            del self[next(iter(self))]


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


class _RecentHashes:
    """The last 512 hashes, and up to 64 hashes before. A hash takes 9 bytes. In a set, it takes over 60."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._low = bytearray()
        """The lowest byte of each hash. It can be searched much faster than the hashes."""

    def __contains__(self, value: int) -> bool:
        at = self._low.find(value & 255)
        while at >= 0:
            if self._hashes[at] == value:
                return True
            at = self._low.find(value & 255, at + 1)
        return False

    def add(self, value: int) -> None:
        self._hashes.append(value)
        self._low.append(value & 255)
        if len(self._low) > 512 + 64:
            del self._hashes[:64], self._low[:64]


class RepeatedMessages:
    """Recognises a message that arrives twice with the same text.

    The protocol gives each event its own id, so two equal messages are the same event. Some servers give several events
    the same id. For such a server, two equal messages may be two events (for example, the caller is silent twice), so
    no message counts as repeated. An event without an id (such as a key that is pressed twice) never counts as
    repeated.
    """

    def __init__(self) -> None:
        self._seen = _RecentHashes()
        self._ids = _RecentHashes()
        """The id of each message in `_seen`, or `_NO_ID`."""
        self._n_ids = 0
        self._ids_differ = True

    def is_repeated(self, message: str | bytes, event_id: Any = None) -> bool:
        """Stores a message. Returns whether the same message was received before. `event_id` is the id of its event, if
        known.
        """
        if not self._ids_differ:
            return False
        digest = hash(message)
        if digest in self._seen:
            has_id = (b'"event_id"' in message) if isinstance(message, bytes) else ('"event_id"' in message)
            return has_id and self._n_ids > 1
        id_hash = _NO_ID
        if isinstance(event_id, str):
            id_hash = hash(event_id)
            self._n_ids += 1
            self._ids_differ = id_hash not in self._ids
        self._seen.add(digest)
        self._ids.add(id_hash)
        return False
