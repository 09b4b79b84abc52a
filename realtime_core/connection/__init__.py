"""The connection protocol for the connection to the phone and the connection to the model.

The call session, the model, the embedded server and the simulated phone use `Connection`. The implementations are:

- `realtime_core.connection.memory`: a pair in memory, with faults (delay, jitter, drop, stall, break)
- `realtime_core.connection.websocket`: a WebSocket, client or server side, on the sans-I/O core of `websockets`
- `telephony.web.connection`: Starlette's `WebSocket`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ..close import Close

__all__ = ["Close", "Connection", "MessageHandler"]

MessageHandler = Callable[[str | bytes], None]


class Connection(ABC):
    """An open, ordered, message-based connection.

    Messages that arrive before `run` is called are kept and delivered first. One task calls `run`. All other methods
    are synchronous and must be called from the thread of the event loop.
    """

    @abstractmethod
    def send(self, text: str) -> None:
        """Sends one text message. Never blocks and never raises an exception. A message after the end of the connection
        is dropped, because `run` reports the end. `buffered_bytes` shows whether the peer reads fast enough.
        """

    def send_all(self, texts: Sequence[str]) -> None:
        """Sends several text messages, in order. The effect is that of one `send` for each message, but a socket sends
        the messages in one write.
        """
        for text in texts:
            self.send(text)

    @property
    @abstractmethod
    def buffered_bytes(self) -> int:
        """The number of bytes that `send` has accepted and that were not passed to the network."""

    @abstractmethod
    def pause(self) -> None:
        """Stops the delivery of messages. A connection with a socket also stops reading from the socket. Idempotent."""

    @abstractmethod
    def resume(self) -> None:
        """Continues the delivery of messages, in order and without loss. Idempotent."""

    @abstractmethod
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins to close the connection with `code` and `reason`, after the sent messages have been written. No more
        messages are delivered. Idempotent.

        If the peer does not answer, the connection ends after the close time-out of the implementation. A reason is cut
        to 123 bytes. Raises `ValueError` for a code that must not be sent.
        """

    @abstractmethod
    async def run(self, on_message: MessageHandler) -> Close:
        """Calls `on_message` with every message, in order, until the connection has ended. Returns how the connection
        ended.

        Cancelling `run` drops the connection immediately. An exception of `on_message` closes the connection with code
        1011 and is raised by `run`.
        """
