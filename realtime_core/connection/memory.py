"""A connection in memory, with optional network faults. The connection works in real time and in virtual time.

Each direction is a `_Wire` with the messages and closing frames that have not arrived, in order, each with its time of
arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from . import Close
from .delivery import DeliveringConnection, check_close, size_bytes

__all__ = ["Faults", "MemoryConnection", "memory_pair"]

_ANSWER = Close(1000, "", "us")
"""The value that marks the CLOSE frame with which the peer answers."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one direction of a connection. Times are in seconds.

    `jitter_s` is the maximum of an additional delay, uniform for each message. Messages keep their order, as with TCP.
    `drop` is the probability that a message is lost, which does not happen with TCP. `stalls` has a tuple for each
    stall: its start, counted from the creation of the connection, and its length. During a stall no message arrives.
    After a stall all delayed messages arrive together.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    stalls: Sequence[tuple[float, float]] = ()
    random: Random = field(default_factory=lambda: Random(0))


class _Wire:
    """One direction of the connection: the messages that have not arrived, and one timer for the next message."""

    def __init__(self, faults: Faults, to: MemoryConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._to = to
        self._in_transit: deque[tuple[float, str | bytes | Close]] = deque()
        self._handle: asyncio.Handle | None = None
        self._made_at = self._loop.time()
        self._last_arrival = 0.0
        self._stalled_until = 0.0

    def send(self, message: str | bytes | Close) -> None:
        faults = self._faults
        if faults.drop and not isinstance(message, Close) and faults.random.random() < faults.drop:
            return
        at = self._loop.time() + faults.delay_s
        if faults.jitter_s:
            at += faults.random.uniform(0.0, faults.jitter_s)
        for start, length in faults.stalls:
            if start <= at - self._made_at < start + length:
                at = self._made_at + start + length
        self._last_arrival = at = max(at, self._last_arrival)
        self._in_transit.append((at, message))
        if self._handle is None:
            self._schedule()

    def stall(self, seconds: float) -> None:
        self._stalled_until = max(self._stalled_until, self._loop.time() + seconds)

    def cut(self) -> None:
        self._in_transit.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    @property
    def held_bytes(self) -> int:
        """The number of bytes that a stall delays."""
        if self._loop.time() >= self._stalled_until:
            return 0
        return sum(_size(message) for _, message in self._in_transit)

    def _schedule(self) -> None:
        if self._handle is not None or not self._in_transit:
            return
        at = max(self._in_transit[0][0], self._stalled_until)
        if at <= self._loop.time():
            self._handle = self._loop.call_soon(self._arrive)
        else:
            self._handle = self._loop.call_at(at, self._arrive)

    def _arrive(self) -> None:
        self._handle = None
        now = self._loop.time()
        # Only the messages that have not arrived at this moment, so a peer can answer in between.
        for _ in range(len(self._in_transit)):
            if not self._in_transit or max(self._in_transit[0][0], self._stalled_until) > now:
                break
            _, message = self._in_transit.popleft()
            self._to._arrived(message)
        self._schedule()


def _size(message: str | bytes | Close) -> int:
    return 0 if isinstance(message, Close) else size_bytes(message)


class MemoryConnection(DeliveringConnection):
    """One end of a connection in memory, for tests and simulations. The function `memory_pair` creates both ends."""

    def __init__(self, *, close_timeout_s: float, max_message_bytes: int | None, max_buffered_bytes: int) -> None:
        super().__init__()
        self._close_timeout_s = close_timeout_s
        self._max_message_bytes = max_message_bytes
        self._max_buffered_bytes = max_buffered_bytes
        self._peer: MemoryConnection
        self._wire: _Wire
        self._closing: Close | None = None
        self._received_close: Close | None = None
        self._give_up: asyncio.TimerHandle | None = None

    def send(self, text: str) -> None:
        self._send(text)

    def send_binary(self, data: bytes) -> None:
        """Sends a binary message. Only tests need this method, because the protocols of this package use text
        messages.
        """
        self._send(data)

    def _send(self, message: str | bytes) -> None:
        if self._closing is not None or self._received_close is not None or self._ended is not None:
            return
        if self.buffered_bytes > self._max_buffered_bytes:
            self.break_(reason="the peer does not read")
            return
        self._wire.send(message)

    @property
    def buffered_bytes(self) -> int:
        """The number of sent bytes that the other end has not received yet."""
        return self._wire.held_bytes + (0 if self._peer._listening else self._peer._kept_bytes)

    def close(self, code: int = 1000, reason: str = "") -> None:
        reason = check_close(code, reason)
        if self._closing is not None or self._received_close is not None or self._ended is not None:
            return
        self._closing = Close(code, reason, "us")
        self._stop_delivering()
        self._wire.send(self._closing)
        loop = asyncio.get_running_loop()
        self._give_up = loop.call_later(self._close_timeout_s, self._end, self._closing)

    def break_(self, code: int = 1006, reason: str = "") -> None:
        """Breaks the connection. Messages that have not arrived are lost. `run` of both ends returns a `Close` with
        this code and reason, and with `by="network"`.
        """
        for end in (self, self._peer):
            end._wire.cut()
            end._end(end._closing or end._received_close or Close(code, reason, "network"))

    def stall(self, seconds: float) -> None:
        """Delays the messages of this end for `seconds` seconds, including messages that have not arrived. After that
        all these messages arrive together.
        """
        self._wire.stall(seconds)

    def _drop(self) -> None:
        if self._ended is None:
            self.break_()

    def _listening_changed(self) -> None:
        if self._listening and self._received_close is not None:
            self._answer_close()

    def _arrived(self, message: str | bytes | Close) -> None:
        if self._ended is not None or self._received_close is not None:
            return
        if isinstance(message, Close):
            if self._closing is not None:
                self._end(self._closing)
            else:
                self._received_close = Close(message.code, message.reason, "peer")
                self._listening_changed()
        elif self._max_message_bytes is not None and size_bytes(message) > self._max_message_bytes:
            self.close(1009, f"over {self._max_message_bytes} bytes")
        else:
            self._deliver(message)

    def _answer_close(self) -> None:
        # A paused end does not read the CLOSE frame, so it does not answer this frame. A paused socket behaves in the
        # same way.
        assert self._received_close is not None
        if self._ended is None:
            self._wire.send(_ANSWER)
            self._end(self._received_close)

    def _end(self, close: Close) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        super()._end(close)


def memory_pair(
    *,
    faults: Faults | None = None,
    reverse_faults: Faults | None = None,
    close_timeout_s: float = 1.0,
    max_message_bytes: int | None = None,
    max_buffered_bytes: int = 16 * 2**20,
) -> tuple[MemoryConnection, MemoryConnection]:
    """Returns the two ends of a connection in memory. `faults` affect messages from the first end to the second end.
    `reverse_faults` affect the other direction. Without faults, a message arrives in the next turn of the event loop.

    Closing takes at most `close_timeout_s` seconds. A message may have at most `max_message_bytes` bytes, and None
    means no limit. `max_buffered_bytes` is the maximum number of bytes that wait to be sent. Must be called within a
    running event loop.
    """

    def end() -> MemoryConnection:
        return MemoryConnection(
            close_timeout_s=close_timeout_s, max_message_bytes=max_message_bytes, max_buffered_bytes=max_buffered_bytes
        )

    first, second = end(), end()
    first._peer, second._peer = second, first
    first._wire = _Wire(faults or Faults(), second)
    second._wire = _Wire(reverse_faults or Faults(), first)
    return first, second
