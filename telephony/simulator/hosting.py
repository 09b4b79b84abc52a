"""Hosts an ASGI application in memory: its lifespan, requests and WebSockets, as uvicorn does, but without a socket.

The host works in real time and in virtual time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from starlette.types import ASGIApp, Message, Scope

from realtime_core.connection import Close
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.errors import ConnectFailed

from ..errors import ServerFailed
from ..web.draining import DRAINS_ITSELF

__all__ = ["Host", "HttpAnswer"]

log = logging.getLogger(__name__)

_STOP_S = 5.0
_MAX_UNREAD = 64
"""The maximum number of unread messages of an application. If there are more messages, the peer waits."""
_MAX_WAITING_BYTES = 64 * 1024
"""The maximum number of unread bytes of a peer. If there are more bytes, the application waits, as with asyncio's
transports.
"""
_POLL_S = 0.005


@dataclass(slots=True)
class HttpAnswer:
    """An HTTP response. The names in `headers` are in lower case."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def reason(self) -> str:
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return ""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Host:
    """Serves `app` during an `async with` block. `request` and `connect` send requests to the application.

    A cancelled request continues in the application, as with a real server. At the start of the block, raises
    `ServerFailed` if the application fails to start.
    """

    def __init__(self, app: ASGIApp, *, max_message_bytes: int = 16 * 2**20) -> None:
        self._app = app
        self._max_message_bytes = max_message_bytes
        self._state: dict[str, Any] = {}
        self._tasks = asyncio.TaskGroup()
        self._stopping = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._sockets: set[_Socket] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lifespan = self._tasks.create_task(self._live(started), name="lifespan")
        try:
            await started
        except BaseException:
            self._lifespan.cancel()
            await self._tasks.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for socket in list(self._sockets):
            socket.shut_down()
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=_STOP_S)
            for task in late:
                task.cancel()
        self._stopping.set()
        await self._tasks.__aexit__(None, None, None)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Makes one HTTP request to the application. If the request is cancelled, the application gets
        `http.disconnect`. Returns the response.
        """
        answered: asyncio.Future[HttpAnswer] = asyncio.get_running_loop().create_future()
        scope = self._scope("http", url, headers) | {"method": method}
        self._start(_exchange(self._app, scope, body, answered))
        return await answered

    async def connect(self, url: str, headers: Mapping[str, str]) -> MemoryConnection:
        """Opens a WebSocket to the application. Raises `ConnectFailed` if the application refuses the WebSocket.
        Returns the connection.
        """
        near, far = memory_pair(max_message_bytes=self._max_message_bytes)
        socket = _Socket(far, url)
        self._sockets.add(socket)
        scope = self._scope("websocket", url, headers) | {"subprotocols": []}
        self._start(socket.serve(self._app, scope)).add_done_callback(lambda task: self._sockets.discard(socket))
        await socket.opened
        return near

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._tasks.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task

    def _scope(self, kind: str, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        parts = urlsplit(url)
        given = {name.lower(): value for name, value in headers.items()}
        given.setdefault("host", parts.netloc)
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": parts.scheme,
            "server": (parts.hostname or "", _port(parts)),
            "client": ("127.0.0.1", 0),
            "root_path": "",
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
            "state": self._state.copy(),
        }

    async def _live(self, started: asyncio.Future[None]) -> None:
        requested = False

        DRAINS_ITSELF.set(True)  # the server gets no signals

        async def receive() -> Message:
            nonlocal requested
            if requested:
                await self._stopping.wait()
                return {"type": "lifespan.shutdown"}
            requested = True
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)

        try:
            await self._app(
                {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state},
                receive,
                send,
            )
        except Exception as error:
            if started.done():
                log.exception("The application failed when it stopped.")
            else:
                started.set_exception(_not_started(error))
        finally:
            if not started.done():
                started.set_exception(ServerFailed("The application ended before it had started."))


async def _exchange(app: ASGIApp, scope: Scope, body: bytes, answered: asyncio.Future[HttpAnswer]) -> None:
    answer = HttpAnswer()
    unread: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Message:
        nonlocal unread
        if unread is None:
            await asyncio.wait({answered})
            return {"type": "http.disconnect"}
        message, unread = unread, None
        return message

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            if not message.get("more_body") and not answered.done():
                answered.set_result(answer)

    try:
        await app(scope, receive, send)
    except Exception:
        log.exception("The application failed.")
    finally:
        if not answered.done():
            answered.set_result(HttpAnswer())


class _Socket:
    """The application's end of a WebSocket: ASGI messages on one side, a connection on the other side."""

    def __init__(self, connection: MemoryConnection, url: str) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._url = url
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._over = False

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        reading = asyncio.create_task(self._read())
        try:
            await app(scope, self._receive, self._send)
        except Exception:
            log.exception("The application failed.")
        finally:
            self._refuse(500)
            if not self._over:
                reading.cancel()  # the cancellation breaks the connection
            await asyncio.wait({reading})

    def shut_down(self) -> None:
        """Closes the WebSocket because the server stops."""
        self._over = True
        self._connection.close(1012)
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1012})

    async def _read(self) -> None:
        close = await self._connection.run(self._take)
        self._over = True
        self._inbox.put_nowait(_disconnect(close))

    def _take(self, message: str | bytes) -> None:
        text, data = (message, None) if isinstance(message, str) else (None, message)
        self._inbox.put_nowait({"type": "websocket.receive", "text": text, "bytes": data})
        if self._inbox.qsize() >= _MAX_UNREAD:
            self._connection.pause()

    async def _receive(self) -> Message:
        message = await self._inbox.get()
        if self._inbox.qsize() == _MAX_UNREAD // 2:
            self._connection.resume()
        return message

    async def _send(self, message: Message) -> None:
        while self._connection.buffered_bytes > _MAX_WAITING_BYTES and not self._over:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(_POLL_S)
        match message["type"]:
            case "websocket.accept":
                if not self.opened.done():
                    self.opened.set_result(None)
            case "websocket.send" if message.get("text") is not None:
                self._connection.send(message["text"])
            case "websocket.send":
                self._connection.send_binary(message["bytes"])
            case "websocket.close" if self.opened.done():
                self._over = True
                self._connection.close(message.get("code", 1000), message.get("reason") or "")
            case "websocket.close":
                self._refuse(403)
            case "websocket.http.response.start":
                self._refuse(message["status"])

    def _refuse(self, status: int) -> None:
        if not self.opened.done():
            failure = ConnectFailed(f"{self._url} refused the connection: {status} {HTTPStatus(status).phrase}.")
            failure.status = status
            self.opened.set_exception(failure)


def _disconnect(close: Close) -> Message:
    """Returns the ASGI disconnect message, as uvicorn sends it: with a reason (which may be empty) after a CLOSE frame,
    and without a reason after a broken connection.
    """
    message: Message = {"type": "websocket.disconnect", "code": close.code}
    if close.by != "network":
        message["reason"] = close.reason
    return message


def _not_started(error: Exception) -> ServerFailed:
    failure = ServerFailed(f"The application did not start: {error}")
    failure.__cause__ = error
    return failure


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme in ("https", "wss") else 80)
