"""The routes of the campaign pages: show the status and the contacts, pause, resume and stop."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import CampaignError, RecordRefused, RecordsUnavailable
from ..web.phone_server import PhoneServer
from .access import Action, Grant, Scope
from .bodies import body_of
from .console import Console, console_of

if TYPE_CHECKING:
    from ..campaigns.service import Campaigns

__all__ = ["routes"]

_NO_STORE = {"Cache-Control": "no-store"}
_PAGE = 50
_HOURS = 24
_CHANGES = ("pause", "resume", "stop")


def routes() -> list[BaseRoute]:
    return [
        Route("/console/api/campaigns", list_campaigns),
        Route("/console/api/campaigns/{id}", show_campaign),
        Route("/console/api/campaigns/{id}/contacts", list_contacts),
        Route("/console/api/campaigns/{id}/{change}", change_campaign, methods=["POST"]),
    ]


async def list_campaigns(request: Request) -> Response:
    """Returns the campaigns with their counts, the newest first: `{"campaigns": [...]}`."""
    phone = await _admitted(request, Scope.VIEW)
    if phone.campaigns is None:
        return JSONResponse({"campaigns": []}, headers=_NO_STORE)
    try:
        listed = await phone.campaigns.listed(phone.sources.now())
    except (RecordsUnavailable, RecordRefused) as error:
        return _problem(503, f"The database cannot be used: {error}")
    return JSONResponse({"campaigns": listed}, headers=_NO_STORE)


async def show_campaign(request: Request) -> Response:
    """Returns one campaign: its counts, its calls in each of the last 24 hours, and the time of the next attempt."""
    phone = await _admitted(request, Scope.VIEW)
    try:
        return await _shown(phone, request.path_params["id"])
    except CampaignError as error:
        return _problem(404, str(error))
    except (RecordsUnavailable, RecordRefused) as error:
        return _problem(503, f"The database cannot be used: {error}")


async def list_contacts(request: Request) -> Response:
    """Returns contacts of a campaign with their attempts: `{"contacts": [...], "next": id}`. The query parameters
    `state` and `search` select contacts. `after` is the id of the contact after which the list begins: the value `next`
    of the previous page.
    """
    phone, query = await _admitted(request, Scope.VIEW), request.query_params
    try:
        page = await _campaigns(phone).page(
            request.path_params["id"],
            limit=_PAGE,
            after=query.get("after", ""),
            state=query.get("state", ""),
            search=query.get("search", ""),
        )
    except CampaignError as error:
        return _problem(404, str(error))
    except ValueError as error:
        return _problem(400, str(error))
    except (RecordsUnavailable, RecordRefused) as error:
        return _problem(503, f"The database cannot be used: {error}")
    following = page[-1]["id"] if len(page) == _PAGE else None
    return JSONResponse({"contacts": page, "next": following}, headers=_NO_STORE)


async def change_campaign(request: Request) -> Response:
    """Pauses, resumes or stops a campaign, as the last part of the path says: `pause`, `resume` or `stop`. Returns the
    changed campaign. The change takes effect immediately in every process.
    """
    console, grant = await _granted(request, Scope.CONTROL)
    await body_of(request)
    phone = console.phone
    id_, change, now = request.path_params["id"], request.path_params["change"], phone.sources.now()
    try:
        campaigns = _campaigns(phone)
        if change not in _CHANGES:
            return _problem(404, f"There is no {change!r}: write {', '.join(_CHANGES)}.")
        await campaigns.existing(id_)
        await console.access.record(grant, Action.CONFIGURE, detail=f"campaign {id_}: {change}")
        await {"pause": campaigns.pause, "resume": campaigns.run, "stop": campaigns.stop}[change](id_, now)
        return await _shown(phone, id_)
    except CampaignError as error:
        return _problem(409, str(error))
    except (RecordsUnavailable, RecordRefused) as error:
        return _problem(503, f"The database cannot be used: {error}")


async def _admitted(request: Request, scope: Scope) -> PhoneServer:
    """Returns the phone server if the client has this scope for all numbers. Raises `AccessRefused` for any other
    client.
    """
    console, _ = await _granted(request, scope)
    return console.phone


async def _granted(request: Request, scope: Scope) -> tuple[Console, Grant]:
    """Returns the console and the grant of the client. A client that is limited to some numbers is refused, because a
    campaign calls many numbers. Raises `AccessRefused` for such a client.
    """
    console = console_of(request)
    grant = await console.access.admit(request, scope)
    grant.demand_all_numbers()
    return console, grant


def _campaigns(phone: PhoneServer) -> Campaigns:
    if phone.campaigns is None:
        raise CampaignError("Campaigns need a database: set DATABASE_URL or TELEPHONY_DATA_DIR.")
    return phone.campaigns


async def _shown(phone: PhoneServer, id_: str) -> Response:
    campaigns, now = _campaigns(phone), phone.sources.now()
    shown = await campaigns.shown(id_, now)
    since = (now - timedelta(hours=_HOURS - 1)).replace(minute=0, second=0, microsecond=0)
    counts, by_hour = await campaigns.ask(lambda store: (store.counts(id_, now), store.calls_by_hour(id_, since)))
    hours: list[dict[str, Any]] = [
        {"at": (at := since + timedelta(hours=n)).isoformat(), "calls": by_hour[at]} for n in range(_HOURS)
    ]
    about = {**shown, "live": counts.live, "abandoned_in_day": counts.abandoned_in_day, "hours": hours}
    return JSONResponse(about, headers=_NO_STORE)


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=_NO_STORE)
