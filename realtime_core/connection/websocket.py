"""WebSockets (RFC 6455) as connections: `connect` for the client side, `serve` for the server side.

The extension permessage-deflate is not offered and not accepted, because its cost on base64 audio exceeds its benefit.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl as tls
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from ..errors import ConnectFailed
from ..ip_addresses import is_ip_address
from .proxy import environment_proxy, open_tunnel
from .websocket_connection import WebSocketConnection

__all__ = ["WebSocketConnection", "WebSocketServer", "connect", "serve", "stop_accepting"]

MAX_MESSAGE_BYTES = 16 * 2**20
MAX_BUFFERED_BYTES = 16 * 2**20

# `websockets` logs each connection at INFO. In this package, `run` reports the end of a connection.
_logger = logging.getLogger("realtime_core.websocket")
_logger.setLevel(logging.WARNING)


@functools.cache
def _default_tls() -> tls.SSLContext:
    return tls.create_default_context()  # takes some 20 ms, so one context serves the whole process


async def connect(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    ssl: tls.SSLContext | None = None,
    open_timeout_s: float = 5.0,
    close_timeout_s: float = 1.0,
    ping_interval_s: float | None = 20.0,
    ping_timeout_s: float | None = 20.0,
    max_message_bytes: int | None = MAX_MESSAGE_BYTES,
    max_buffered_bytes: int = MAX_BUFFERED_BYTES,
    subprotocols: Sequence[str] | None = None,
    proxy: str | Literal[True] | None = True,
) -> WebSocketConnection:
    """Opens a WebSocket to `url`, a `ws:` or `wss:` address, in at most `open_timeout_s` seconds. `headers` are added
    to the upgrade request. `ssl` has the TLS settings for `wss:` (None: the defaults). `subprotocols` are offered to
    the server. `proxy` is the address of an HTTP proxy. True selects the proxy of the environment variables. None
    selects no proxy.

    A ping is sent every `ping_interval_s` seconds (None: no pings). If its pong does not arrive within `ping_timeout_s`
    seconds (None: no limit), the connection ends. Closing takes at most `close_timeout_s` seconds. A received message
    may have at most `max_message_bytes` bytes (None: no limit). If more than `max_buffered_bytes` bytes wait to be
    sent, the connection ends.

    Raises `ConnectFailed` with a description of the problem and its possible cause.
    """
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise ConnectFailed(f"{url!r} is not a ws: or wss: address.") from error
    protocol = ClientProtocol(
        uri,
        subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
        max_size=max_message_bytes,
        logger=_logger,
    )

    def on_handshake(connection: WebSocketConnection, event: Request | Response) -> None:
        if protocol.handshake_exc is None:
            connection.opened()
            handshake.set_result(None)

    loop = asyncio.get_running_loop()
    handshake: asyncio.Future[None] = loop.create_future()
    connection: WebSocketConnection | None = None
    is_open = False
    context = (ssl or _default_tls()) if uri.secure else None
    proxy_url = environment_proxy(uri) if proxy is True else proxy

    def new_connection() -> WebSocketConnection:
        return WebSocketConnection(
            protocol,
            on_handshake,
            close_timeout_s=close_timeout_s,
            ping_interval_s=ping_interval_s,
            ping_timeout_s=ping_timeout_s,
            max_message_bytes=max_message_bytes,
            max_buffered_bytes=max_buffered_bytes,
        )

    try:
        async with asyncio.timeout(open_timeout_s):
            if proxy_url is None:
                connection = await _open_directly(uri, context, new_connection)
            else:
                connection = await _open_through(proxy_url, uri, context, new_connection)
            request = protocol.connect()
            for name, value in (headers or {}).items():
                request.headers[name] = value
            protocol.send_request(request)
            connection.write_handshake()
            await asyncio.wait((handshake, connection.lost), return_when=asyncio.FIRST_COMPLETED)
        is_open = handshake.done()
    except TimeoutError as error:
        raise ConnectFailed(
            f"{url} did not answer within {open_timeout_s:g} s: check the address, the network and any firewall."
        ) from error
    except OSError as error:
        raise ConnectFailed(f"{url} cannot be reached: {error}. Check the address and the network.") from error
    finally:
        if connection is not None and not is_open:  # also if the task is cancelled just after the answer
            connection._drop()
    if not is_open:
        raise _handshake_failure(url, protocol.handshake_exc)
    return connection


async def _open_directly(
    uri: WebSocketURI, context: tls.SSLContext | None, new_connection: Callable[[], WebSocketConnection]
) -> WebSocketConnection:
    loop = asyncio.get_running_loop()
    # uvloop does not have this argument. A cancellation may leak a connected socket, so the argument is used for host
    # names only.
    races = isinstance(loop, asyncio.BaseEventLoop) and not is_ip_address(uri.host)
    eyeballs: dict[str, Any] = {"happy_eyeballs_delay": 0.25} if races else {}
    server_hostname = uri.host if context else None
    _, connection = await loop.create_connection(
        new_connection, uri.host, uri.port, ssl=context, server_hostname=server_hostname, **eyeballs
    )
    return connection


async def _open_through(
    proxy: str, uri: WebSocketURI, context: tls.SSLContext | None, new_connection: Callable[[], WebSocketConnection]
) -> WebSocketConnection:
    transport = await open_tunnel(proxy, uri, context)
    connection = new_connection()
    try:
        transport.set_protocol(connection)
        if context is not None:
            loop = asyncio.get_running_loop()
            secure = await loop.start_tls(transport, connection, context, server_hostname=uri.host)
            assert secure is not None
            transport = secure
    except BaseException:
        transport.abort()
        raise
    connection.connection_made(transport)
    return connection


def _handshake_failure(url: str, error: Exception | None) -> ConnectFailed:
    if isinstance(error, InvalidStatus):
        response = error.response
        said = bytes(response.body or b"")[:500].decode(errors="replace").strip()
        cure = {
            401: " Check the API key.",
            403: " The key or the address is not allowed to do this.",
            404: " Check the path of the address.",
            429: " Too many requests or no quota left: try again later.",
        }.get(response.status_code, "")
        failure = ConnectFailed(
            f"{url} refused the connection: {response.status_code} {response.reason_phrase}"
            + (f": {said}" if said else ".")
            + cure
        )
        failure.status = response.status_code
        return failure
    if isinstance(error, InvalidHandshake):
        failure = ConnectFailed(f"{url} does not speak WebSocket: {error}.")
    else:
        failure = ConnectFailed(f"{url} ended the connection during the handshake.")
    failure.__cause__ = error
    return failure


Handler = Callable[[WebSocketConnection, Request], Awaitable[None]]
ProcessRequest = Callable[[Request], Response | None]


class WebSocketServer:
    """A listening WebSocket server, created by `serve`. At the end of the `async with` block, open connections are
    closed and all handlers end.
    """

    def __init__(self, start: Callable[[WebSocketServer], Awaitable[asyncio.Server]], close_timeout_s: float) -> None:
        self._start = start
        self._close_timeout_s = close_timeout_s
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._connections: set[WebSocketConnection] = set()

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        assert self._server is not None, "the server has not been started"
        return int(self._server.sockets[0].getsockname()[1])

    def __await__(self) -> Generator[object, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        if self._server is None:
            self._server = await self._start(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stops listening and closes every connection with code 1001. After `close_timeout_s` seconds, cancels the
        remaining handlers. Returns when all handlers have ended.
        """
        assert self._server is not None, "the server has not been started"
        try:
            await stop_accepting(self._server)
        finally:
            self._server.close()
        for connection in list(self._connections):
            if connection._protocol.state is State.CONNECTING:
                connection._drop()
            else:
                connection.close(1001, "going away")
        try:
            pending: set[asyncio.Future[None]] = {*self._handlers, *(each.lost for each in self._connections)}
            if pending:
                await asyncio.wait(pending, timeout=self._close_timeout_s)
        finally:
            for task in self._handlers:
                task.cancel()
            await asyncio.gather(*self._handlers, *(each.lost for each in self._connections), return_exceptions=True)

    def _handle(self, handler: Handler, connection: WebSocketConnection, request: Request) -> None:
        async def handle() -> None:
            try:
                await handler(connection, request)
            except Exception as error:  # noqa: BLE001 - the handler is the user's
                connection.close(1011, "internal error")
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"The handler of {request.path} failed", "exception": error}
                )
            finally:
                connection.close()

        task = asyncio.get_running_loop().create_task(handle(), name=f"websocket {request.path}")
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)


def serve(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    process_request: ProcessRequest | None = None,
    ssl: tls.SSLContext | None = None,
    open_timeout_s: float = 5.0,
    close_timeout_s: float = 1.0,
    ping_interval_s: float | None = 20.0,
    ping_timeout_s: float | None = 20.0,
    max_message_bytes: int | None = MAX_MESSAGE_BYTES,
    max_buffered_bytes: int = MAX_BUFFERED_BYTES,
    subprotocols: Sequence[str] | None = None,
) -> WebSocketServer:
    """Starts a server: `async with serve(handler, host, port) as server`, or `server = await serve(...)` and
    `server.close()`. With `port` 0, the operating system selects a free port.

    `handler` is awaited with each connection and its request. When `handler` returns, the connection is closed with
    code 1000. If `handler` fails, the code is 1011, and the error goes to the loop's exception handler. The function
    `process_request` may return an HTTP response, which refuses the WebSocket. If `process_request` is None, every
    WebSocket is accepted. Of the `subprotocols` that a client offers, the server selects the first that it also has.
    The other arguments have the same meaning as in `connect`.
    """

    async def start(server: WebSocketServer) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def accept() -> WebSocketConnection:
            protocol = ServerProtocol(
                subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
                select_subprotocol=_first_in_common,
                max_size=max_message_bytes,
                logger=_logger,
            )

            def on_handshake(connection: WebSocketConnection, event: Request | Response) -> None:
                assert isinstance(event, Request)
                response = (process_request(event) if process_request else None) or protocol.accept(event)
                protocol.send_response(response)
                connection.write_handshake()
                if protocol.state is State.OPEN:
                    connection.opened()
                    deadline.cancel()
                    server._handle(handler, connection, event)

            connection = WebSocketConnection(
                protocol,
                on_handshake,
                close_timeout_s=close_timeout_s,
                ping_interval_s=ping_interval_s,
                ping_timeout_s=ping_timeout_s,
                max_message_bytes=max_message_bytes,
                max_buffered_bytes=max_buffered_bytes,
            )
            deadline = loop.call_later(open_timeout_s, connection._drop)

            def forget(_: object) -> None:
                deadline.cancel()
                server._connections.discard(connection)

            server._connections.add(connection)
            connection.lost.add_done_callback(forget)
            return connection

        handshake_s = open_timeout_s if ssl else None
        return await loop.create_server(accept, host, port, ssl=ssl, ssl_handshake_timeout=handshake_s)

    return WebSocketServer(start, close_timeout_s)


async def stop_accepting(server: asyncio.Server) -> None:
    """Stops accepting sockets, and returns when every accepted socket has its transport and its connection.

    asyncio makes the transport one turn of the loop after it accepts a socket, and calls `connection_made` one turn
    later. If `Server.close` is called between, asyncio leaves the socket open until the garbage collector finds it.
    With TLS, `connection_made` follows only after the handshake.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop):
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(2):
            await asyncio.sleep(0)


def _first_in_common(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Returns the first offered subprotocol that the server supports. A client that offers no supported subprotocol
    gets None, as browsers and vendors' clients expect.
    """
    return next((name for name in offered if name in (protocol.available_subprotocols or ())), None)
