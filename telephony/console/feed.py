"""Feeds of live calls: copies of journal records for pages that follow a call from its start."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from ..journal.encoding import parse_object
from ..journal.format import Journal
from .selection import select, wants

__all__ = ["Feed", "Feeds"]

_MAX_WAITING = 2000
"""The maximum number of waiting records. If a page does not read, the oldest are dropped."""
_MAX_FEEDS = 20


class Feed:
    """The feed of one call for one page."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()

    def put(self, record: dict[str, Any]) -> None:
        self._waiting.append(record)
        self._filled.set()

    async def records(self, *, start_s: float = 30.0) -> AsyncIterator[dict[str, Any] | None]:
        """Yield the records until the `end` of the call, and None from time to time while there are none.

        It also ends if the call has not started within `start_s`.
        """
        begun = False
        while True:
            if not self._waiting:
                self._filled.clear()
                try:
                    async with asyncio.timeout(15.0 if begun else start_s):
                        await self._filled.wait()
                except TimeoutError:
                    if not begun:
                        return
                    yield None
                    continue
            begun = True
            record = self._waiting.popleft()
            yield record
            if record["kind"] == "end":
                return


class Feeds:
    """All feeds of a process, by CallSid. A call without followers has no cost."""

    def __init__(self) -> None:
        self._feeds: dict[str, list[Feed]] = {}

    @property
    def full(self) -> bool:
        return sum(map(len, self._feeds.values())) >= _MAX_FEEDS

    @contextmanager
    def follow(self, call_sid: str) -> Iterator[Feed]:
        """Follow the call with this CallSid, which has not started yet."""
        feed = Feed()
        self._feeds.setdefault(call_sid, []).append(feed)
        try:
            yield feed
        finally:
            followers = self._feeds[call_sid]
            followers.remove(feed)
            if not followers:
                del self._feeds[call_sid]

    def tee(self, call_sid: str, journal: Journal) -> Journal:
        """A journal that writes to `journal` and to the feeds of the call. If the call has no feed, it is `journal`
        itself."""
        followers = self._feeds.get(call_sid)
        return journal if followers is None else _Tee(journal, followers)


class _Tee:
    def __init__(self, journal: Journal, followers: list[Feed]) -> None:
        self._journal = journal
        self._followers = followers
        self.masks_digits = getattr(journal, "masks_digits", True)

    @property
    def error(self) -> OSError | None:
        return getattr(self._journal, "error", None)

    @property
    def lost(self) -> int:
        return int(getattr(self._journal, "lost", 0))

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        self._journal.write(kind, t, **fields)
        self._feed(kind, t, fields)

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        self._journal.write_raw(kind, t, json_text)
        if self._followers and wants(kind):
            self._feed(kind, t, {"message": parse_object(json_text)})

    def close(self) -> None:
        self._journal.close()

    def _feed(self, kind: str, t: float, fields: dict[str, Any]) -> None:
        if self._followers and (record := select(kind, fields)) is not None:
            for feed in self._followers:
                feed.put({"t": round(t, 6), **record})
