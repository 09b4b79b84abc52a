"""The connection protocol for both peers: the phone's socket and the model's.

The call session, the model, the embedded server and the simulated phone use `Connection`. Its adapters:

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

    Messages that arrive before `run` is called are kept and delivered first. One task calls `run`; everything else is
    synchronous and called from the event loop's thread.
    """

    @abstractmethod
    def send(self, text: str) -> None:
        """Sends one text message. Never blocks and never raises: a message after the end is dropped, because `run`
        reports the end once. `buffered_bytes` shows whether the peer keeps up."""

    def send_all(self, texts: Sequence[str]) -> None:
        """Sends several text messages, as `send` does. A socket sends them in one write."""
        for text in texts:
            self.send(text)

    @property
    @abstractmethod
    def buffered_bytes(self) -> int:
        """The number of bytes that `send` has accepted and the network has not."""

    @abstractmethod
    def pause(self) -> None:
        """Stops delivering messages (and, where there is a socket, reading from it). Idempotent."""

    @abstractmethod
    def resume(self) -> None:
        """Delivers again, in order and without loss. Idempotent."""

    @abstractmethod
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins to close, after the sent messages have gone out. No more messages are delivered. Idempotent.

        If the peer does not answer, the connection ends after the adapter's close time-out. A reason is cut to 123
        bytes. Raises `ValueError` for a code that must not be sent.
        """

    @abstractmethod
    async def run(self, on_message: MessageHandler) -> Close:
        """Calls `on_message` with every message, in order, until the connection has ended; returns how it ended.

        Cancelling `run` drops the connection at once. An exception of `on_message` closes the connection with 1011 and
        is raised here.
        """
