"""The endpoints for liveness, readiness and metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..metrics import CONTENT_TYPE
from .phone_server import phone_of

__all__ = ["healthz", "metrics", "readyz"]


async def healthz(request: Request) -> JSONResponse:
    """Liveness: returns 200 while the event loop runs, or 503 if the application has not started."""
    phone_of(request)
    return JSONResponse({"status": "ok", "service": "telephony"})


async def readyz(request: Request) -> JSONResponse:
    """Readiness: returns 200 if the process accepts calls. Returns 503 if the process is full or about to stop
    (draining), if the event loop is late, or if journals are required and cannot be written.

    Calls are accepted even if the database cannot be used. The body contains whether the database can be used. With a
    database, the body also contains the number of waiting writes and the number of dropped writes. If the process makes
    calls of campaigns, `campaigns` is `ok`, or `queue unavailable` while no call of a campaign can begin.
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
    if phone.campaigns is not None and (dialer := phone.campaigns.dialer) is not None:
        body["campaigns"] = "queue unavailable" if dialer.queue_error else "ok"
    return JSONResponse(body, status_code=200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Returns the metrics for Prometheus. The endpoint accepts requests from this machine, or requests with the bearer
    token `TELEPHONY_API_TOKEN`.
    """
    phone = phone_of(request)
    if not phone.authenticator.admits_operator(request):
        return PlainTextResponse(
            "This request needs the bearer token TELEPHONY_API_TOKEN. Set it if it is not set.", status_code=401
        )
    phone.sample()
    return Response(phone.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
