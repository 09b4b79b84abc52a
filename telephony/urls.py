"""Reads and changes the parts of URLs. Pure.

A URL must not be edited as a string. For example, `amazonaws.com` contains `ws`, and `https://a.example.evil` starts
with `https://a.example`.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

__all__ = ["as_http", "as_https", "as_websocket", "mounted", "origin", "public_address", "rebased", "websocket_address"]

_WEBSOCKET = {"http": "ws", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}


def as_websocket(url: str) -> str:
    """Returns the URL with the scheme of a WebSocket: `ws` for `http`, `wss` for `https`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_WEBSOCKET.get(parts.scheme, parts.scheme)))


def as_http(url: str) -> str:
    """Returns the URL with the scheme of a request: `http` for `ws`, `https` for `wss`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_HTTP.get(parts.scheme, parts.scheme)))


def as_https(url: str) -> str:
    """Returns the URL with the scheme `https`. For a server behind a proxy that handles TLS, this is the URL that the
    client used.
    """
    return urlunsplit(urlsplit(url)._replace(scheme="https"))


def origin(url: str) -> str:
    """Returns the origin `https://host:port` of a URL, without its path, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def public_address(base: str, path: str, query: str = "") -> str:
    """Returns the URL of `path` under `base` (`https://host[/prefix]`)."""
    parts = urlsplit(base)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, query=query, fragment=""))


def websocket_address(base: str, path: str) -> str:
    """Returns the WebSocket URL of a media stream: `path` under `base`."""
    return as_websocket(public_address(base, path))


def mounted(base: str, root_path: str) -> str:
    """Returns the URL `base` with the path under which the application is mounted, `root_path` (as in ASGI). A part of
    `root_path` with which `base` already ends is not added again.

    Examples: `https://a/x` and `/x` give `https://a/x`. `https://a` and `/x` give `https://a/x`. `https://a/x` and `/y`
    give `https://a/x/y`.
    """
    parts = urlsplit(base)
    outer = [segment for segment in parts.path.split("/") if segment]
    inner = [segment for segment in root_path.split("/") if segment]
    shared = next(n for n in range(min(len(outer), len(inner)), -1, -1) if outer[len(outer) - n :] == inner[:n])
    path = "".join(f"/{segment}" for segment in outer + inner[shared:])
    return urlunsplit(parts._replace(path=path))


def rebased(url: str, outside: str, inside: str) -> str | None:
    """Returns the URL that has the same place below `inside` as `url` has below `outside`, or None if `url` is not
    below `outside`.

    A WebSocket URL stays a WebSocket URL. Example: with `https://a/x` as `outside` and `http://b` as `inside`,
    `https://a/x/y` becomes `http://b/y`.
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
