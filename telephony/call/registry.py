"""The live calls of this process, and whether it takes more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from .call import Call

__all__ = ["Registry"]


class Registry:
    """Counts the live calls. `draining`: those that are there finish, new ones are refused."""

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self.draining = False
        self._calls: dict[str, Call] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def has_room(self) -> bool:
        return not self.draining and len(self._calls) < self.max_calls

    def add(self, call: Call) -> None:
        self._calls[call.info.stream_sid] = call
        self._empty.clear()

    def remove(self, call: Call) -> None:
        self._calls.pop(call.info.stream_sid, None)
        if not self._calls:
            self._empty.set()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    async def empty(self) -> None:
        """Return when no call is left."""
        await self._empty.wait()
