"""A queue with a size limit. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["BoundedQueue"]

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """A first-in, first-out queue with items of a total size of at most `limit`. A larger item is accepted only if the
    queue is empty.

    `size_of` returns the size of an item (default: 1). If there is no room for a new item, the oldest items for which
    `may_drop` returns True are dropped (default: none), and `on_drop` is called with each of them. If there is still no
    room, the new item is refused.
    """

    def __init__(
        self,
        limit: int,
        size_of: Callable[[T], int] = lambda item: 1,
        *,
        may_drop: Callable[[T], bool] | None = None,
        on_drop: Callable[[T], None] = lambda item: None,
    ) -> None:
        self._limit = limit
        self._size_of = size_of
        self._may_drop = may_drop
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self.size = 0
        """The sizes of the waiting items together."""
        self.dropped = 0
        """The sizes of the dropped items together. Refused items do not count."""

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def put(self, item: T) -> bool:
        """Adds an item. Returns whether the queue accepted the item."""
        size = self._size_of(item)
        while self._items and self.size + size > self._limit:
            if not self._drop_one():
                return False
        self._items.append(item)
        self.size += size
        return True

    def popleft(self) -> T:
        """Removes and returns the oldest item. Raises `IndexError` if the queue is empty."""
        item = self._items.popleft()
        self.size -= self._size_of(item)
        return item

    def take(self) -> list[T]:
        """Removes and returns all items, in order."""
        items = list(self._items)
        self._items.clear()
        self.size = 0
        return items

    def _drop_one(self) -> bool:
        if self._may_drop is None:
            return False
        for index, item in enumerate(self._items):
            if self._may_drop(item):
                del self._items[index]
                size = self._size_of(item)
                self.size -= size
                self.dropped += size
                self._on_drop(item)
                return True
        return False
