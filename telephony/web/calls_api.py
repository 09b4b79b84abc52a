"""The endpoints `/calls` and `/calls/{id}`. These endpoints accept requests from this machine, or requests with the
bearer token TELEPHONY_API_TOKEN.

```
GET /calls          the calls, the newest first; ?from=&to=&number=&agent=&status=&since=&limit=&cursor=
POST /calls         {"to": "+14155550123", "data": {"name": "Ada"}, "message": "for a voicemail", "max_s": 180}
                    Idempotency-Key: any text; the same key never places a second call
GET /calls/{id}     the status and the result
DELETE /calls/{id}  hang up
```

`telephony.outbound.call_request.CallRequest` describes the body. `agent` is the name of an agent that the server was
started with. With DATABASE_URL, all processes that share the database know the idempotency keys and the results, also
after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any
from weakref import WeakValueDictionary

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from realtime_core.errors import UserError

from ..call.call_info import OUTBOUND
from ..errors import CallRefused, RecordRefused, RecordsUnavailable, TwilioError
from ..outbound.call_request import CallRequest
from ..outbound.dialer import Dialer
from ..outbound.dialing_rules import e164
from ..outbound.do_not_call import simulated
from ..outbound.placed_call import PlacedCall
from ..outbound.plan import CallPlan
from ..records.call_query import FILTERS, query_of
from ..records.call_record import CallRecord
from ..records.storable import clean_json
from ..urls import mounted, public_address
from .forms import BadForm, discard_body, read_body
from .phone_server import PhoneServer, phone_of

log = logging.getLogger(__name__)

__all__ = ["create_call", "end_call", "fetch_call", "list_calls", "open_dialer"]

MAX_BYTES = 1024 * 1024
_PARAMETERS = (*FILTERS, "limit", "cursor")
_KIND = "idempotency key"
_KEY_S = 7 * 86_400.0
"""The time in seconds for which an idempotency key is stored."""


def open_dialer(phone: PhoneServer) -> Dialer | None:
    """Returns the dialer of the application, or None if the Twilio account, the phone number or the public URL is not
    configured.
    """
    from ..twilio.rest import TwilioRest

    settings = phone.settings
    number, base, rest = settings.twilio_phone_number, settings.public_url, phone.control
    if number is None or base is None or not isinstance(rest, TwilioRest):
        return None

    def address(what: str, token: str) -> str:
        return public_address(mounted(base, phone.root_path), f"/i/{phone.instance}/outgoing-{what}/{token}")

    rules = phone.dialing_rules
    if settings.is_simulation:
        rules = simulated(rules, phone.simulation)
    return Dialer(rest, from_=number, address=address, rules=rules, sources=phone.sources)


async def create_call(request: Request) -> JSONResponse:
    """Places a call. Returns 201 with the call, 200 for a known `Idempotency-Key`, 4xx for an invalid request, or 503
    if the request can be repeated later.
    """
    phone = phone_of(request)
    if (refused := _refuse(request)) is not None:
        return refused
    dialer: Dialer | None = getattr(request.app.state, "dialer", None)
    if dialer is None:
        return _problem(503, "No calls can be placed: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, "
                             "TWILIO_PHONE_NUMBER and PUBLIC_URL.")  # fmt: skip
    try:
        body = await read_body(request, MAX_BYTES)
    except BadForm as error:
        await discard_body(request, MAX_BYTES)
        return _problem(error.status, f"This is {error}.")
    try:
        read = CallRequest.model_validate_json
        wanted = await asyncio.to_thread(read, body) if b'"clip"' in body else read(body)  # audio is converted
        wanted.plan(phone.outgoing)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, it['loc']))}: {it['msg'].removeprefix('Value error, ')}" for it in error.errors()
        )
        return _problem(400, "; ".join(it.removeprefix(": ") for it in problems))
    except UserError as error:
        return _problem(400, str(error))
    key = request.headers.get("idempotency-key", "")
    try:
        with nullcontext() if phone.tracing is None else phone.tracing.parent(request.headers):
            if not key:
                return await _place(phone, dialer, wanted, phone.sources.token(12))
            async with _lock(request, key):
                return await _place_once(phone, dialer, wanted, key, hashlib.sha256(body).hexdigest())
    except CallRefused as error:
        return _problem(409, str(error))
    except RecordRefused as error:
        return _problem(400, f"The database refuses this call: {error}")
    except RecordsUnavailable as error:
        log.error("A call with an Idempotency-Key was not placed: the database cannot be used: %s", error)
        return _problem(503, "The database cannot be used, and without it a call might be placed twice. "
                             "Repeat the request with the same key.", again=True)  # fmt: skip


async def _place_once(phone: PhoneServer, dialer: Dialer, wanted: CallRequest, key: str, digest: str) -> JSONResponse:
    """Stores the idempotency key with the id of the call before the call is placed.

    A later request with the same key, to any process, then finds the call and places no second call.
    """
    call_records, call_id = phone.call_records, phone.sources.token(12)
    begun = call_records.placing(call_id, e164(wanted.to, dialer.from_), dialer.from_)
    claimed = await call_records.client.reserve(_KIND, key, _KEY_S, f"{digest}:{call_id}", begun)
    if not claimed.first:
        known, _, call_id = claimed.value.partition(":")
        if known != digest:
            return _problem(422, "This Idempotency-Key was used for another request.")
        shown = await _find(phone, dialer, call_id, wanted.plan(phone.outgoing))
        return JSONResponse(shown or {"id": call_id}, status_code=200)
    response = None
    try:
        response = await _place(phone, dialer, wanted, call_id)
    finally:
        if response is None or response.status_code != 201:
            await call_records.client.release(_KIND, key, call_id)
    return response


async def _place(phone: PhoneServer, dialer: Dialer, wanted: CallRequest, call_id: str) -> JSONResponse:
    """Places the call and returns the response. Raises `CallRefused`."""
    if not phone.journals.takes_calls:
        phone.journals.refused()
        return _problem(503, "Journals cannot be written, and TELEPHONY_JOURNAL_REQUIRED is set.", again=True)
    if not phone.registry.has_room:
        return _problem(503, "The maximum number of calls is reached.", again=True)
    if phone.limits.is_spent(phone.now):
        return _problem(429, "The minutes of this day are used up (TELEPHONY_MINUTES_PER_DAY).")
    if problem := await phone.budgets.problem(e164(wanted.to, dialer.from_)):
        return _problem(429, f"{problem[0].upper()}{problem[1:]}.")
    call = dialer.place(wanted.plan(phone.outgoing), call_id)
    return JSONResponse(_shown(call), status_code=201, headers={"Location": f"{phone.root_path}/calls/{call_id}"})


async def list_calls(request: Request) -> JSONResponse:
    """Returns the calls, the newest first: `{"calls": [...], "next": cursor}`. The query parameters `from`, `to`,
    `number`, `agent`, `status` and `since` filter the calls, as in `telephony calls list`. `limit` is the number of
    calls (default 50, at most 1000). `cursor` is the value `next` of the previous page. Returns 400 for an invalid
    filter or an unknown parameter, and 503 if the database cannot be used.
    """
    phone = phone_of(request)
    if (refused := _refuse(request)) is not None:
        return refused
    records = phone.call_records
    if unknown := [name for name in request.query_params if name not in _PARAMETERS]:
        # Without this check, a filter with a wrong name would return the calls of all people.
        return _problem(400, f"There is no parameter {unknown[0]!r:.60}. The parameters are {', '.join(_PARAMETERS)}.")
    try:
        query = query_of(request.query_params, now=phone.sources.now(), subject_of=records.subjects.of)
        page = await records.client.calls(query)
    except UserError as error:
        return _problem(400, str(error))
    except (RecordsUnavailable, RecordRefused) as error:
        return _problem(503, f"The database cannot be used: {error}", again=True)
    return JSONResponse({"calls": [_recorded(row) for row in page.calls], "next": page.cursor or None})


async def fetch_call(request: Request) -> JSONResponse:
    """Returns the status and the result of a call. `id` is the id of the call or its `CallSid`. Returns 200 or 404."""
    if (refused := _refuse(request)) is not None:
        return refused
    dialer: Dialer | None = getattr(request.app.state, "dialer", None)
    shown = await _find(phone_of(request), dialer, request.path_params["id"])
    return (
        JSONResponse(shown) if shown is not None else _problem(404, "There is no such call, or its record was deleted.")
    )


async def end_call(request: Request) -> JSONResponse:
    """Hangs up a call. Returns 202 if the call is being hung up, 200 if the call has already ended, or 404."""
    if (refused := _refuse(request)) is not None:
        return refused
    dialer: Dialer | None = getattr(request.app.state, "dialer", None)
    call = None if dialer is None else dialer.calls.get(request.path_params["id"])
    if dialer is None or call is None:
        return await _end_elsewhere(phone_of(request), request.path_params["id"])
    if call.is_over:
        return JSONResponse(_shown(call))
    dialer.start_task(call.hang_up())
    return JSONResponse(_shown(call), status_code=202)


async def _end_elsewhere(phone: PhoneServer, call_id: str) -> JSONResponse:
    """Hangs up a call of another process. Twilio then notifies that process."""
    row = await phone.call_records.client.call(call_id)
    if row is None:
        return _problem(404, "There is no such call, or its record was deleted.")
    if row.over:
        return JSONResponse(_recorded(row))
    if row.sid is None or phone.control is None:
        return _problem(409, "Twilio has not assigned a CallSid yet. Repeat the request.", again=True)
    try:
        await phone.control.hang_up(row.sid)
    except TwilioError as error:
        return _problem(502, str(error))
    return JSONResponse(_recorded(row), status_code=202)


async def _find(
    phone: PhoneServer, dialer: Dialer | None, call_id: str, plan: CallPlan | None = None
) -> dict[str, Any] | None:
    """Returns the status of a call from this process or from the database, or None.

    If the process of the call has ended, this process takes over the call and never places the call again. With a
    `plan` the agent continues such a call. Without a `plan` the call is hung up.
    """
    call = None if dialer is None else dialer.calls.get(call_id)
    if call is None:
        row = await phone.call_records.client.call(call_id)
        if row is None:
            return None
        if not await phone.calls_elsewhere.is_orphan(row):
            return _recorded(row)
        if row.direction != OUTBOUND or dialer is None:
            return _recorded(await _asked_for(phone, row))
        call = dialer.calls.get(row.id)
        if call is None:
            at = row.started_at or phone.sources.now()
            call = dialer.adopt(plan or CallPlan(row.called), row.id, to=row.called, sid=row.sid, requested_at=at)
            call.cancelled = plan is None
    return _shown(call)


async def _asked_for(phone: PhoneServer, row: CallRecord) -> CallRecord:
    """Returns the row, updated with the status from Twilio's REST API."""
    from ..twilio.rest import TwilioRest

    if row.sid is None or not isinstance(phone.control, TwilioRest):
        return row
    try:
        record = await phone.control.call(row.sid)
    except TwilioError as error:
        log.info("The status of call %s is unknown: %s", row.sid, error)
        return row
    return phone.call_records.found(row, record)


def _shown(call: PlacedCall) -> dict[str, Any]:
    shown = {"id": call.token, "to": call.to, "sid": call.sid, "status": call.status, "over": call.is_over}
    if (result := call.result) is not None:
        shown |= json.loads(json.dumps(asdict(result), default=str)) | {"reached": result.reached}
    cleaned: dict[str, Any] = clean_json(shown)
    return cleaned


def _recorded(row: CallRecord) -> dict[str, Any]:
    """Returns the call record as JSON values. Only the process of the call has its transcript and output."""
    reached = row.status == "completed" and row.answered_by in ("human", "unknown")
    return row.to_json() | {"to": row.called, "duration_s": row.duration_s or 0, "reached": reached}


def _refuse(request: Request) -> JSONResponse | None:
    phone = phone_of(request)
    if not phone.authenticator.admits_operator(request):
        return _problem(401, "This request needs the bearer token TELEPHONY_API_TOKEN. Set it if it is not set.")
    return None


def _lock(request: Request, key: str) -> asyncio.Lock:
    """Returns a lock for each key, so requests with the same key run one after another."""
    state = request.app.state
    if not hasattr(state, "key_locks"):
        state.key_locks = WeakValueDictionary()
    lock: asyncio.Lock = state.key_locks.setdefault(key, asyncio.Lock())
    return lock


def _problem(status: int, message: str, *, again: bool = False) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers={"Retry-After": "5"} if again else None)
