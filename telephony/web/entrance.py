"""What a request meets first: where the application is mounted, and what Twilio calls this place."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..urls import as_http, as_https, mounted, origin, public_address, websocket_address

__all__ = ["ROOT", "Entrance", "asked_for", "base_of", "root_of"]

ROOT = "telephony.root_path"
"""In the scope: the path under which the application is mounted. Routes of our own change `root_path` on their way."""


class Entrance:
    """A middleware that gives each scope one form.

    Where a server or a framework was told a `root_path` and a proxy takes that path away, some servers put it back in
    front of `path` (uvicorn) and some do not (hypercorn, FastAPI's `root_path`). From here on `path` begins with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
            if root and path != root and not path.startswith(f"{root}/"):
                path = root + path
            scope.update({"root_path": root, "path": path, ROOT: root})
        await self._app(scope, receive, send)


def root_of(connection: HTTPConnection) -> str:
    """The path under which the application is mounted; empty at the root."""
    return str(connection.scope.get(ROOT, ""))


def base_of(connection: HTTPConnection, public_url: str | None) -> str:
    """Our address as Twilio is told it, with the path under which we are mounted.

    Without PUBLIC_URL: what this request called us. `X-Forwarded-Proto` counts there, for a proxy ends TLS.
    """
    if public_url is None:
        here = as_http(origin(str(connection.url)))
        forwarded = connection.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        public_url = as_https(here) if forwarded in ("https", "wss") else here
    return mounted(public_url, root_of(connection))


def asked_for(connection: HTTPConnection, public_url: str, *, websocket: bool) -> str:
    """The URL that Twilio was told for this request, which it signs."""
    base, path = mounted(public_url, root_of(connection)), connection.url.path[len(root_of(connection)) :]
    if websocket:
        return websocket_address(base, path)
    return public_address(base, path, connection.url.query)
