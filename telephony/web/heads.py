"""Refuses requests whose URL or headers are too long, under any ASGI server."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

__all__ = ["MAX_HEAD_BYTES", "MAX_URL_BYTES", "Heads"]

MAX_URL_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024
"""Twilio's requests have 1 to 2 kB of headers; a proxy adds some."""


class Heads:
    """A middleware. Not every server has a limit of its own for the head of a request, or only one for each read."""

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
