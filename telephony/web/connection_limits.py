"""Limits for the connections of the server: one class for HTTP and one for WebSockets, for uvicorn's options `http=`
and `ws=`.

uvicorn's classes implement the protocols. The subclasses in this module and in `server_websocket` limit the amount of
data that a peer may send, the time that a peer may take, and the number of connections. The other limits are in the
application (`telephony.web.middleware`, `telephony.web.forms`), so they also apply with other servers. `docs/limits.md`
lists all limits.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..logs import Repeats
from .middleware import MAX_HEAD_BYTES
from .phase_timeouts import HTTP_LIMITS_S, Phase, PhaseTimeouts
from .server_websocket import ServerWebSocket
from .time_limited_connection import TimeLimitedConnection

__all__ = ["ConnectionLimits", "connections_within", "descriptors_for", "quiet_server_log"]

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
"""The maximum number of connections in addition to one connection for each call. See `connections_within`."""
MAX_REQUEST_BYTES = 2 * 2**20
"""The maximum size in bytes of head, body and trailers of one request together. The application has lower limits for
bodies.
"""
MAX_PIPELINED = 8
_OWN_DESCRIPTORS = 64
_DESCRIPTORS_PER_CALL = 3
"""The file descriptors of a call: the socket to the model and the files of the call. The media stream is counted as a
connection.
"""
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n"


def connections_within(descriptors: int, max_calls: int) -> int:
    """Returns the number of connections that a process accepts if it may open `descriptors` files. The number leaves
    enough file descriptors for the calls.
    """
    left = descriptors - _OWN_DESCRIPTORS - _DESCRIPTORS_PER_CALL * max_calls
    return max(16, min(left, MAX_CONNECTIONS + max_calls))


def descriptors_for(max_calls: int) -> int:
    """Returns the number of file descriptors that `MAX_CONNECTIONS` and `max_calls` need."""
    return _OWN_DESCRIPTORS + (_DESCRIPTORS_PER_CALL + 1) * max_calls + MAX_CONNECTIONS


class ConnectionLimits:
    """Limits the number of connections of one server. All connections of the server share this object. `http` and `ws`
    create the connections: they are the values of `http` and `ws` for `uvicorn.Config`.
    """

    def __init__(self, max_connections: int) -> None:
        self.max_connections = max_connections
        self.repeats = Repeats(log)
        self.waiting: dict[_HttpConnection, None] = {}
        """The connections without a request. The connection that has waited longest comes first."""
        self.http: Any = partial[Any](_http_class(), limits=self)
        self.ws: Any = partial[Any](ServerWebSocket, repeats=self.repeats)

    def make_room(self, new_connection: _HttpConnection, count: int) -> None:
        """Closes one connection if there are too many. `new_connection` is the newest connection, and `count` is the
        number of all connections. The connection that has waited for a request for the longest time is closed. If this
        is `new_connection`, it first gets a response that the server is full. Connections of Twilio are not closed,
        because they have a request.
        """
        if count <= self.max_connections:
            return
        oldest = next(iter(self.waiting))
        self.repeats.warning(
            "full",
            f"There are {self.max_connections} connections. Those that have waited longest for a request are closed.",
        )
        if oldest is new_connection:
            new_connection.transport.write(_FULL)
        oldest.cut()


class _HttpConnection(TimeLimitedConnection):
    """A mixin for uvicorn's classes for HTTP connections, for both parsers."""

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
        self._repeats = limits.repeats
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
    """Returns uvicorn's HTTP class: with httptools if httptools is installed (the extra `fast`), otherwise with h11."""
    base: type[asyncio.Protocol]
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base
    return type("HttpConnection", (_HttpConnection, base), {})


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
"""The log messages of uvicorn, websockets and asyncio that any client can cause as often as it likes."""


class _RepeatFilter(logging.Filter):
    """A log filter that passes each message of `_FROM_OUTSIDE` once per minute. The next line contains the number of
    suppressed lines.
    """

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
    """Limits how often the logs of uvicorn and asyncio repeat the messages that any client can cause."""
    for name in ("uvicorn.error", "asyncio"):
        server_log = logging.getLogger(name)
        if not any(isinstance(each, _RepeatFilter) for each in server_log.filters):
            server_log.addFilter(_RepeatFilter())
