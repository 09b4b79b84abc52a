"""Is the process alive, and does it take calls?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from .app import Phone

__all__ = ["healthz", "readyz"]


async def healthz(request: Request) -> JSONResponse:
    """Alive: 200 as long as the event loop turns."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Takes calls: 200, else 503 (full, or draining)."""
    phone: Phone = request.app.state.phone
    ready = phone.ready and phone.registry.has_room
    body = {"ready": ready, "calls": len(phone.registry), "draining": phone.registry.draining}
    return JSONResponse(body, status_code=200 if ready else 503)
