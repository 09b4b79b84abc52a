"""Delivers model events to listeners, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from .. import user_code
from ..done import is_done, withdraw
from ..model import RealtimeModelListener
from ..model_events import RealtimeModelEvent

__all__ = ["Listeners"]

_FULL = 1024
_ROOM_AGAIN = 256


class Listeners:
    """Delivers each event to every listener. A listener that does not wait gets the event in the same step of the event
    loop. A listener that must be awaited gets this event and all later events through one ordered queue. If the queue
    is full, `on_full(True)` pauses the source of the events, and `on_full(False)` ends the pause, so no event is
    dropped.
    """

    def __init__(self, on_full: Callable[[bool], None]) -> None:
        self._on_full = on_full
        self._listeners: tuple[RealtimeModelListener, ...] = ()
        self._waiting: deque[tuple[RealtimeModelListener, RealtimeModelEvent, Any]] = deque()
        self._wake = asyncio.Event()
        self._slow: set[RealtimeModelListener] = set()
        self._is_full = False
        self._ended = False

    def add(self, listener: RealtimeModelListener) -> None:
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)

    def remove(self, listener: RealtimeModelListener) -> None:
        self._listeners = tuple(each for each in self._listeners if each is not listener)
        self._slow.discard(listener)

    def emit(self, event: RealtimeModelEvent) -> None:
        for listener in self._listeners:
            if listener in self._slow:
                self._wait(listener, event, None)
            elif not is_done(handling := user_code.begin(listener.on_event, event)):
                self._slow.add(listener)
                self._wait(listener, event, handling)
        if len(self._waiting) >= _FULL and not self._is_full:
            self._is_full = True
            self._on_full(True)

    def _wait(self, listener: RealtimeModelListener, event: RealtimeModelEvent, handling: Any) -> None:
        self._waiting.append((listener, event, handling))
        self._wake.set()

    def end(self) -> None:
        """Stops accepting events. `deliver` returns when all queued events have been delivered."""
        self._ended = True
        self._wake.set()

    def restart(self) -> None:
        """Undoes `end`: a later call of `deliver` waits for new events again."""
        self._ended = False

    async def deliver(self) -> None:
        """Delivers the queued events to the listeners that wait (`async` listeners), one event after the other. Returns
        when `end` was called and all queued events are delivered. Exceptions of listeners go to the loop's exception
        handler.
        """
        while True:
            while self._waiting:
                listener, event, handling = self._waiting.popleft()
                if self._is_full and len(self._waiting) <= _ROOM_AGAIN:
                    self._is_full = False
                    self._on_full(False)
                if listener in self._listeners:
                    await _deliver(listener, event, handling)
                else:
                    withdraw(handling)
            if self._ended:
                return
            self._wake.clear()
            await self._wake.wait()


async def _deliver(listener: RealtimeModelListener, event: RealtimeModelEvent, handling: Any) -> None:
    """Awaits the listener for `event`. If the listener was already called, `handling` is its result."""
    try:
        await user_code.call(listener.on_event if handling is None else lambda event: handling, event)
    except Exception as error:  # noqa: BLE001 - the listener is the user's
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{type(listener).__name__}.on_event failed for {event.type!r}", "exception": error}
        )
