"""The endpoints for campaigns and for the do-not-call list. These endpoints accept requests from this machine, or
requests with the bearer token TELEPHONY_API_TOKEN.

```
GET /campaigns                     all campaigns, the newest first
POST /campaigns                    {"name": "spring", "csv": "to,name\\n+1415...,Ada\\n",
                                   "config": {"at_once": 5}, "run": true}
                                   Idempotency-Key: any text; the same key never makes a second campaign
GET /campaigns/{id}                the status and the counts
POST /campaigns/{id}/run           start the campaign, or continue a paused campaign; also /resume
POST /campaigns/{id}/pause         start no further call, in any process
POST /campaigns/{id}/stop          end the campaign: the other contacts are not called
POST /campaigns/{id}/retry         {"reasons": ["busy"]}: call these contacts again
GET /campaigns/{id}/contacts       ?state=&search=&limit=&after=
GET /campaigns/{id}/export         all results as JSON, or ?format=csv
GET /do-not-call                   the newest entries; ?limit=&before=
POST /do-not-call                  {"number": "+14155550123", "remark": "asked by letter"}
DELETE /do-not-call/{number}
```

In place of `csv`, `contacts` may be a list of objects with the keys of the columns.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_core.errors import UserError

from ..errors import CallRefused, CampaignError, RecordRefused, RecordsUnavailable
from ..outbound.dialing_rules import e164
from ..records.access import OPERATOR, THIS_MACHINE, Action, AuditEntry
from ..records.opt_outs import OptOutSource
from .forms import BadForm, discard_body, read_body
from .phone_server import PhoneServer, phone_of

if TYPE_CHECKING:
    from ..campaigns.service import Campaigns

__all__ = ["campaign_routes"]

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
_MAX_SMALL = 16 * 1024
_KIND = "campaign key"
_KEY_S = 7 * 86_400.0
_WRITE_S = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_PAGE = 1000


class CampaignRequest(BaseModel):
    """The body of `POST /campaigns`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    csv: str | None = None
    contacts: list[dict[str, Any]] | None = None
    group: bool = False
    config: dict[str, Any] = Field(default_factory=dict)
    run: bool = False

    @model_validator(mode="after")
    def _check(self) -> CampaignRequest:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: write letters, digits, dots, _ and -, 64 at most")
        if (self.csv is None) == (self.contacts is None):
            raise ValueError("give the contacts as csv or as contacts")
        return self


class RetryRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reasons: list[str] = Field(min_length=1)


class OptOutRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: str
    remark: str = Field("", max_length=200)


@dataclass(frozen=True, slots=True)
class _Context:
    request: Request
    phone: PhoneServer

    @property
    def campaigns(self) -> Campaigns:
        if self.phone.campaigns is None:
            raise CampaignError("Campaigns need a database: set DATABASE_URL or TELEPHONY_DATA_DIR.")
        return self.phone.campaigns

    async def audit(self, detail: str) -> None:
        """Appends a change to the audit log, before the change is made. Raises `RecordsUnavailable` and
        `RecordRefused`.
        """
        phone = self.phone
        who = THIS_MACHINE if phone.settings.telephony_api_token is None else OPERATOR
        entry = AuditEntry(phone.sources.now(), who, Action.CONFIGURE, detail=detail)
        await phone.call_records.client.access(lambda store: store.add_entry(entry))

    def subject(self, number: str) -> str:
        """Returns the number as a keyed hash, because the audit log must not contain phone numbers of callers."""
        return self.phone.call_records.subjects.of(number)[:12]

    async def known(self) -> str:
        """Returns the id of the campaign in the path. Raises `CampaignError` if there is no such campaign."""
        return (await self.campaigns.existing(_id(self))).id

    async def body(self, max_bytes: int = _MAX_SMALL) -> bytes:
        try:
            return await read_body(self.request, max_bytes)
        except BadForm:
            await discard_body(self.request, max_bytes)
            raise


_Endpoint = Callable[[_Context], Awaitable[Response]]


def _operator(endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Returns an endpoint for operators. Exceptions of the endpoint become error responses."""

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        phone = phone_of(request)
        if not phone.authenticator.admits_operator(request):
            return _problem(401, "This request needs the bearer token TELEPHONY_API_TOKEN. Set it if it is not set.")
        try:
            return await endpoint(_Context(request, phone))
        except BadForm as error:
            return _problem(error.status, f"This is {error}.")
        except ValidationError as error:
            return _problem(400, "; ".join(map(_words, error.errors())))
        except (UserError, CallRefused, ValueError) as error:
            return _problem(400, str(error))
        except CampaignError as error:
            return _problem(404 if "There is no campaign" in str(error) else 409, str(error))
        except RecordRefused as error:
            return _problem(400, f"The database refuses this: {error}")
        except (RecordsUnavailable, OSError) as error:
            return _problem(503, f"The database cannot be used: {error}", again=True)

    return answer


def campaign_routes() -> list[BaseRoute]:
    post, status = ["POST"], "/campaigns/{id}"
    return [
        Route("/campaigns", _operator(_list)),
        Route("/campaigns", _operator(_create), methods=post),
        Route(status, _operator(_status)),
        Route(f"{status}/run", _operator(_run), methods=post),
        Route(f"{status}/resume", _operator(_run), methods=post),
        Route(f"{status}/pause", _operator(_pause), methods=post),
        Route(f"{status}/stop", _operator(_stop), methods=post),
        Route(f"{status}/retry", _operator(_retry), methods=post),
        Route(f"{status}/contacts", _operator(_contacts)),
        Route(f"{status}/export", _operator(_export)),
        Route("/do-not-call", _operator(_listed)),
        Route("/do-not-call", _operator(_opt_out), methods=post),
        Route("/do-not-call/{number}", _operator(_remove), methods=["DELETE"]),
    ]


# --- campaigns --------------------------------------------------------------------------------------------------------


async def _create(context: _Context) -> Response:
    """Creates a campaign. With `run`, also starts the campaign. Returns 201, 200 for a known `Idempotency-Key`, 400 or
    409. The response lists invalid and merged lines.
    """
    from ..campaigns.campaign import Campaign
    from ..campaigns.config import CampaignConfig
    from ..campaigns.contact_list import contacts_from_csv, contacts_from_rows

    phone, campaigns = context.phone, context.campaigns
    body = await context.body(MAX_BYTES)
    wanted = CampaignRequest.model_validate_json(body)
    own = phone.settings.twilio_phone_number
    if own is None:
        return _problem(503, "No calls can be placed: set TWILIO_PHONE_NUMBER.")
    now = phone.sources.now()
    campaign = Campaign(wanted.name, CampaignConfig.model_validate(wanted.config), now, wanted.name)
    campaigns.check(campaign)
    options: dict[str, Any] = {"own_number": own, "rules": phone.dialing_rules, "group": wanted.group}

    def add(_: Any) -> tuple[bool, Any]:
        if wanted.csv is not None:
            found = contacts_from_csv(wanted.csv, **options)
        else:
            found = contacts_from_rows(wanted.contacts or [], **options)
        campaigns.store.add(campaign, found.contacts)
        return True, found

    if key := context.request.headers.get("idempotency-key", ""):
        digest = sha256(body).hexdigest()
        claimed = await campaigns.client.ask(
            lambda records: records.claim(_KIND, key, ttl_s=_KEY_S, now=now, value=f"{digest}:{wanted.name}")
        )
        if not claimed.first:
            known, _, name = claimed.value.partition(":")
            if known != digest:
                return _problem(422, "This Idempotency-Key was used for another request.")
            if await campaigns.ask(lambda store: store.campaign(name)) is not None:
                return JSONResponse(await campaigns.shown(name, now))
    await context.audit(f"campaign {campaign.id}: created{' and run' if wanted.run else ''}")
    _, found = await campaigns.client.ask(add, _WRITE_S)
    if wanted.run:
        await campaigns.run(campaign.id, phone.sources.now())
    invalid = [{"lines": list(it.lines), "number": it.number, "problem": it.problem} for it in found.invalid]
    merged = [{"line": line, "equals": other} for line, other in found.merged]
    shown = await campaigns.shown(campaign.id, phone.sources.now())
    location = f"{phone.root_path}/campaigns/{campaign.id}"
    return JSONResponse(
        {**shown, "invalid": invalid, "merged": merged}, status_code=201, headers={"Location": location}
    )


async def _list(context: _Context) -> Response:
    """Returns the campaigns with their counts, the newest first."""
    return JSONResponse({"campaigns": await context.campaigns.listed(context.phone.sources.now())})


async def _status(context: _Context) -> Response:
    """Returns the status and the counts of a campaign, and why it starts no call now. Returns 200 or 404."""
    return JSONResponse(await _shown(context))


async def _run(context: _Context) -> Response:
    """Starts a campaign, or continues a paused campaign. Returns 200, 404 or 409."""
    return await _change(context, "run", context.campaigns.run)


async def _pause(context: _Context) -> Response:
    """Pauses a campaign. No process then starts a further call of the campaign. Returns 200, 404 or 409."""
    return await _change(context, "pause", context.campaigns.pause)


async def _stop(context: _Context) -> Response:
    """Ends a campaign. Calls in progress continue. A second request hangs up these calls. Returns 200 or 404."""
    return await _change(context, "stop", context.campaigns.stop)


async def _change(context: _Context, name: str, change: Callable[[str, datetime], Awaitable[Any]]) -> Response:
    """Writes a change of a campaign to the audit log, makes the change, and returns the campaign. A request whose body
    does not arrive whole changes nothing: its client got an error of the proxy, and repeats the request.
    """
    await context.body()
    await context.audit(f"campaign {await context.known()}: {name}")
    await change(_id(context), context.phone.sources.now())
    return JSONResponse(await _shown(context))


async def _retry(context: _Context) -> Response:
    """Makes contacts pending again that are done with one of `reasons`. Returns 200, 400 or 404."""
    wanted = RetryRequest.model_validate_json(await context.body())
    await context.audit(f"campaign {await context.known()}: retry {', '.join(wanted.reasons)}")
    count = await context.campaigns.retry(_id(context), wanted.reasons, context.phone.sources.now())
    return JSONResponse({**await _shown(context), "retried": count})


async def _contacts(context: _Context) -> Response:
    """Returns contacts with their attempts, in the order of the file. The query parameters are `state`, `search`,
    `limit` and `after`.
    """
    query, id_ = context.request.query_params, _id(context)
    limit = _limit(query.get("limit"), 50)
    page = await context.campaigns.page(
        id_, limit=limit, after=query.get("after", ""), state=query.get("state", ""), search=query.get("search", "")
    )
    return JSONResponse({"contacts": page, "next": page[-1]["id"] if len(page) == limit else None})


async def _export(context: _Context) -> Response:
    """Returns all results of a campaign, as JSON, or as CSV with `format=csv`."""
    from ..campaigns.report import CSV_COLUMNS, campaign_json, csv_row, result_rows

    campaigns, id_ = context.campaigns, _id(context)
    known = await campaigns.existing(id_)
    rows, funnel = await campaigns.client.ask(
        lambda _: (list(result_rows(campaigns.store, id_)), campaigns.store.funnel(id_)), _WRITE_S
    )
    if context.request.query_params.get("format", "json") == "csv":
        cells = [csv_row(row) for row in rows]
        more = sorted({name for row in cells for name in row} - set(CSV_COLUMNS))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*CSV_COLUMNS, *more], restval="")
        writer.writeheader()
        writer.writerows(cells)
        return PlainTextResponse(text.getvalue(), media_type="text/csv; charset=utf-8")
    document = {**campaign_json(known, funnel), "contacts": rows}
    return Response(json.dumps(document, ensure_ascii=False), media_type="application/json")


async def _shown(context: _Context) -> dict[str, Any]:
    return await context.campaigns.shown(_id(context), context.phone.sources.now())


# --- the do-not-call list ---------------------------------------------------------------------------------------------


async def _listed(context: _Context) -> Response:
    """Returns the newest entries of the do-not-call list. The query parameters are `limit` and `before`."""
    query = context.request.query_params
    limit = _limit(query.get("limit"), 100)
    before = query.get("before")
    found = await context.phone.opt_outs.listed(
        limit=limit, before=None if before is None else datetime.fromisoformat(before)
    )
    following = found[-1].added_at.isoformat() if len(found) == limit else None
    return JSONResponse({"numbers": [each.to_json() for each in found], "next": following})


async def _opt_out(context: _Context) -> Response:
    """Adds a number to the do-not-call list. Returns 201, or 200 if the number was already on the list. No process
    calls the number after the response.
    """
    wanted = OptOutRequest.model_validate_json(await context.body())
    number = e164(wanted.number, context.phone.settings.twilio_phone_number or "")
    await context.audit(f"do-not-call list: add subject {context.subject(number)}")
    added = await context.phone.opt_outs.add(number, OptOutSource.API, wanted.remark)
    return JSONResponse({"number": number, "added": added}, status_code=201 if added else 200)


async def _remove(context: _Context) -> Response:
    """Removes a number from the do-not-call list in the database. Returns 200 or 404."""
    number = e164(context.request.path_params["number"], context.phone.settings.twilio_phone_number or "")
    await context.audit(f"do-not-call list: remove subject {context.subject(number)}")
    if not await context.phone.opt_outs.remove(number):
        return _problem(404, f"{number} is not on the do-not-call list in the database.")
    return JSONResponse({"number": number, "removed": True})


# ----------------------------------------------------------------------------------------------------------------------


def _words(error: Mapping[str, Any]) -> str:
    where, what = ".".join(map(str, error["loc"])), str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _id(context: _Context) -> str:
    return str(context.request.path_params["id"])


def _limit(given: str | None, default: int) -> int:
    limit = default if given is None else int(given)
    if not 1 <= limit <= _MAX_PAGE:
        raise ValueError(f"limit={given}: write a number from 1 to {_MAX_PAGE}")
    return limit


def _problem(status: int, message: str, *, again: bool = False) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers={"Retry-After": "5"} if again else None)
