"""Runs the application on uvicorn, with the settings that long media streams want, and drains it before it stops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette

from ..errors import ServerFailed
from .draining import drain
from .listening import Startup, raise_descriptor_limit, server_config

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["serve"]


class _Server(uvicorn.Server):
    """Tells where it listens (with port 0 that is not known before), and lets live calls finish.

    uvicorn's own `shutdown` closes every WebSocket with 1012 at once. Here it comes after the drain, during which the
    port stays open: the live calls' webhooks and streams still come, and `/readyz` says no. A second signal ends it.
    """

    application: Starlette
    on_listening: Callable[[str], None] | None = None
    on_draining: Callable[[], None] | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.on_listening is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._captured_signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        try:
            await self._drain(self.application.state.phone)
        finally:
            await super().shutdown(sockets)
            if not self.force_exit:
                self._captured_signals.clear()  # else uvicorn raises them again, and a good end looks like a bad one

    async def _drain(self, phone: Phone) -> None:
        phone.registry.draining = True
        if self.on_draining is not None:
            await asyncio.to_thread(self.on_draining)
        ticks = itertools.count(1)
        # The date in the answers' headers goes on.
        await drain(phone, hurried=lambda: self.force_exit, on_poll=lambda: self.on_tick(next(ticks)))


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    log_level: str = "info",
    max_calls: int = 100,
    on_listening: Callable[[str], None] | None = None,
    on_draining: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, drain, and return. `on_listening` is called with the address once connections are
    taken, `on_draining` (in a thread) before live calls are waited for. Logs go where the program has them go
    (`telephony.logs`). The server takes as many connections as the process can have beside so many calls.

    Raises:
        ServerFailed: the application did not start, or the port is taken; the log says why.
        TelephonyError, RealtimeCoreError: the application did not start because of this.
    """
    startup = Startup(app)
    raise_descriptor_limit(max_calls)
    server = _Server(server_config(startup, host=host, port=port, log_level=log_level, max_calls=max_calls))
    server.application, server.on_listening, server.on_draining = app, on_listening, on_draining
    try:
        server.run()
    except SystemExit:
        if startup.error is not None:
            raise startup.error from None
        raise ServerFailed(f"The server could not start on {host}:{port}; see the line before.") from None
    if startup.error is not None:
        raise startup.error
    if not server.started:
        raise ServerFailed("The application did not start; see the line before.")
