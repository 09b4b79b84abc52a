"""Delivers session events to consumers: streams with limits, and handlers that are called immediately."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING, Literal

from . import user_code
from .errors import RealtimeCoreError, UserError

if TYPE_CHECKING:
    from .config import RealtimeQueueSettings
    from .events import RealtimeAnyEvent

__all__ = ["EventHub", "EventStream", "EventsOverflowed"]

_Class = Literal["audio", "raw", "history", "control"]
_DROPPABLE: dict[str, _Class] = {
    "audio": "audio",
    "raw_model_event": "raw",
    "transcript_delta": "raw",
    "input_audio_transcription_delta": "raw",
    "history_updated": "history",
}
_RAW_BYTES = 1_000_000


class EventsOverflowed(RealtimeCoreError):
    """A consumer was ended because too many events were queued for this consumer. The session continues."""


class _Slot:
    """A place in the queue. `event` is None after it was dropped."""

    __slots__ = ("event", "size")

    def __init__(self, event: RealtimeAnyEvent, size: int) -> None:
        self.event: RealtimeAnyEvent | None = event
        self.size = size


class EventStream:
    """The events for one consumer, in order: `async for event in stream`.

    The limits depend on the kind of event. Audio is limited by bytes. Raw events of the model and text deltas are
    limited by their number. Above the limit the oldest of them are dropped first. All other events are control events,
    which are never dropped. Only the latest `history_updated` event is kept. After the end of the session, the queued
    events are delivered first. Then the iteration stops, or raises the exception of the session.

    `types` limits the stream to events of these types. An empty collection selects all events.
    """

    def __init__(self, types: Collection[str] = (), *, audio_bytes: int, raw_events: int, control_events: int) -> None:
        self._types = frozenset(types)
        self._slots: deque[_Slot] = deque()
        self._live = 0
        self._of: dict[_Class, deque[_Slot]] = {
            "audio": deque(),
            "raw": deque(),
            "history": deque(),
            "control": deque(),
        }
        self._size = dict.fromkeys(self._of, 0)
        self._audio_bytes = audio_bytes
        self._raw_events = raw_events
        self._control_events = control_events
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._ended = False
        self._error: Exception | None = None
        self.dropped_audio_bytes = 0
        """Bytes of audio that were dropped."""
        self.dropped_raw_events = 0
        """How many raw events and text deltas were dropped."""

    def __len__(self) -> int:
        """Returns the number of queued events."""
        return self._live

    @property
    def waiting(self) -> list[RealtimeAnyEvent]:
        """The queued events that the consumer has not received yet, the oldest first."""
        return [slot.event for slot in self._slots if slot.event is not None]

    def put(self, event: RealtimeAnyEvent) -> None:
        """Queues an event for the consumer. If too many audio events, raw events or text deltas are queued, the oldest
        of this kind are dropped. All other events (control events) are not dropped: too many of them end the stream
        with `EventsOverflowed`. Does nothing after the end of the stream, or if the stream does not select the type of
        the event.
        """
        if self._ended or (self._types and event.type not in self._types):
            return
        kind = _DROPPABLE.get(event.type, "control")
        slot = _Slot(event, _size(event, kind))
        self._slots.append(slot)
        self._of[kind].append(slot)
        self._size[kind] += slot.size
        self._live += 1
        self._keep_bound(kind)
        self._wake()

    def _keep_bound(self, kind: _Class) -> None:
        waiting = self._of[kind]
        if kind == "history":
            while len(waiting) > 1:
                self._drop(kind)
        elif kind == "audio":
            while self._size[kind] > self._audio_bytes and len(waiting) > 1:
                self.dropped_audio_bytes += self._drop(kind)
        elif kind == "raw":
            while len(waiting) > self._raw_events or (self._size[kind] > _RAW_BYTES and len(waiting) > 1):
                self._drop(kind)
                self.dropped_raw_events += 1
        elif len(waiting) > self._control_events:
            self.end(
                EventsOverflowed(
                    f"This consumer gets no more events: {len(waiting)} are queued, which is over the limit. "
                    "Take events faster, or subscribe to fewer types."
                )
            )
            self._clear()

    def _drop(self, kind: _Class) -> int:
        """Drops the oldest event of a kind. Its slot stays empty until half of the slots are empty."""
        slot = self._of[kind].popleft()
        self._size[kind] -= slot.size
        slot.event = None
        self._live -= 1
        if len(self._slots) > 64 and self._live < len(self._slots) // 2:
            self._slots = deque(s for s in self._slots if s.event is not None)
        return slot.size

    def _clear(self) -> None:
        self._slots.clear()
        self._live = 0
        for waiting in self._of.values():
            waiting.clear()

    def end(self, error: Exception | None = None) -> None:
        """Ends the stream after the queued events: the iteration then stops, or raises `error` if it is not None. Only
        the first call has an effect.
        """
        if not self._ended:
            self._ended = True
            self._error = error
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """Ends the stream immediately, and drops the queued events. Called for a consumer that needs no more events."""
        self.end()
        self._error = None
        self._clear()

    @property
    def ended(self) -> bool:
        return self._ended

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _take(self) -> RealtimeAnyEvent | None:
        while self._slots:
            slot = self._slots.popleft()
            if (event := slot.event) is not None:
                kind = _DROPPABLE.get(event.type, "control")
                self._of[kind].popleft()
                self._size[kind] -= slot.size
                self._live -= 1
                return event
        return None

    async def __anext__(self) -> RealtimeAnyEvent:
        while True:
            if (event := self._take()) is not None:
                return event
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and self._live:
                    self._wake()  # pass the wake-up on to another consumer
                raise

    def __aiter__(self) -> AsyncIterator[RealtimeAnyEvent]:
        return self

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


def _size(event: RealtimeAnyEvent, kind: _Class) -> int:
    """Returns about how many bytes the event needs in memory. Returns 0 if only the number of events is limited."""
    if event.type == "audio":
        return len(event.audio)
    if event.type == "raw_model_event":
        data = getattr(event.data, "data", None)
        payload = data.get("delta") if isinstance(data, dict) else data
        return len(payload) if isinstance(payload, str | bytes) else 0
    return 0


EventHandler = Callable[["RealtimeAnyEvent"], None]


class EventHub:
    """Delivers the events of one session to its consumers. Each event is queued in all open streams, from which
    consumers read. Then each handler (a plain function) is called with the event immediately.
    """

    def __init__(self, settings: RealtimeQueueSettings, audio_bytes_per_ms: float) -> None:
        self._settings = settings
        self._audio_bytes_per_ms = audio_bytes_per_ms
        self._handlers: tuple[EventHandler, ...] = ()
        self._streams: tuple[EventStream, ...] = ()
        self._failures: set[tuple[str, str, str]] = set()
        self._ended = False
        self._error: Exception | None = None

    @property
    def has_handlers(self) -> bool:
        return bool(self._handlers)

    def add_handler(self, handler: EventHandler) -> None:
        if inspect.iscoroutinefunction(handler):
            raise UserError("A handler must be a plain function. For async code take the events with `subscribe`.")
        if handler not in self._handlers:
            self._handlers = (*self._handlers, handler)

    def remove_handler(self, handler: EventHandler) -> None:
        self._handlers = tuple(h for h in self._handlers if h != handler)

    def open_stream(self, types: Collection[str] = (), after: EventStream | None = None) -> EventStream:
        """Opens and returns a stream of all later events, or only of the events whose type is in `types`. With `after`,
        the stream begins with the events that are queued in the stream `after`. These events also stay in `after`.
        """
        stream = EventStream(
            types,
            audio_bytes=int(self._settings.get("audio_ms", 60_000) * self._audio_bytes_per_ms),
            raw_events=self._settings.get("raw_events", 256),
            control_events=self._settings.get("control_events", 10_000),
        )
        for event in after.waiting if after is not None else ():
            stream.put(event)
        if self._ended:
            stream.end(self._error)
        else:
            self._streams = (*(s for s in self._streams if not s.ended), stream)
        return stream

    def emit(self, event: RealtimeAnyEvent) -> None:
        if self._ended:
            return
        for stream in self._streams:  # before the handlers, which may cause further events
            stream.put(event)
        for handler in self._handlers:
            try:
                user_code.call_now(handler, event)
            except Exception as error:  # noqa: BLE001 - a user's code
                self._handler_failed(handler, event, error)

    def _handler_failed(self, handler: EventHandler, event: RealtimeAnyEvent, error: Exception) -> None:
        """Logs a failure of a handler. Only the first failure of each kind is logged, because audio events come fifty
        times a second.
        """
        kind = (user_code.name_of(handler), event.type, type(error).__name__)
        if kind not in self._failures:
            self._failures.add(kind)
            user_code.log_failure("An event handler of the session", error, at=event.type)

    def end(self, error: Exception | None = None) -> None:
        """Ends all streams. The streams deliver their queued events, and then stop, or raise `error` if it is
        not None.
        """
        self._ended = True
        self._error = self._error or error
        for stream in self._streams:
            stream.end(error)
        self._streams = ()
