"""Connects the simulated Twilio, the application and the official client, over sockets of this machine or in memory.

Links in memory also work in virtual time (`realtime_core.testing.virtual_time`).
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.client import HTTPMessage
from io import BytesIO
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from starlette.types import ASGIApp
from twilio.http.http_client import TwilioHttpClient

from realtime_core.connection import Connection
from realtime_core.connection.websocket import connect
from realtime_core.errors import ConnectFailed
from realtime_core.testing import virtual_time

from ..errors import ServerFailed
from ..web.server import listening
from .hosting import Host, HttpAnswer

__all__ = ["HttpAnswer", "Links", "MemoryLinks", "SocketLinks", "links"]


class Links(Protocol):
    """Transports HTTP requests and WebSockets between the parts of one simulation: the simulated Twilio, the
    application and the official Twilio client.
    """

    def serve(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serves an application on `host` and `port` during a block. With port 0, a free port is chosen. Yields the
        address as a URL. Raises `ServerFailed` if the application cannot be served.
        """

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, timeout_s: float, max_bytes: int
    ) -> HttpAnswer:
        """Makes one HTTP request with `method` to `url`, and returns the response. At most `max_bytes` bytes of its
        body are read. Redirects are not followed. Raises `TimeoutError`, `OSError` or `HTTPException` if the request
        fails.
        """

    async def connect(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Opens a WebSocket to `url`. Raises `ConnectFailed` if the server refuses the WebSocket. Returns the
        connection.
        """

    def http_client(self, timeout_s: float) -> TwilioHttpClient:
        """Returns an HTTP client for the official Twilio client, for the running event loop."""

    def close(self) -> None:
        """Ends the transport: stops the threads in which requests of the simulation are made. No request may be made
        after this.
        """


def links(in_memory: bool | None) -> Links:
    """Returns the transport between the parts of a simulation: in memory if `in_memory` is True, over sockets if it is
    False. With None, the transport is in memory if the running event loop has virtual time, because virtual time does
    not support sockets.
    """
    return MemoryLinks() if in_memory or (in_memory is None and virtual_time.is_running()) else SocketLinks()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirects. Twilio follows redirects, but no request may leave this machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class SocketLinks:
    """Implements `Links` with HTTP and WebSocket connections over sockets of this machine."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(32, "twilio-webhook")
        # No proxy of the environment is used.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def serve(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        return listening(app, host=host, port=port)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, timeout_s: float, max_bytes: int
    ) -> HttpAnswer:
        request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - this machine's
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, request, timeout_s, max_bytes)

    def _read(self, request: urllib.request.Request, timeout_s: float, max_bytes: int) -> HttpAnswer:
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                return HttpAnswer(response.status, _lower(response.headers), response.read(max_bytes))
        except urllib.error.HTTPError as error:
            error.close()
            return HttpAnswer(error.code, _lower(error.headers))

    async def connect(self, url: str, headers: Mapping[str, str]) -> Connection:
        return await connect(url, headers=headers, ping_interval_s=None)

    def http_client(self, timeout_s: float) -> TwilioHttpClient:
        return TwilioHttpClient(timeout=timeout_s)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class MemoryLinks:
    """Implements `Links` in memory, without sockets. The addresses look like addresses of this machine
    (`http://127.0.0.1:1`). Only requests and connections of the same object can use these addresses.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}

    @asynccontextmanager
    async def serve(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        address = f"127.0.0.1:{port or self._free_port()}"
        if address in self._hosts:
            raise ServerFailed(f"Cannot listen on {address}: something does. PORT names another; 0 is any.")
        async with Host(app) as hosted:
            self._hosts[address] = hosted
            try:
                yield f"http://{address}"
            finally:
                del self._hosts[address]

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, timeout_s: float, max_bytes: int
    ) -> HttpAnswer:
        given = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}
        async with asyncio.timeout(timeout_s):
            answer = await self._host(url).request(method, url, given | _lower(headers), body or b"")
        answer.body = answer.body[:max_bytes]
        return answer

    async def connect(self, url: str, headers: Mapping[str, str]) -> Connection:
        try:
            return await self._host(url).connect(url, headers)
        except ConnectionRefusedError as error:
            raise ConnectFailed(f"{url} cannot be reached: {error}. Check the address and the network.") from error

    def http_client(self, timeout_s: float) -> TwilioHttpClient:
        client = TwilioHttpClient(timeout=timeout_s)
        assert client.session is not None
        client.session.mount("http://", _MemoryAdapter(self, asyncio.get_running_loop()))
        return client

    def close(self) -> None:
        pass

    def _host(self, url: str) -> Host:
        try:
            return self._hosts[urlsplit(url).netloc]
        except KeyError:
            raise ConnectionRefusedError("nothing listens there in memory") from None

    def _free_port(self) -> int:
        return next(port for port in range(1, 65536) if f"127.0.0.1:{port}" not in self._hosts)


class _MemoryAdapter(BaseAdapter):
    """Passes the requests of a `requests.Session`, which runs in a worker thread, to the event loop."""

    def __init__(self, links: MemoryLinks, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._links = links
        self._loop = loop

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, verify: Any = True,
        cert: Any = None, proxies: Any = None,
    ) -> requests.Response:  # fmt: skip
        assert request.url is not None
        body = request.body.encode() if isinstance(request.body, str) else request.body
        asking = self._links.request(
            request.method or "GET",
            request.url,
            {name: str(value) for name, value in request.headers.items()},
            body if isinstance(body, bytes) else None,  # the official client sends forms
            timeout_s=60.0 if timeout is None else timeout,
            max_bytes=2**24,
        )
        try:
            answer = asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        except TimeoutError:
            raise requests.ReadTimeout("Read timed out.", request=request) from None
        except OSError as error:
            raise requests.ConnectionError(error, request=request) from error
        response = requests.Response()
        response.status_code, response.reason, response.url = answer.status, answer.reason, request.url
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = "utf-8"
        response.raw = BytesIO(answer.body)
        response.request = request
        return response

    def close(self) -> None:
        pass


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
