"""Opens connections to a WebSocket server through an HTTP proxy.

The environment names the proxy: `WSS_PROXY`, `HTTPS_PROXY`, `WS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in upper or lower
case. Source: https://websockets.readthedocs.io/en/stable/topics/proxies.html
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl as tls
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxy
from websockets.headers import build_authorization_basic, build_host
from websockets.proxy import Proxy, get_proxy, parse_proxy
from websockets.uri import WebSocketURI

from ..errors import ConnectFailed

__all__ = ["environment_proxy", "open_tunnel"]

_MAX_ANSWER_BYTES = 16 * 2**10


def environment_proxy(uri: WebSocketURI) -> str | None:
    """Returns the address of the HTTP proxy that the environment sets for `uri`, or None if no proxy is used. A server
    on this machine needs no proxy.
    """
    return None if _is_loopback(uri.host) else get_proxy(uri)


async def open_tunnel(proxy: str, uri: WebSocketURI, context: tls.SSLContext | None) -> asyncio.Transport:
    """Returns a connection to the server of `uri` through the HTTP proxy at the address `proxy` (`http:` or `https:`).
    TLS to the server itself must be begun afterwards. `context` has the TLS settings for an `https:` proxy (None: the
    defaults).

    Source: the CONNECT method, RFC 9110, section 9.3.6. Raises `ConnectFailed` if the proxy cannot be used or refuses,
    and `OSError` if the proxy cannot be reached.
    """
    name, cure = _without_password(proxy), f"Check HTTPS_PROXY, or set NO_PROXY={uri.host}."
    try:
        parsed = parse_proxy(proxy)
    except (InvalidProxy, ValueError) as error:
        raise ConnectFailed(f"The proxy address {name} cannot be used. {cure}") from error
    if parsed.scheme not in ("http", "https"):
        raise ConnectFailed(f"{name} is not an HTTP proxy, and no other is supported. {cure}")
    loop = asyncio.get_running_loop()
    secure = context if parsed.scheme == "https" else None
    transport, tunnel = await loop.create_connection(
        lambda: _Tunnel(_connect_request(parsed, uri)), parsed.host, parsed.port, ssl=secure
    )
    try:
        status = await tunnel.status
        if not status.startswith("2"):
            raise ConnectFailed(f"The proxy {name} did not connect to {uri.host}: {status}. {cure}")
    except BaseException:
        transport.abort()
        raise
    return transport


class _Tunnel(asyncio.Protocol):
    """Requests a connection from a proxy, and reads the response. `status` is the code and the reason of the
    response.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answer = b""
        self.status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if b"\r\n\r\n" in self._answer or len(self._answer) > _MAX_ANSWER_BYTES:
            line = self._answer.partition(b"\r\n")[0].decode(errors="replace")
            version, _, status = line.partition(" ")
            self._end(status.strip() if version.startswith("HTTP/") and status else "the answer is not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("it ended the connection")

    def _end(self, status: str) -> None:
        if not self.status.done():
            self.status.set_result(status)


def _connect_request(proxy: Proxy, uri: WebSocketURI) -> bytes:
    host = build_host(uri.host, uri.port, uri.secure, always_include_port=True)
    lines = [f"CONNECT {host} HTTP/1.1", f"Host: {host}"]
    if proxy.user_info is not None:
        lines.append(f"Proxy-Authorization: {build_authorization_basic(*proxy.user_info)}")
    return "\r\n".join((*lines, "", "")).encode()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _without_password(proxy: str) -> str:
    """Returns the address without user and password, for error messages."""
    try:
        parts = urlsplit(proxy)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        return "that the environment names"
