"""Is the process alive, does it take calls, and how does it do?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..metrics import CONTENT_TYPE
from .phone import phone_of

__all__ = ["healthz", "metrics", "readyz"]


async def healthz(request: Request) -> JSONResponse:
    """Alive: 200 as long as the event loop turns; 503 with the cure where the application was not started."""
    phone_of(request)
    return JSONResponse({"status": "ok", "service": "telephony"})


async def readyz(request: Request) -> JSONResponse:
    """Takes calls: 200, else 503 (full, draining, a late event loop, or no journals where TELEPHONY_JOURNAL_REQUIRED is
    set). Calls are taken without the records, too: the body says whether the records can be used and, with a database,
    how many notes about calls wait and how many were dropped."""
    phone = phone_of(request)
    ready, recorder = phone.takes_calls, phone.ledger.recorder
    body = {
        "ready": ready,
        "calls": len(phone.registry),
        "draining": phone.registry.draining,
        "records": recorder.state,
        "journals": phone.journals.state,
    }
    if recorder.state != "memory":
        body |= {"records_waiting": recorder.waiting, "records_dropped": recorder.dropped}
    return JSONResponse(body, status_code=200 if ready else 503)


async def metrics(request: Request) -> Response:
    """For Prometheus: this machine, or the bearer of TELEPHONY_API_TOKEN."""
    phone = phone_of(request)
    if not phone.guard.admits_operator(request):
        return PlainTextResponse(
            "This needs the bearer token TELEPHONY_API_TOKEN (set it, if it is not).", status_code=401
        )
    return Response(phone.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
