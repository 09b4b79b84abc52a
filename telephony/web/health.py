"""The endpoints for liveness, readiness and metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..metrics import CONTENT_TYPE
from .phone_server import phone_of

__all__ = ["healthz", "metrics", "readyz"]


async def healthz(request: Request) -> JSONResponse:
    """Liveness: 200 while the event loop runs, 503 if the application was not started."""
    phone_of(request)
    return JSONResponse({"status": "ok", "service": "telephony"})


async def readyz(request: Request) -> JSONResponse:
    """Readiness: 200 if the process accepts calls; 503 if it is full or draining, if the event loop is late, or if
    journals are required and cannot be written.

    Calls are accepted without the database of records, too. The body says whether the records can be used and, with a
    database, how many writes wait and how many were dropped.
    """
    phone = phone_of(request)
    ready, client = phone.takes_calls, phone.call_records.client
    body = {
        "ready": ready,
        "calls": len(phone.registry),
        "draining": phone.registry.draining,
        "records": client.state,
        "journals": phone.journals.state,
    }
    if client.state != "memory":
        body |= {"records_waiting": client.waiting, "records_dropped": client.dropped}
    return JSONResponse(body, status_code=200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Metrics for Prometheus. It serves this machine, or requests with the bearer token `TELEPHONY_API_TOKEN`."""
    phone = phone_of(request)
    if not phone.authenticator.admits_operator(request):
        return PlainTextResponse(
            "This request needs the bearer token TELEPHONY_API_TOKEN. Set it if it is not set.", status_code=401
        )
    phone.sample()
    return Response(phone.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
