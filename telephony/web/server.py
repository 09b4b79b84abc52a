"""Runs the application on uvicorn until a signal (`serve`) or during a block (`listening`)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import itertools
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime_core.connection.websocket import stop_accepting
from realtime_core.errors import RealtimeCoreError

from ..errors import ServerFailed, TelephonyError
from .connection_limits import ConnectionLimits, connections_within, descriptors_for, quiet_server_log
from .draining import DRAINS_ITSELF, drain

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from .phone_server import PhoneServer

__all__ = ["Startup", "check_port", "free_port", "listening", "raise_descriptor_limit", "serve", "server_config"]

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 2 * 2**20
"""The maximum size of a WebSocket message in bytes. A longer message closes the media stream with code 1009. Messages
below this size that are still longer than any message of Twilio are ignored, and the stream continues.
"""
_STOP_S = 5
_BACKLOG = 128
"""The number of connections that may wait for `accept`. If no file descriptor is free, asyncio calls `accept` this
number of times.
"""
_MANY_DESCRIPTORS = 2**16
_OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""The number of new objects after which the garbage collector runs (the threshold of its youngest generation). The
default of Python is 700 or 2,000.
"""
_CALLS_BETWEEN_COLLECTIONS = 10
"""The number of ended calls after which their memory is freed. The parts of a call refer to each other, and they live
long enough for the oldest generation. Python itself collects that generation only after more than 600 calls. That
collection takes more than half a second, in which no call gets audio.
"""


class _Server(uvicorn.Server):
    """A server that also closes a connection which arrives at the moment of the stop.

    uvicorn's `shutdown` closes the connections that it knows. It waits for a later connection until
    `timeout_graceful_shutdown`, and then leaves this connection open.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            await stop_accepting(server)
        await super().shutdown(sockets)


class _BackgroundServer(_Server):
    """A server that handles no signals and sets an event when it starts to listen."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # in a task, SystemExit would end the event loop
            self.should_exit = True
            return
        self.ready.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not (self.stop.is_set() or await self.on_tick(ticks)):
            ticks = (ticks + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Startup:
    """Runs the start of an application, and keeps the error if the application did not start. The error is reported in
    one line, without a traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.error: TelephonyError | RealtimeCoreError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_startup(message: Message) -> None:
            error = sys.exc_info()[1]  # Starlette sends the message while it handles the exception
            if message["type"] == "lifespan.startup.failed" and isinstance(error, TelephonyError | RealtimeCoreError):
                self.error = error
                message = {"type": message["type"]}
            await send(message)

        if scope["type"] == "lifespan":
            DRAINS_ITSELF.set(True)
            await self._app(scope, receive, send_startup)
        else:
            await self._app(scope, receive, send)


def server_config(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "warning", max_calls: int = 100
) -> uvicorn.Config:
    """Returns the configuration of uvicorn for a server with long media streams. `max_calls` is the maximum number of
    simultaneous calls. The number of connections is limited by `max_calls` and by the open files that the process may
    have.
    """
    limits = ConnectionLimits(connections_within(_descriptors(), max_calls))
    quiet_server_log()
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=limits.http,
        ws=limits.ws,
        ws_per_message_deflate=False,
        ws_max_size=MAX_MESSAGE_BYTES,
        backlog=_BACKLOG,
        log_level=log_level,
        log_config=None,  # the program configures its logging
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=_STOP_S,
    )


def _descriptors() -> int:
    if sys.platform == "win32":
        return _MANY_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY_DESCRIPTORS if soft == resource.RLIM_INFINITY else int(soft)


def raise_descriptor_limit(max_calls: int) -> None:
    """Raises this process's limit of open files (file descriptors) to the number that calls and connections need, if
    the operating system permits this.
    """
    if sys.platform == "win32":
        return
    wanted = descriptors_for(max_calls)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    if soft < wanted:
        permitted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (permitted, hard))
        soft = permitted
    if soft < wanted:
        log.warning(
            "The process may have %d file descriptors, but %d calls and the server's connections need %d. Raise the "
            "limit (ulimit -n, LimitNOFILE of systemd) or lower TELEPHONY_MAX_CALLS.",
            soft, max_calls, wanted,
        )  # fmt: skip


@asynccontextmanager
async def listening(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, log_level: str = "warning"
) -> AsyncIterator[str]:
    """Serves `app` during this block. Yields its URL, `http://HOST:PORT`. Port 0 selects a free port.

    Raises:
        ServerFailed: the port is in use, or the application did not start. The log contains the reason.
        TelephonyError, RealtimeCoreError: the application did not start for this reason.
    """
    bound = _bind(host, port)
    startup = Startup(app)
    config = server_config(startup, log_level=log_level)
    server = _BackgroundServer(config)
    serving = asyncio.create_task(_serve(server, bound), name="server")
    try:
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if startup.error is not None:
            raise startup.error
        if not server.started:
            raise ServerFailed(f"The application did not start on {host}:{port}. See the line above.")
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.stop.set()
        await serving
        bound.close()


async def _serve(server: _BackgroundServer, bound: socket.socket) -> None:
    with contextlib.suppress(SystemExit):  # in a task, SystemExit would end the program
        await server.serve([bound])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # otherwise asyncio leaves Nagle's algorithm on
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _no_port(host, port, error) from None
    return bound


def check_port(host: str, port: int) -> None:
    """Raises `ServerFailed` if no server can listen on `port` at the address `host`. Port 0 is any free port."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ServerFailed(f"HOST: {host!r} is no address of this machine ({error.strerror}).") from None
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                tried.bind(address)
            except OSError as error:
                raise _no_port(host, port, error) from None


def free_port(host: str) -> int:
    """Returns a port on which no server listens now at the address `host`."""
    with _bind(host, 0) as bound:
        return int(bound.getsockname()[1])


def _no_port(host: str, port: int, error: OSError) -> ServerFailed:
    match error.errno:
        case errno.EADDRINUSE:
            return ServerFailed(f"Port {port} is in use: try --port 0. That is any free port, as with PORT=0.")
        case errno.EACCES:
            return ServerFailed(f"Port {port} needs the rights of the administrator: try --port 8000.")
        case errno.EADDRNOTAVAIL:
            return ServerFailed(f"HOST: {host} is no address of this machine.")
    return ServerFailed(f"Cannot listen on {host}:{port}: {error.strerror}.")


class _DrainingServer(_Server):
    """A server that reports its URL, and drains live calls before it stops.

    uvicorn's `shutdown` closes every WebSocket with code 1012 immediately. Therefore `shutdown` runs after the drain.
    During the drain the port stays open for the webhooks and streams of live calls, and `/readyz` answers 503. A second
    signal ends the drain.
    """

    application: Starlette
    on_listening: Callable[[str], None] | None = None
    on_draining: Callable[[], None] | None = None
    _n_collected = 0
    """The number of ended calls at the last collection of garbage."""

    async def on_tick(self, counter: int) -> bool:
        n_over = self.application.state.phone.registry.n_over
        if n_over - self._n_collected >= _CALLS_BETWEEN_COLLECTIONS:
            self._n_collected = n_over
            gc.collect()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        _tune_collector()
        if self.started and self.on_listening is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._captured_signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        try:
            await self._drain(self.application.state.phone)
        finally:
            await super().shutdown(sockets)
            if not self.force_exit:
                self._captured_signals.clear()  # otherwise uvicorn raises them again, and the exit looks like a failure

    async def _drain(self, phone: PhoneServer) -> None:
        phone.registry.draining = True
        if self.on_draining is not None:
            await asyncio.to_thread(self.on_draining)
        ticks = itertools.count(1)
        # `on_tick` updates the date header of responses.
        await drain(phone, stop_now=lambda: self.force_exit, on_poll=lambda: self.on_tick(next(ticks)))


def _tune_collector() -> None:
    """Makes garbage collections rare and short. Modules, routes and settings live as long as the process. Without
    `freeze` each full collection visits them, and no call gets audio meanwhile.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    log_level: str = "info",
    max_calls: int = 100,
    on_listening: Callable[[str], None] | None = None,
    on_draining: Callable[[], None] | None = None,
) -> None:
    """Serves the application until SIGINT or SIGTERM. Then lets live calls end (drains them), and returns.

    `on_listening` is called with the URL when the server listens. `on_draining` is called in a thread before the drain.
    Log messages go to the logging of the program (`telephony.logs`). The number of connections depends on the limit of
    file descriptors and on `max_calls`.

    Raises:
        ServerFailed: the application did not start, or the port is in use. The log contains the reason.
        TelephonyError, RealtimeCoreError: the application did not start for this reason.
    """
    check_port(host, port)
    startup = Startup(app)
    raise_descriptor_limit(max_calls)
    server = _DrainingServer(server_config(startup, host=host, port=port, log_level=log_level, max_calls=max_calls))
    server.application, server.on_listening, server.on_draining = app, on_listening, on_draining
    try:
        server.run()
    except SystemExit:
        if startup.error is not None:
            raise startup.error from None
        raise ServerFailed(f"The server could not start on {host}:{port}. See the line above.") from None
    if startup.error is not None:
        raise startup.error
    if not server.started:
        raise ServerFailed("The application did not start. See the line above.")
