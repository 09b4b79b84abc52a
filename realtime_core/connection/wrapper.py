"""A connection that wraps another connection. Subclasses override the methods that they change."""

from __future__ import annotations

from . import Close, Connection, MessageHandler

__all__ = ["ConnectionWrapper"]


class ConnectionWrapper(Connection):
    """Passes every method call to the wrapped connection `inner`."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner

    def send(self, text: str) -> None:
        self.inner.send(text)

    @property
    def buffered_bytes(self) -> int:
        return self.inner.buffered_bytes

    def pause(self) -> None:
        self.inner.pause()

    def resume(self) -> None:
        self.inner.resume()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.inner.close(code, reason)

    async def run(self, on_message: MessageHandler) -> Close:
        return await self.inner.run(on_message)
