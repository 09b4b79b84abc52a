"""The WebSockets of `telephony serve`: uvicorn's class with limits. A call can take over the socket of its media
stream.

uvicorn reads the upgrade request, and the application checks the request as with every ASGI server: proxy headers,
mounts, middlewares and signatures work in the same way. Then `take_over` accepts the WebSocket and replaces uvicorn's
layer. After that, messages go directly between the socket and the call, without ASGI messages, queues or tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from realtime_core.connection import Connection
from realtime_core.connection.websocket import WebSocketConnection

from ..allowance import Allowance
from ..logs import Repeats
from .phase_timeouts import WEBSOCKET_LIMITS_S, Phase, PhaseTimeouts
from .time_limited_connection import TimeLimitedConnection

__all__ = ["TAKE_OVER", "ServerWebSocket", "TakeOver"]

TAKE_OVER = "telephony.take_over"
"""The key in `extensions` of the ASGI scope for the server's `TakeOver` function. This function accepts a WebSocket, so
messages then go directly between the socket and the call.
"""
TakeOver = Callable[[], Awaitable[Connection]]
"""A function that accepts the WebSocket and returns its connection. The function is called instead of
`websocket.accept`, before any message was received. The endpoint must return after `Connection.run`.
"""

PINGS_PER_S = 5.0
PINGS_AT_ONCE = 100
MAX_FRAGMENTS = 1000
"""The maximum number of frames in one WebSocket message."""
_SLICE_BYTES = 4096
"""The size in bytes of the pieces in which data is passed to uvicorn's class. Small pieces allow an early detection of
floods.
"""
_CLOSE_S = 1.0
_PING_TIMEOUT_S = 20.0
_MAX_BUFFERED_BYTES = 16 * 2**20
_RESTART = 1012


class FloodLimits:
    """Limits the pings and the frames of a message that the peer of one WebSocket may send. If a limit is exceeded,
    calls `cut`, a function that ends the connection. `now` is a time of the event loop in seconds.
    """

    def __init__(self, repeats: Repeats, cut: Callable[[], None]) -> None:
        self._repeats = repeats
        self._cut = cut
        self._pings = Allowance(per_s=PINGS_PER_S, burst=PINGS_AT_ONCE)

    def admits_ping(self, now: float) -> bool:
        """Returns whether the connection may answer a ping at `now`. If the peer sends too many pings, ends the
        connection and returns False.
        """
        if self._pings.spend(now):
            return True
        self._flooded("pings", "sends too many pings")
        return False

    def fragments(self, count: int) -> None:
        """Ends the connection if a message has arrived in too many frames. `count` is the number of frames of this
        message so far. Must be called for each frame of such a message.
        """
        if count > MAX_FRAGMENTS:
            self._flooded("fragments", "cuts a message into too many frames")

    def _flooded(self, kind: str, what: str) -> None:
        self._repeats.warning(kind, f"Cut off a WebSocket: its peer {what}.")
        self._cut()


class DirectConnection(WebSocketConnection):
    """An accepted WebSocket whose socket this class reads and writes directly. uvicorn has accepted the TCP
    connection.
    """

    def __init__(self, protocol: ServerProtocol, config: Config, repeats: Repeats) -> None:
        super().__init__(
            protocol,
            lambda connection, event: None,
            close_timeout_s=_CLOSE_S,
            ping_interval_s=config.ws_ping_interval,
            ping_timeout_s=config.ws_ping_timeout or _PING_TIMEOUT_S,
            max_message_bytes=config.ws_max_size,
            max_buffered_bytes=_MAX_BUFFERED_BYTES,
        )
        self.is_unread = False
        """Whether the peer does not read what is sent."""
        self._floods = FloodLimits(repeats, self._drop)

    def pause_writing(self) -> None:
        self.is_unread = True

    def resume_writing(self) -> None:
        self.is_unread = False

    def _frame_received(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING and (not self._floods.admits_ping(self._loop.time()) or self.is_unread):
            self._protocol.data_to_send()  # drops the pong. RFC 6455, 5.5.3: not every ping needs one
            return
        super()._frame_received(frame)
        self._floods.fragments(len(self._fragments))


class ServerWebSocket(TimeLimitedConnection, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket class, with limits for pings, for fragments, and for a peer that does not read. Its method
    `take_over` returns a connection that reads from the socket and writes to it without uvicorn.

    After `take_over` this object stays in uvicorn's set of connections until the socket is closed. Therefore uvicorn
    counts the connection and can shut it down.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        repeats: Repeats,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self._repeats = repeats
        self._timeouts = PhaseTimeouts(WEBSOCKET_LIMITS_S)
        self._floods = FloodLimits(repeats, lambda: self.transport.abort())
        self._direct: DirectConnection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), TAKE_OVER: self.take_over}  # type: ignore[dict-item]
            # Frames stay in the socket until the WebSocket is accepted, or until the application receives.
            self.read_paused = True
            self.transport.pause_reading()

    async def take_over(self) -> Connection:
        """Accepts the WebSocket and returns a connection that reads from the socket without uvicorn (see `TakeOver`).
        Raises `RuntimeError` if a message was already received.
        """
        if not self.read_paused:
            raise RuntimeError("A WebSocket is taken over before any of its messages was received.")
        await self.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        self.stop_keepalive()
        direct = self._direct = DirectConnection(self.conn, self.config, self._repeats)
        direct.connection_made(self.transport)
        self.transport.set_protocol(direct)
        direct.lost.add_done_callback(lambda _: self.connection_lost(None))
        direct.opened()
        return direct

    def shutdown(self) -> None:
        if self._direct is None:
            super().shutdown()
        else:
            self._direct.close(_RESTART)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])
            if self.conn.handshake_exc is not None and (refusal := b"".join(self.conn.data_to_send())):
                self.transport.write(refusal)  # of a head that is no request: uvicorn does not send it
                self.transport.close()

    def handle_ping(self) -> None:
        if not self._floods.admits_ping(self.loop.time()):
            return
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # RFC 6455, 5.5.3: not every ping needs a pong

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        self._floods.fragments(len(self.frames))

    @property
    def _is_serving(self) -> bool:
        return self._direct is not None or super()._is_serving

    @property
    def _is_lost(self) -> bool:
        return self.disconnected

    def _phase(self) -> tuple[Phase, int]:
        if self.close_sent or self.transport.is_closing():
            phase = Phase.CLOSING
        elif not self.writable.is_set() or (self._direct is not None and self._direct.is_unread):
            phase = Phase.UNREAD
        else:
            phase = Phase.OURS if self.handshake_complete else Phase.HANDSHAKE
        return phase, 0
