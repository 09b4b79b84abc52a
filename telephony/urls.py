"""Addresses, read and changed part by part. Pure.

A URL is never edited as a string: `ws` also stands in `amazonaws.com`, and `https://a.example.evil` also begins with
`https://a.example`.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

__all__ = ["as_http", "as_https", "as_websocket", "mounted", "origin", "public_address", "rebased", "websocket_address"]

_WEBSOCKET = {"http": "ws", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}


def as_websocket(url: str) -> str:
    """The same address with the scheme of a WebSocket: `ws` for `http`, `wss` for `https`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_WEBSOCKET.get(parts.scheme, parts.scheme)))


def as_http(url: str) -> str:
    """The same address with the scheme of a request: `http` for `ws`, `https` for `wss`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_HTTP.get(parts.scheme, parts.scheme)))


def as_https(url: str) -> str:
    """The same address under TLS: what a proxy that ends TLS was asked for."""
    return urlunsplit(urlsplit(url)._replace(scheme="https"))


def origin(url: str) -> str:
    """`https://host:port` of a URL, without its path, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def public_address(base: str, path: str, query: str = "") -> str:
    """The address of `path` under `base` (`https://host[/prefix]`)."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, query=query, fragment=""))


def websocket_address(base: str, path: str) -> str:
    """The same for a media stream."""
    return as_websocket(public_address(base, path))


def mounted(base: str, root_path: str) -> str:
    """`base` with the path under which the application is mounted (ASGI's `root_path`).

    `base` may hold this path already, or the part of it that a proxy takes away: `https://a/x` and `/x` make
    `https://a/x`, `https://a` and `/x` make `https://a/x`, `https://a/x` and `/y` make `https://a/x/y`.
    """
    parts = urlsplit(base)
    outer = [segment for segment in parts.path.split("/") if segment]
    inner = [segment for segment in root_path.split("/") if segment]
    shared = next(n for n in range(min(len(outer), len(inner)), -1, -1) if outer[len(outer) - n :] == inner[:n])
    path = "".join(f"/{segment}" for segment in outer + inner[shared:])
    return urlunsplit(parts._replace(path=path))


def rebased(url: str, outside: str, inside: str) -> str | None:
    """`url`, which lies under `outside`, as the same place under `inside`; None: it does not lie there.

    The scheme's kind stays: a WebSocket's address stays one.
    """
    parts, outer, inner = urlsplit(url), urlsplit(outside), urlsplit(inside)
    scheme = _HTTP.get(parts.scheme, parts.scheme)
    prefix = outer.path.rstrip("/")
    if (scheme, parts.netloc) != (_HTTP.get(outer.scheme, outer.scheme), outer.netloc):
        return None
    if parts.path != prefix and not parts.path.startswith(f"{prefix}/"):
        return None
    path = inner.path.rstrip("/") + parts.path[len(prefix) :]
    moved = urlunsplit(parts._replace(scheme=inner.scheme, netloc=inner.netloc, path=path))
    return as_websocket(moved) if parts.scheme in _HTTP else as_http(moved)
