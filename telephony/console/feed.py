"""Passes the journal records of live calls to pages. A softphone (a phone in the browser) gets the records from the
start of its call. A page of the console gets the records from the time at which it was opened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from ..journal.encoding import parse_object
from ..journal.format import Journal
from .selection import select, wants

__all__ = ["Feed", "Feeds", "Follower"]

_MAX_WAITING = 2000
"""The maximum number of waiting records. If a page does not read, the oldest records are dropped."""
_MAX_FEEDS = 20


class Follower(Protocol):
    """Receives the journal records of one call. The methods must return immediately."""

    def record(self, kind: str, t: float, fields: Mapping[str, Any]) -> None: ...

    def raw(self, kind: str, t: float, json_text: str) -> None:
        """Receives a journal record that contains a message, for example a message of the model. `kind` is the kind of
        the record, `t` is its time in seconds since the start of the call, and `json_text` is the message as JSON text.
        A follower that does not use records of this kind does not have to parse the text.
        """


class Feed:
    """Passes the journal records of one call to one softphone. At most 2000 records wait. If the softphone does not
    read, the oldest records are dropped.
    """

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()

    def record(self, kind: str, t: float, fields: Mapping[str, Any]) -> None:
        if (selected := select(kind, fields)) is not None:
            self._waiting.append({"t": round(t, 6), **selected})
            self._filled.set()

    def raw(self, kind: str, t: float, json_text: str) -> None:
        if wants(kind):
            self.record(kind, t, {"message": parse_object(json_text)})

    async def records(self, *, start_s: float = 30.0) -> AsyncIterator[dict[str, Any] | None]:
        """Yields the journal records of the call until its `end` record. Yields None after 15 s without a record, so
        the caller of this method can send something and notice a closed connection.

        The iteration also ends if the call has not started within `start_s` seconds.
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
    """The followers of the calls of this process, by CallSid. A follower gets each journal record of its call. Without
    followers, a call does no extra work.
    """

    def __init__(self) -> None:
        self._followers: dict[str, list[Follower]] = {}
        self._tees: dict[str, _Tee] = {}

    @property
    def full(self) -> bool:
        return sum(map(len, self._followers.values())) >= _MAX_FEEDS

    @contextmanager
    def follow(self, call_sid: str) -> Iterator[Feed]:
        """Yields an object that receives the journal records of the call with this CallSid while they are produced,
        during this block. The block must begin before the call starts, else the first records are missing.
        """
        feed = Feed()
        with self.add(call_sid, feed):
            yield feed

    @contextmanager
    def add(self, call_sid: str, follower: Follower) -> Iterator[None]:
        """Passes the journal records of this call to `follower` while they are produced, during this block. A call
        without a journal produces records only if it had a follower at its start.
        """
        followers = self._followers.setdefault(call_sid, [])
        followers.append(follower)
        self._settle(call_sid)
        try:
            yield
        finally:
            followers.remove(follower)
            if not followers:
                del self._followers[call_sid]
            self._settle(call_sid)

    def tee(self, call_sid: str, journal: Journal) -> Journal:
        """Returns the journal that the call with this CallSid must use. It writes each record to `journal`, and passes
        the record to the followers of the call (the pages that show it). If `journal` is switched off and the call has
        no followers, returns `journal` itself.
        """
        if call_sid not in self._followers and not getattr(journal, "is_on", True):
            return journal
        tee = self._tees[call_sid] = _Tee(journal, self._closed)
        self._settle(call_sid)
        return tee

    def _closed(self, tee: _Tee) -> None:
        self._tees = {sid: each for sid, each in self._tees.items() if each is not tee}

    def _settle(self, call_sid: str) -> None:
        if (tee := self._tees.get(call_sid)) is not None:
            tee.followers = tuple(self._followers.get(call_sid, ()))


class _Tee:
    """A journal that also writes to its followers. Without followers its methods are those of the original journal."""

    def __init__(self, journal: Journal, on_close: Callable[[_Tee], None]) -> None:
        self._journal = journal
        self._on_close = on_close
        self._followers: tuple[Follower, ...] = ()
        self.masks_digits = getattr(journal, "masks_digits", True)
        self.write = journal.write
        self.write_raw = journal.write_raw

    @property
    def error(self) -> OSError | None:
        return getattr(self._journal, "error", None)

    @property
    def lost(self) -> int:
        return int(getattr(self._journal, "lost", 0))

    @property
    def followers(self) -> tuple[Follower, ...]:
        return self._followers

    @followers.setter
    def followers(self, followers: tuple[Follower, ...]) -> None:
        self._followers = followers
        self.write = self._write if followers else self._journal.write
        self.write_raw = self._write_raw if followers else self._journal.write_raw

    def close(self) -> None:
        self._journal.close()
        self._on_close(self)

    def _write(self, kind: str, t: float, /, **fields: Any) -> None:
        self._journal.write(kind, t, **fields)
        for follower in self._followers:
            follower.record(kind, t, fields)

    def _write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        self._journal.write_raw(kind, t, json_text, has_words)
        for follower in self._followers:
            follower.raw(kind, t, json_text)
