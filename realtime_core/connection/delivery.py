"""The base class of the connections. The class keeps messages until `run` is called, pauses the delivery of messages,
and reports the end of the connection exactly once.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque

from . import Close, Connection, MessageHandler

__all__ = ["DeliveringConnection", "check_close", "size_bytes"]

MAX_REASON_BYTES = 123
"""The maximum length in bytes of the reason in a close frame. A control frame has at most 125 bytes, of which 2 are the
code (RFC 6455, section 5.5).
"""


def size_bytes(message: str | bytes) -> int:
    """Returns the length of a message in bytes of UTF-8."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


def check_close(code: int, reason: str) -> str:
    """Returns the reason, cut to the maximum length in a close frame.

    Raises `ValueError` for a code that RFC 6455, section 7.4, does not allow an endpoint to send.
    """
    if not (1000 <= code <= 1014 and code not in {1004, 1005, 1006}) and not 3000 <= code <= 4999:
        raise ValueError(f"{code} is not a close code that may be sent: use 1000-1014 (but 1004-1006) or 3000-4999.")
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


class DeliveringConnection(Connection):
    """The base class of connections that deliver messages to a function. `run(on_message)` calls `on_message` with each
    message as soon as the message arrives. While the connection is paused or `run` was not called, messages are kept
    and delivered later. Messages that arrived before the end of the connection are delivered before `run` returns.
    After a local `close` no message is delivered.

    A subclass calls `_deliver` with each message that arrives, and calls `_end` once. To save time, a subclass may call
    `_handler` directly while `_handler` is not None, which means that no messages are kept or dropped. If `_handler`
    raises an exception, the subclass must call `_failed` with this exception.
    """

    def __init__(self) -> None:
        self._kept: deque[str | bytes] = deque()
        self._kept_bytes = 0
        self._paused = False
        self._discards = False
        self._delivering = False
        self._on_message: MessageHandler | None = None
        self._handler: MessageHandler | None = None
        """`_on_message`, while messages are neither kept nor dropped."""
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._ended: Close | None = None

    async def run(self, on_message: MessageHandler) -> Close:
        if self._waiter is not None:
            raise RuntimeError("`run` of a connection can be called only once.")
        self._waiter = asyncio.get_running_loop().create_future()
        self._on_message = on_message
        self._flush()
        self._choose_handler()
        self._listening_changed()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._stop_delivering()
            self._drop()
            raise
        finally:
            self._on_message = self._handler = None
        if self._failure is not None:
            raise self._failure
        assert self._ended is not None
        return self._ended

    def pause(self) -> None:
        self._paused = True
        self._choose_handler()
        self._listening_changed()

    def resume(self) -> None:
        self._paused = False
        self._flush()
        self._choose_handler()
        self._listening_changed()

    def _choose_handler(self) -> None:
        self._handler = None if self._paused or self._discards or self._kept else self._on_message

    @abstractmethod
    def _drop(self) -> None:
        """Ends the connection at once, without a closing handshake. Idempotent."""

    @abstractmethod
    def _listening_changed(self) -> None:
        """Called when `_listening` may have changed. A subclass then starts or stops reading from its socket."""

    @property
    def _listening(self) -> bool:
        """Whether messages are read: they are delivered when they arrive, or dropped (after `close`)."""
        return self._discards or (self._on_message is not None and not self._paused)

    def _deliver(self, message: str | bytes) -> None:
        if self._discards:
            return
        if self._on_message is None or self._kept or self._paused or self._delivering:
            self._kept.append(message)
            self._kept_bytes += size_bytes(message)
            return
        self._hand_over(message)  # the usual case: the message need not be kept
        if self._kept or self._ended is not None:
            self._flush()

    def _stop_delivering(self) -> None:
        self._discards = True
        self._handler = None
        self._kept.clear()
        self._kept_bytes = 0

    def _end(self, close: Close) -> None:
        if self._ended is None:
            self._ended = close
            self._flush()

    def _flush(self) -> None:
        # A handler may pause, resume or close. The outer delivery continues, and no delivery begins inside a handler.
        if self._delivering or self._on_message is None:
            return
        while self._kept and not self._paused and not self._discards:
            message = self._kept.popleft()
            self._kept_bytes -= size_bytes(message)
            self._hand_over(message)
        if self._ended is not None and not self._kept and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hand_over(self, message: str | bytes) -> None:
        assert self._on_message is not None
        self._delivering = True
        try:
            self._on_message(message)
        except Exception as error:  # noqa: BLE001 - the handler is the user's
            self._failed(error)
        finally:
            self._delivering = False

    def _failed(self, error: Exception) -> None:
        """Stores an exception of the handler. `run` raises the exception."""
        self._failure = error
        self._stop_delivering()
        self.close(1011, "internal error")
