"""The route of the audit log of the clients' actions.

```
GET /console/api/audit   ?who=&action=&call=&from=&to=&limit=&before=: the newest entries first
```
"""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_core.errors import UserError

from ..errors import AccessRefused, ConsoleError, RecordRefused, RecordsUnavailable
from ..records.access import Action, AuditQuery, Scope
from ..records.call_query import CallQuery, time_of
from ..web.phone_server import PhoneServer
from .console import console_of
from .number_search import is_like_number, text_query

__all__ = ["routes"]

_MAX_ENTRIES = 1000
_PAGE = 100
_MAX_CALLS = 1000


def routes() -> list[BaseRoute]:
    return [Route("/console/api/audit", audit)]


async def audit(request: Request) -> Response:
    """Returns the newest entries of the audit log: `{"entries": [...], "next": id, "actions": [...]}`. The query
    parameter `who` is a part of the client's name. `call` is a CallSid or a phone number of a caller. An entry about a
    call has the `number` of the other party, as the call record has it. `before` is the value `next` of the previous
    page. Needs the scope `control` for all numbers. Returns 400 for an invalid filter.
    """
    console = console_of(request)
    grant = await console.access.admit(request, Scope.CONTROL)
    grant.demand_all_numbers()
    try:
        query = _query(request)
    except UserError as error:
        raise ConsoleError(400, str(error)) from None
    try:
        if wanted := request.query_params.get("call", "").strip():
            sids = await _sids_of(console.phone, wanted)
            query = replace(query, calls=(wanted,) if sids is None else sids)
        found = await console.access.entries(replace(query, limit=query.limit + 1))
        shown = found[: query.limit]
        numbers = await _numbers(console.phone, {it.call for it in shown if it.call})
    except (RecordsUnavailable, RecordRefused) as error:
        raise AccessRefused(503, f"The database cannot be read: {error}") from None
    entries = [
        {"id": it.id, "at": it.at.isoformat(), "who": it.who, "action": it.action.value, "call": it.call,
         "number": numbers.get(it.call, ""), "detail": it.detail}
        for it in shown
    ]  # fmt: skip
    following = shown[-1].id if len(found) > query.limit else None
    return JSONResponse(
        {"entries": entries, "next": following, "actions": [each.value for each in Action]},
        headers={"Cache-Control": "no-store"},
    )


async def _sids_of(phone: PhoneServer, text: str) -> tuple[str, ...] | None:
    """Returns the CallSids of the newest calls with the phone number `text`. Returns None if `text` is not a number."""
    if not is_like_number(text):
        return None
    query = text_query(phone, text, CallQuery(limit=_MAX_CALLS))
    return tuple(row.sid for row in (await phone.call_records.client.calls(query)).calls if row.sid)


async def _numbers(phone: PhoneServer, sids: set[str]) -> dict[str, str]:
    """Returns the number of the other party by CallSid, as the call records have it. A number may be masked."""
    if not sids:
        return {}
    page = await phone.call_records.client.calls(CallQuery(sids=tuple(sids), limit=len(sids)))
    return {row.sid: row.called if row.is_outbound else row.caller for row in page.calls if row.sid}


def _query(request: Request) -> AuditQuery:
    """Returns the filters of the request as a query. Raises `ConsoleError` (400) and `UserError` for an invalid
    filter.
    """
    given = request.query_params
    action = given.get("action", "")
    if action and action not in list(Action):
        raise ConsoleError(400, f"action: choose one of {', '.join(Action)}.")
    begin, end = given.get("from", ""), given.get("to", "")
    return AuditQuery(
        before=_number(given.get("before")),
        limit=min(_number(given.get("limit")) or _PAGE, _MAX_ENTRIES),
        who=given.get("who", "").strip(),
        action=Action(action) if action else None,
        start=time_of("from", begin) if begin else None,
        end=time_of("to", end, end=True) if end else None,
    )


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 2**31:
        raise ConsoleError(400, "`limit` and `before` are positive numbers.")
    return int(text[:12])
