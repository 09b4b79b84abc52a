"""Opens a connection to the model's server, and waits until the server has accepted the settings of the session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypedDict, TypeVar

from ..connection import Close, Connection
from ..errors import ConnectFailed, ServerRejected

__all__ = ["Link", "OpeningSession", "Transport", "TransportConfig", "open_link", "websocket_transport"]

Transport = Callable[[str, Mapping[str, str]], Awaitable[Connection]]
"""A function that opens a connection to a URL with these headers."""


class TransportConfig(TypedDict, total=False):
    """The settings of the WebSocket. Times are in seconds."""

    ping_interval: float | None
    """The time between two pings. None means no pings. Default 20."""
    ping_timeout: float | None
    """The connection ends if a ping has no answer after this time. None means no limit. Default 20."""
    handshake_timeout: float
    """The time limit in seconds of the TCP, TLS and WebSocket handshakes. Default 5."""
    session_timeout: float
    """The time limit in seconds of `connect` as a whole, until the server has accepted the configuration. Default
    15.
    """
    max_size: int | None
    """The maximum size of a received message in bytes. None means no limit. Default 16 MiB."""
    proxy: str | None
    """The address of an HTTP proxy. None means no proxy. Default: the proxy in the environment (`HTTPS_PROXY`)."""
    log_payloads: bool
    """Whether the messages of the connection are logged at DEBUG, except the sent audio. Default: False."""


def websocket_transport(config: TransportConfig) -> Transport:
    """Returns a transport: a function that opens a WebSocket to a URL with headers. It uses
    `realtime_core.connection.websocket` with the settings `config`.
    """

    async def open_websocket(url: str, headers: Mapping[str, str]) -> Connection:
        from ..connection.websocket import MAX_MESSAGE_BYTES, connect

        return await connect(
            url,
            headers=headers,
            open_timeout_s=config.get("handshake_timeout", 5.0),
            ping_interval_s=config.get("ping_interval", 20.0),
            ping_timeout_s=config.get("ping_timeout", 20.0),
            max_message_bytes=config.get("max_size", MAX_MESSAGE_BYTES),
            proxy=config.get("proxy", True),
        )

    return open_websocket


class OpeningSession(Protocol):
    """The parts of a server session that the function `open_link` uses while the session is opened."""

    created: bool
    """Whether `session.created` has arrived."""
    configured: bool
    """Whether the server has accepted the configuration."""
    rejection: ServerRejected | None
    """The error with which the server refused the configuration, or None."""
    expired: bool
    unusable: bool
    """Whether the connection must be closed, because the server has broken what it had accepted."""

    def configure(self, now: float) -> None:
        """Sends the settings of the session to the server as a `session.update`. `now` is the time of the event loop in
        seconds.
        """


_S = TypeVar("_S", bound=OpeningSession)


@dataclass(frozen=True)
class Link(Generic[_S]):
    """An open connection to the model's server: the connection, the session that uses it, and the task `run` that reads
    its messages.
    """

    connection: Connection
    session: _S
    run: asyncio.Task[Close]


async def open_link(
    connect: Callable[[], Awaitable[Connection]],
    begin: Callable[[Connection], _S],
    receive: Callable[[_S, str | bytes], None],
    tasks: asyncio.TaskGroup,
    timeout_s: float,
) -> Link[_S]:
    """Opens a connection and a session: connects, waits for `session.created`, sends the configuration, and waits for
    `session.updated`, for at most `timeout_s` seconds. If this fails, nothing is left open.

    `connect` opens the connection. `begin` creates the session on a connection. `receive` passes a message of the
    server to the session. `tasks` runs the task that reads from the connection.

    Raises `ConnectFailed`, or the `ServerRejected` with which the server answered.
    """
    loop = asyncio.get_running_loop()
    created: asyncio.Future[None] = loop.create_future()
    configured: asyncio.Future[None] = loop.create_future()
    link: Link[_S] | None = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await connect()
            session = begin(connection)

            def take(message: str | bytes) -> None:
                receive(session, message)
                if not configured.done():
                    settle()
                if session.expired:
                    connection.close(1000, "session expired")
                elif session.unusable:
                    connection.close(1007, "the audio format has changed")

            def settle() -> None:
                for step, is_reached in ((created, session.created), (configured, session.configured)):
                    if is_reached and not step.done():
                        step.set_result(None)
                    elif not step.done() and session.rejection is not None:
                        step.set_exception(session.rejection)
                        return

            run = tasks.create_task(connection.run(take), name="model connection")
            link = Link(connection, session, run)
            await _first(link, created)
            session.configure(loop.time())
            if session.configured and not configured.done():
                configured.set_result(None)
            await _first(link, configured)
            return link
    except BaseException as error:
        if link is not None:
            for step in (created, configured):
                if not step.cancel():
                    step.exception()  # marks the exception as retrieved
            link.connection.close()
            link.run.cancel()
        if isinstance(error, TimeoutError):
            raise ConnectFailed(f"The server did not accept the session within {timeout_s:g} s.") from error
        raise


async def _first(link: Link[_S], step: asyncio.Future[None]) -> None:
    """Waits for the `step`, or for the end of the connection, whichever is first."""
    await asyncio.wait((step, link.run), return_when=asyncio.FIRST_COMPLETED)
    if not step.done():
        close = link.run.result()
        failure = ConnectFailed(
            f"The server ended the connection before the session began: code {close.code}, "
            f"{close.reason or 'no reason given'}."
        )
        failure.close = close
        raise failure
    step.result()
