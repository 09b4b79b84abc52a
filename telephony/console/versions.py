"""The route of the statistics of the calls with each version of an agent: `GET /console/api/versions?since=7d`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_core.errors import UserError

from ..errors import RecordRefused, RecordsUnavailable
from ..records.access import Scope
from ..records.call_query import query_of
from ..records.call_record import CallRecord
from ..records.version_figures import VersionFigures, figures_of
from .access import own_number
from .console import console_of
from .endings import label_of

__all__ = ["routes"]

_MAX_CALLS = 2_000
"""The maximum number of calls that one request reads. Only the newest calls are counted."""
_PAGE = 500
_MAX_OUTCOMES = 5
_NO_STORE = {"Cache-Control": "no-store"}


def routes() -> list[BaseRoute]:
    return [Route("/console/api/versions", list_versions)]


async def list_versions(request: Request) -> Response:
    """Returns how calls went with each version of the agent, as `{"versions": [...], "releases": [...], "calls": 2000,
    "all": false}`. `versions` has the statistics of each version. `releases` has the decisions about canaries (new
    versions that get a part of the callers). `calls` is the number of counted calls: at most the newest 2,000 since
    `since`, which is an age or a time (default `7d`). `all` is true if no call was left out. Returns 400 for an invalid
    `since`, and 503 if the database cannot be used.
    """
    console = console_of(request)
    grant = await console.access.admit(request, Scope.VIEW)
    client, now = console.phone.call_records.client, console.phone.sources.now()
    rows: list[CallRecord] = []
    try:
        given = {"since": request.query_params.get("since") or "7d"}
        query = replace(query_of(given, now=now, subject_of=lambda number: ""), limit=_PAGE)
        while True:
            page = await client.calls(query)
            rows += page.calls
            last = page.calls[-1] if page.calls else None
            is_all = not page.cursor or last is None or last.started_at is None
            if is_all or len(rows) >= _MAX_CALLS:
                break
            assert last is not None and last.started_at is not None
            query = replace(query, after=(last.started_at, last.id))
        releases = await client.query(lambda records: records.releases.all())
    except UserError as error:
        return JSONResponse({"error": str(error)}, status_code=400, headers=_NO_STORE)
    except (RecordsUnavailable, RecordRefused) as error:
        return JSONResponse({"error": f"The database cannot be read: {error}"}, status_code=503, headers=_NO_STORE)
    seen = [row for row in rows if grant.allows(Scope.VIEW, own_number(row.direction, row.caller, row.called))]
    decisions = [
        {"place": it.place, "state": it.state, "reason": it.reason, "at": it.at.isoformat()}
        for it in releases
        if grant.allows(Scope.VIEW, it.place)
    ]
    return JSONResponse(
        {"versions": [_shown(it) for it in figures_of(seen)], "releases": decisions, "calls": len(seen), "all": is_all},
        headers=_NO_STORE,
    )


def _shown(figures: VersionFigures) -> dict[str, Any]:
    """Returns the statistics as JSON values, with descriptions of the endings and the most frequent outcomes."""
    endings: Counter[str] = Counter()
    for code, count in figures.endings.items():
        endings[label_of(code)] += count
    outcomes = list(figures.outcomes.items())[:_MAX_OUTCOMES]
    return {**asdict(figures), "endings": endings.most_common(), "outcomes": outcomes}
