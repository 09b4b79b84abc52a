"""The ASGI middlewares, and the URLs of a request.

One middleware refuses requests whose URL or headers are too long. The other middleware determines the path under which
the application is mounted.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ..urls import as_http, as_https, mounted, origin, public_address, websocket_address

__all__ = ["MAX_HEAD_BYTES", "MAX_URL_BYTES", "ROOT", "HeadLimits", "MountPath", "base_of", "root_of", "signed_url"]

MAX_URL_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024
"""The maximum size of the headers in bytes. Twilio's requests have 1 to 2 kB of headers, and a proxy adds some
headers.
"""

ROOT = "telephony.root_path"
"""The key in the ASGI scope for the path under which the application is mounted. `root_path` cannot be used, because
the routes of the application change it.
"""


class HeadLimits:
    """A middleware that refuses long URLs and headers. Not every ASGI server limits the head of a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (status := _refuse(scope)) is not None:
            refusal = PlainTextResponse("This request's URL or headers are too long.", status_code=status)
            answer: ASGIApp = WebSocketClose(1009) if scope["type"] == "websocket" else refusal
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refuse(scope: Scope) -> int | None:
    url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if url_bytes > MAX_URL_BYTES:
        return 414
    head_bytes = url_bytes + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return 431 if head_bytes > MAX_HEAD_BYTES else None


class MountPath:
    """A middleware after which `path` always begins with the path under which the application is mounted.

    If a proxy removes a `root_path` from requests, some servers add the `root_path` to `path` again (uvicorn), and
    other servers do not (hypercorn, FastAPI's `root_path`).
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
    """Returns the path under which the application is mounted. The path is empty if the application is mounted at the
    root.
    """
    return str(connection.scope.get(ROOT, ""))


def base_of(connection: HTTPConnection, public_url: str | None) -> str:
    """Returns the public URL of this application, including the path of the mount.

    Without PUBLIC_URL, the result is the URL of this request. In this case `X-Forwarded-Proto` is used, because a proxy
    may terminate TLS.
    """
    if public_url is None:
        here = as_http(origin(str(connection.url)))
        forwarded = connection.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        public_url = as_https(here) if forwarded in ("https", "wss") else here
    return mounted(public_url, root_of(connection))


def signed_url(connection: HTTPConnection, public_url: str, *, websocket: bool) -> str:
    """Returns the URL that Twilio uses for this request. Twilio's signature contains this URL. `websocket` is True for
    the upgrade of a media stream.
    """
    base, path = mounted(public_url, root_of(connection)), connection.url.path[len(root_of(connection)) :]
    if websocket:
        return websocket_address(base, path)
    return public_address(base, path, connection.url.query)
