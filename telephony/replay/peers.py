"""The two ends of a recorded call as connections: what is sent to them is told, what they say comes from a `Stage`."""

from __future__ import annotations

from collections.abc import Callable

from realtime_core.connection import Close
from realtime_core.connection.delivery import DeliveringConnection, check_close

__all__ = ["ReplayedConnection"]


class ReplayedConnection(DeliveringConnection):
    """Delivers in the step in which it is told to. `on_send` sees all that is sent, `on_close` our own closing."""

    def __init__(self, on_send: Callable[[str], None], on_close: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_send = on_send
        self._on_close = on_close

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    def say(self, text: str) -> None:
        """The peer sends this."""
        if self._ended is None:
            self._deliver(text)

    def end(self, close: Close) -> None:
        """The peer, or the network, ends the connection."""
        self._end(close)

    def send(self, text: str) -> None:
        if self._ended is None:
            self._on_send(text)

    @property
    def buffered_bytes(self) -> int:
        return 0

    def close(self, code: int = 1000, reason: str = "") -> None:
        reason = check_close(code, reason)
        if self._ended is None:
            self._stop_delivering()
            self._on_close()
            self._end(Close(code, reason, "us"))

    def _drop(self) -> None:
        if self._ended is None:
            self._end(Close(1006, "", "network"))

    def _listening_changed(self) -> None:
        pass
