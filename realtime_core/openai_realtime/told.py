"""What a server session has told already, so that a repeated or a late event changes nothing. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

__all__ = ["Messages", "Recent", "Told"]


class Recent(OrderedDict[Any, Any]):
    """The last entries only: a mapping of at most `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            self.popitem(last=False)


class Told:
    """Facts by a key: the event that tells them, and what it is about."""

    def __init__(self) -> None:
        self._facts = Recent(1024)

    def news(self, value: Any, *key: Hashable) -> bool:
        """Note a fact; returns whether it was not known, or known otherwise."""
        if key in self._facts and self._facts[key] == value:
            return False
        self._facts[key] = value
        return True

    def knows(self, *key: Hashable) -> bool:
        return key in self._facts

    def fact(self, *key: Hashable) -> Any:
        """The fact, or None where it is not known."""
        return self._facts.get(key)

    def forget(self, *key: Hashable) -> None:
        self._facts.pop(key, None)


class Messages:
    """Recognises a message that comes twice, word for word.

    That works where each event has an id of its own, as the protocol has it. From a server that uses one id for several
    events, two equal messages may be two events (a piece of silence after another), and none is taken for a repetition.
    The same goes for an event without an id (a key that is pressed twice).
    """

    def __init__(self) -> None:
        self._seen = Recent(512)
        self._ids = Recent(512)
        self._ids_differ = True

    def is_repeated(self, message: str | bytes, event_id: Any = None) -> bool:
        """Note a message. `event_id` is that of its event, as far as it was read."""
        digest = hash(message)
        repeated = digest in self._seen
        self._seen[digest] = True
        if isinstance(event_id, str):
            if self._ids.get(event_id, digest) != digest:
                self._ids_differ = False
            self._ids[event_id] = digest
        has_id = (b'"event_id"' in message) if isinstance(message, bytes) else ('"event_id"' in message)
        return repeated and has_id and self._ids_differ and len(self._ids) > 1
