"""Accepts a WebSocket upgrade and returns a `Connection`. If the server permits it, the connection uses the socket
directly. Otherwise each message passes through Starlette.
"""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core.bounded_queue import BoundedQueue
from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.delivery import DeliveringConnection, check_close, size_bytes

from .server_websocket import TAKE_OVER, TakeOver

__all__ = ["StarletteConnection", "accept"]

_SERVERS_OWN = {1002, 1007, 1009}
"""The codes with which an ASGI server closes a WebSocket after an invalid message. ASGI does not report which side
closed the WebSocket.
"""


async def accept(websocket: WebSocket) -> Connection:
    """Accepts a WebSocket upgrade, and returns the connection. The endpoint must return after `run` of the connection
    has returned.

    `telephony serve` gives direct access to the socket. Other ASGI servers pass each message through Starlette.
    """
    take_over: TakeOver | None = (websocket.scope.get("extensions") or {}).get(TAKE_OVER)
    if take_over is not None:
        return await take_over()
    await websocket.accept()
    return StarletteConnection(websocket)


class StarletteConnection(DeliveringConnection):
    """An accepted Starlette `WebSocket`. The endpoint must return after `run`, which closes the WebSocket.

    `buffered_bytes` counts the bytes that the server has not accepted. A server accepts no more bytes while 64 KiB wait
    in its transport (the default high-water mark of asyncio). If more than `max_buffered_bytes` wait, the connection
    ends with code 1006. The server limits the size of messages (uvicorn: `ws_max_size`).
    """

    def __init__(
        self, websocket: WebSocket, *, close_timeout_s: float = 1.0, max_buffered_bytes: int = 16 * 2**20
    ) -> None:
        super().__init__()
        self._websocket = websocket
        self._close_timeout_s = close_timeout_s
        self._outbox = BoundedQueue[str | Close](max_buffered_bytes, _size_of)
        self._outbox_filled = asyncio.Event()
        self._reading = asyncio.Event()
        self._closing: Close | None = None
        self._running = False

    def send(self, text: str) -> None:
        if self._closing is not None or self._ended is not None:
            return
        if not self._outbox.put(text):
            self._end(Close(1006, "the peer does not read", "network"))
            return
        self._outbox_filled.set()

    @property
    def buffered_bytes(self) -> int:
        return self._outbox.size

    def close(self, code: int = 1000, reason: str = "") -> None:
        reason = check_close(code, reason)
        if self._closing is not None or self._ended is not None:
            return
        self._closing = Close(code, reason, "us")
        self._stop_delivering()
        self._outbox.put(self._closing)
        self._outbox_filled.set()
        self._listening_changed()
        if self._running:
            self._expect_end(self._closing)

    async def run(self, on_message: MessageHandler) -> Close:
        self._running = True
        if self._closing is not None:
            self._expect_end(self._closing)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            helpers = (tasks.create_task(self._read()), tasks.create_task(self._write()))
            try:
                return await super().run(on_message)
            except Exception as error:  # noqa: BLE001 - from the handler; raised below, outside of the group
                failure = error
            finally:
                for task in helpers:
                    task.cancel()
        raise failure

    def _expect_end(self, close: Close) -> None:
        asyncio.get_running_loop().call_later(self._close_timeout_s, self._end, close)

    def _drop(self) -> None:
        # ASGI cannot abort a connection. The server aborts the connection if the endpoint returns without closing.
        self._end(Close(1006, "", "us"))

    def _listening_changed(self) -> None:
        if self._listening:
            self._reading.set()
        else:
            self._reading.clear()

    async def _read(self) -> None:
        while True:
            await self._reading.wait()
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._end(self._closing or _how_it_ended(message.get("code"), message.get("reason")))
                return
            text: str | None = message.get("text")
            self._deliver(message["bytes"] if text is None else text)

    async def _write(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            while self._outbox:
                message = next(iter(self._outbox))  # a message counts until the server has accepted it
                try:
                    if isinstance(message, Close):
                        await self._websocket.close(message.code, message.reason)
                        return
                    await self._websocket.send_text(message)
                except (WebSocketDisconnect, RuntimeError):
                    return  # the reader gets the close code
                self._outbox.popleft()


def _size_of(message: str | Close) -> int:
    return 0 if isinstance(message, Close) else size_bytes(message)


def _how_it_ended(code: int | None, reason: str | None) -> Close:
    # uvicorn's sans-I/O protocol gives a reason, which may be "", with every CLOSE frame. It gives no reason for a lost
    # connection and for code 1005 (RFC 6455: an empty CLOSE). Code 1012 without a reason comes from the shutdown of
    # uvicorn.
    if reason is None:
        return Close(1012, "", "us") if code == 1012 else Close(1006, "", "network")
    code = 1005 if code is None else code
    return Close(code, reason, "us" if code in _SERVERS_OWN else "peer")
