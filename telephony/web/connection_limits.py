"""Limits of the server's connections: one class for HTTP and one for WebSockets, for uvicorn's `http=` and `ws=`.

uvicorn's classes implement the protocols. The subclasses here limit what a peer may send, how long it may take, and the
number of connections. Other limits are in the application (`telephony.web.middleware`, `telephony.web.forms`), so that
they also work under other servers. `docs/limits.md` lists all limits.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from ..allowance import Allowance
from ..logs import Repeats
from .middleware import MAX_HEAD_BYTES
from .phase_timeouts import HTTP_LIMITS_S, WEBSOCKET_LIMITS_S, Phase, PhaseTimeouts

__all__ = ["ConnectionLimits", "connections_within", "descriptors_for", "quiet_server_log"]

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
"""In addition to one for each call. See `connections_within`."""
MAX_REQUEST_BYTES = 2 * 2**20
"""Head, body and trailers of one request together. The application has lower limits for bodies."""
MAX_PIPELINED = 8
PINGS_PER_S = 5.0
PINGS_AT_ONCE = 100
MAX_FRAGMENTS = 1000
"""Frames of one WebSocket message."""
_SLICE_BYTES = 4096
"""The bytes of a WebSocket are parsed in pieces of this size, so that a flood is detected early."""
_TICK_S = 1.0
_OWN_DESCRIPTORS = 64
_DESCRIPTORS_PER_CALL = 3
"""The socket of the model and the files of the call. The media stream counts as a connection."""
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n"


def connections_within(descriptors: int, max_calls: int) -> int:
    """The number of connections that a process accepts, so that its calls always have file descriptors."""
    left = descriptors - _OWN_DESCRIPTORS - _DESCRIPTORS_PER_CALL * max_calls
    return max(16, min(left, MAX_CONNECTIONS + max_calls))


def descriptors_for(max_calls: int) -> int:
    """The number of file descriptors that `MAX_CONNECTIONS` and `max_calls` need."""
    return _OWN_DESCRIPTORS + (_DESCRIPTORS_PER_CALL + 1) * max_calls + MAX_CONNECTIONS


class ConnectionLimits:
    """The state that the connections of one server share. `http` and `ws` are for `uvicorn.Config`."""

    def __init__(self, max_connections: int) -> None:
        self.max_connections = max_connections
        self.repeats = Repeats(log)
        self.waiting: dict[_HttpConnection, None] = {}
        """The connections without a request; the one that has waited longest comes first."""
        self.http: Any = partial[Any](_http_class(), limits=self)
        self.ws: Any = partial[Any](WebSocketConnection, limits=self)

    def make_room(self, newcomer: _HttpConnection, count: int) -> None:
        """Close the connection that has waited longest for a request. Connections of Twilio have a request."""
        if count <= self.max_connections:
            return
        oldest = next(iter(self.waiting))
        self.repeats.warning(
            "full",
            f"There are {self.max_connections} connections. Those that have waited longest for a request are closed.",
        )
        if oldest is newcomer:
            newcomer.transport.write(_FULL)
        oldest.cut()


class _Watched:
    """A connection that checks once a second whether its peer takes too long."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _limits: ConnectionLimits
    _timeouts: PhaseTimeouts

    def _watch(self) -> None:
        self.loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        if self._is_lost or not self._is_serving:
            return
        phase, request = self._phase()
        if self._timeouts.is_over(phase, request, self.loop.time()):
            self._limits.repeats.warning(phase.name, f"Cut off a connection that waited too long for {phase.value}.")
            self.transport.abort()
        else:
            self._watch()

    @property
    def _is_serving(self) -> bool:
        """False after an upgrade: the connection then has another protocol."""
        protocol: object = self.transport.get_protocol()
        return protocol is self

    @property
    def _is_lost(self) -> bool:
        raise NotImplementedError

    def _phase(self) -> tuple[Phase, int]:
        """The phase of the connection, and the number of its request."""
        raise NotImplementedError


class _HttpConnection(_Watched):
    """A mixin for uvicorn's classes for HTTP connections, with either parser."""

    cycle: Any
    flow: Any
    connections: set[Any]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)  # type: ignore[call-arg]
        self._limits = limits
        self._timeouts = PhaseTimeouts(HTTP_LIMITS_S)
        self._requests = 0
        self._bytes = 0
        """The size so far of the request that is being read."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self._limits.waiting[self] = None
        self._watch()
        self._limits.make_room(self, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)  # type: ignore[misc]
        self._limits.waiting.pop(self, None)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before = self.cycle
        self._bytes += len(data)
        super().data_received(data)  # type: ignore[misc]
        if not self._is_serving:
            self._limits.waiting.pop(self, None)
        elif self.cycle is not before:
            self._limits.waiting.pop(self, None)
            self._requests += 1
            self._bytes = 0
        elif self._waits and self._bytes > MAX_HEAD_BYTES:
            rest_of_body = before is not None and before.more_body
            self._refuse_length("the head of a request", b"" if rest_of_body else _TOO_LONG)
        elif self._bytes > MAX_REQUEST_BYTES:
            self._refuse_length("a request", b"")
        if len(getattr(self, "pipeline", ())) > MAX_PIPELINED:
            self._refuse_length("a pipeline of requests", b"")

    def on_response_complete(self) -> None:
        super().on_response_complete()  # type: ignore[misc]
        self._bytes = 0
        if self._waits and not self._is_lost:
            self._limits.waiting[self] = None

    def cut(self) -> None:
        self._limits.waiting.pop(self, None)
        self.transport.close()

    def _refuse_length(self, what: str, answer: bytes) -> None:
        self._limits.repeats.warning("long", f"Cut off a connection: {what} is too long.")
        if answer:
            self.transport.write(answer)
        self.transport.close()

    @property
    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_lost(self) -> bool:
        return self not in self.connections

    def _phase(self) -> tuple[Phase, int]:
        if self.transport.is_closing():
            phase = Phase.CLOSING
        elif self.flow.write_paused:
            phase = Phase.UNREAD
        elif self._waits:
            phase = Phase.HEAD if self._bytes or self.cycle is None else Phase.IDLE
        else:
            phase = Phase.BODY if self.cycle.more_body else Phase.OURS
        return phase, self._requests


def _http_class() -> Any:
    """uvicorn's class with httptools if it is installed (the extra `fast`), otherwise with h11."""
    base: type[asyncio.Protocol]
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base
    return type("HttpConnection", (_HttpConnection, base), {})


class WebSocketConnection(_Watched, WebSocketsSansIOProtocol):
    """A WebSocket with limits for pings, for fragments and for a peer that does not read."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self._limits = limits
        self._timeouts = PhaseTimeouts(WEBSOCKET_LIMITS_S)
        self._pings = Allowance(per_s=PINGS_PER_S, burst=PINGS_AT_ONCE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])

    def handle_ping(self) -> None:
        if not self._pings.spend(self.loop.time()):
            self._cut("pings", "sends too many pings")
        elif self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # RFC 6455, 5.5.3: not every ping needs a pong

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self._cut("fragments", "cuts a message into too many frames")

    def _cut(self, kind: str, what: str) -> None:
        self._limits.repeats.warning(kind, f"Cut off a WebSocket: its peer {what}.")
        self.transport.abort()

    @property
    def _is_lost(self) -> bool:
        return self.disconnected

    def _phase(self) -> tuple[Phase, int]:
        if self.close_sent or self.transport.is_closing():
            phase = Phase.CLOSING
        elif not self.writable.is_set():
            phase = Phase.UNREAD
        else:
            phase = Phase.OURS if self.handshake_complete else Phase.HANDSHAKE
        return phase, 0


_FROM_OUTSIDE = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        '%s - "WebSocket %s" 403',
        '%s - "WebSocket %s" %d',
        "opening handshake failed",
        "socket.accept() out of system resource",
        "socket.send() raised exception.",
    }
)
"""Messages of uvicorn, websockets and asyncio that outsiders can trigger as often as they like."""


class _Quiet(logging.Filter):
    """A filter that passes one such line a minute. The next line has the number of suppressed lines."""

    def __init__(self) -> None:
        super().__init__()
        self._repeats = Repeats(log)

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg).partition("\n")[0]
        if kind not in _FROM_OUTSIDE:
            return True
        more = self._repeats.count(kind, record.created)
        if more:
            record.msg = f"{record.msg} ({more} more like it since)"
        return more is not None


def quiet_server_log() -> None:
    """Limit the log lines that outsiders can trigger."""
    for name in ("uvicorn.error", "asyncio"):
        server_log = logging.getLogger(name)
        if not any(isinstance(each, _Quiet) for each in server_log.filters):
            server_log.addFilter(_Quiet())
