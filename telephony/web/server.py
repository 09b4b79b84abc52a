"""Runs the application on uvicorn, with the settings that long media streams want."""

from __future__ import annotations

import logging
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from ..errors import ServerFailed

__all__ = ["serve"]

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 2 * 2**20
"""A longer message closes the stream (1009); the codec refuses, one by one, what is longer than Twilio's are."""


class _Server(uvicorn.Server):
    """Tells where it listens: with port 0 that is not known before."""

    on_listening: Callable[[str], None] | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started and self.on_listening is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    log_level: str = "info",
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_listening` is called with the address once connections are taken.

    Raises:
        ServerFailed: the application did not start, or the port is taken; the log says why.
    """
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=MAX_MESSAGE_BYTES,
            log_level=log_level,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=5,
        )
    )
    server.on_listening = on_listening
    try:
        server.run()
    except SystemExit:
        raise ServerFailed(f"The server could not start on {host}:{port}; see the line before.") from None
    if not server.started:
        raise ServerFailed("The application did not start; see the line before.")
