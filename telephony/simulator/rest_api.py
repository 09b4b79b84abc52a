"""Simulates Twilio's REST API for the official client.

https://www.twilio.com/docs/voice/api
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import documented_parameters as documented
from . import resources
from .documented_parameters import API, Form, undocumented
from .parameters import Refused, check_create, check_test_create
from .rest_account import AccountApi, check_reach
from .rest_conferences import Conferences
from .rest_forms import not_found, one, page, plain
from .rest_recordings import Recordings
from .twiml import DocumentRefused, Fetch, parse

if TYPE_CHECKING:
    from .account import SimulatedAccount
    from .calls import SimulatedCall

__all__ = ["rest_api"]

_Do = Callable[[Request, Form], Awaitable[Response]]


def rest_api(twilio: SimulatedAccount) -> Starlette:
    """Returns the REST API of the simulated account as an ASGI application."""
    api, account, rooms, kept = _Api(twilio), AccountApi(twilio), Conferences(twilio), Recordings(twilio)
    calls, conferences = "/{account}/Calls", "/{account}/Conferences"
    recordings = f"{calls}/{{sid}}/Recordings"
    participants = f"{conferences}/{{room}}/Participants"
    nothing: frozenset[str] = frozenset()
    routes: list[tuple[str, str, _Do, frozenset[str]]] = [
        ("GET", "/{account}.json", account.account, nothing),
        ("POST", f"{calls}.json", api.create_call, documented.CALL_CREATE),
        ("GET", f"{calls}.json", api.list_calls, documented.CALL_LIST),
        ("GET", f"{calls}/{{sid}}.json", api.fetch_call, nothing),
        ("POST", f"{calls}/{{sid}}.json", api.update_call, documented.CALL_UPDATE),
        ("GET", f"{recordings}.json", kept.list_recordings, documented.RECORDING_LIST),
        ("POST", f"{recordings}.json", kept.create_recording, documented.RECORDING_CREATE),
        ("GET", f"{recordings}/{{recording}}.json", kept.fetch_recording, nothing),
        ("POST", f"{recordings}/{{recording}}.json", kept.update_recording, documented.RECORDING_UPDATE),
        ("GET", "/{account}/Recordings.json", kept.list_recordings, documented.RECORDING_LIST),
        ("DELETE", "/{account}/Recordings/{recording}.json", kept.delete_recording, nothing),
        ("GET", "/{account}/Recordings/{recording}.wav", kept.audio, nothing),
        ("GET", "/{account}/IncomingPhoneNumbers.json", account.list_numbers, documented.NUMBER_LIST),
        ("GET", "/{account}/IncomingPhoneNumbers/{sid}.json", account.fetch_number, nothing),
        ("POST", "/{account}/IncomingPhoneNumbers/{sid}.json", account.update_number, documented.NUMBER_UPDATE),
        ("GET", "/{account}/Applications/{sid}.json", account.fetch_application, nothing),
        ("GET", "/{account}/OutgoingCallerIds.json", account.list_caller_ids, documented.CALLER_ID_LIST),
        ("GET", f"{conferences}.json", rooms.list_conferences, documented.CONFERENCE_LIST),
        ("GET", f"{conferences}/{{room}}.json", rooms.fetch_conference, nothing),
        ("POST", f"{conferences}/{{room}}.json", rooms.update_conference, documented.CONFERENCE_UPDATE),
        ("GET", f"{participants}.json", rooms.list_participants, documented.PARTICIPANT_LIST),
        ("POST", f"{participants}.json", rooms.create_participant, documented.PARTICIPANT_CREATE),
        ("GET", f"{participants}/{{sid}}.json", rooms.fetch_participant, nothing),
        ("POST", f"{participants}/{{sid}}.json", rooms.update_participant, documented.PARTICIPANT_UPDATE),
        ("DELETE", f"{participants}/{{sid}}.json", rooms.delete_participant, nothing),
    ]
    permission = Route("/v1/DialingPermissions/Countries/{country}", api.guarded(account.fetch_permission, nothing))
    routing = [
        Route("/v2/PhoneNumbers/{number}", api.guarded(account.fetch_region, nothing), methods=["GET"]),
        Route("/v2/PhoneNumbers/{number}", api.guarded(account.update_region, documented.REGION), methods=["POST"]),
    ]
    accounts = [Route(API + path, api.guarded(do, known), methods=[way]) for way, path, do, known in routes]
    return Starlette(routes=[*accounts, permission, *routing])


class _Api:
    def __init__(self, twilio: SimulatedAccount) -> None:
        self._twilio = twilio

    def guarded(self, do: _Do, known: frozenset[str]) -> Callable[[Request], Awaitable[Response]]:
        """Returns an endpoint that first checks the request. `known` has the documented parameters of the query or the
        form.
        """

        async def endpoint(request: Request) -> Response:
            try:
                self._check_credentials(request)
                form = await self._form(request)
                what = f"{request.method} {_shown(request.url.path)}"
                for wrong in undocumented(form, known):
                    self._twilio.undocumented.append(f"{what}: {wrong}")
                    self._twilio.log_lines.append(f"{what}: {wrong} in Twilio's documentation")
                if self._twilio.test_credentials and (do != self.create_call):
                    raise Refused(403, 20008, "Resource not accessible with Test Account Credentials")
                response = await do(request, form)
            except Refused as error:
                body = resources.error(error.status, error.code, str(error))
                response = JSONResponse(body, status_code=error.status)
            self._twilio.requests.append((request.method, request.url.path, response.status_code))
            self._twilio.log_lines.append(f"{request.method} {_shown(request.url.path)} {response.status_code}")
            return response

        return endpoint

    def _check_credentials(self, request: Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        expected = f"{self._twilio.account_sid}:{self._twilio.auth_token}"
        known = scheme.lower() == "basic" and hmac.compare_digest(given.encode(), expected.encode())
        account = self._twilio.account_sid
        if not known or request.path_params.get("account", account) != account:
            raise Refused(401, 20003, "Authenticate")

    # --- calls -----------------------------------------------------------------------------------------------------

    async def create_call(self, request: Request, form: Form) -> Response:
        twilio = self._twilio
        if twilio.test_credentials:
            check_test_create(form)
            return JSONResponse(resources.call(twilio.unplaced(plain(form))), status_code=201)
        faults = twilio.faults_of(one(form, "To"))
        fault = faults.create.popleft() if faults.create else ""
        if fault == "429":
            raise Refused(429, 20429, "Too many requests")
        if fault == "500":
            raise Refused(500, 20500, "An internal server error has occurred")
        if fault != "time-out":
            check_create(form, owned=twilio.caller_ids)
            check_reach(twilio, one(form, "To"))
            self._check_room()
            call = twilio.place(plain(form), _document(form))
        if fault in ("time-out", "time-out-after"):
            await twilio.hang(faults.hangs_s)
            raise Refused(503, 20503, "Service unavailable")
        if fault == "500-after":
            raise Refused(500, 20500, "An internal server error has occurred")
        return JSONResponse(resources.call(call), status_code=201)

    def _check_room(self) -> None:
        limit = self._twilio.max_concurrent_calls
        if limit is not None and sum(not call.is_over for call in self._twilio.calls.values()) >= limit:
            raise Refused(429, 10004, "Call concurrency limit exceeded")

    async def list_calls(self, request: Request, form: Form) -> Response:
        twilio, query = self._twilio, request.query_params
        faults = twilio.faults_of(query.get("To", ""))
        if faults.listing and faults.listing.popleft():
            raise Refused(500, 20500, "An internal server error has occurred")
        visible = twilio.sources.now() - timedelta(seconds=faults.listing_lag_s)
        found = [call for call in twilio.calls.values() if call.created <= visible and _matches(call, query)]
        found.sort(key=lambda call: call.created, reverse=True)
        return page(request, "calls", [resources.call(call) for call in found])

    async def fetch_call(self, request: Request, form: Form) -> Response:
        return JSONResponse(resources.call(self._call(request)))

    async def update_call(self, request: Request, form: Form) -> Response:
        call = self._call(request)
        status = one(form, "Status")
        if status:
            if status not in ("completed", "canceled"):
                raise Refused(400, 21218, f"Invalid status {status}")
            if call.is_over or (status == "canceled" and call.status == "in-progress"):
                raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
            call.end(status)
            await call.ends()
        elif one(form, "Twiml") or one(form, "Url"):
            if call.status != "in-progress":
                raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
            if len(one(form, "Twiml")) > 4000:
                raise Refused(400, 32018, "The TwiML is longer than 4000 characters")
            call.redirect(_document(form))
        return JSONResponse(resources.call(call))

    # -----------------------------------------------------------------------------------------------------------------

    def _call(self, request: Request) -> SimulatedCall:
        call = self._twilio.calls.get(request.path_params["sid"])
        if call is None:
            raise not_found(request)
        return call

    async def _form(self, request: Request) -> Form:
        if request.method != "POST":
            return parse_qs(request.url.query, keep_blank_values=True)
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind != "application/x-www-form-urlencoded":
            raise Refused(415, 20415, f"Unsupported content type {kind}")
        return parse_qs((await request.body()).decode(), keep_blank_values=True)


def _shown(path: str) -> str:
    """Returns the path without the SID of the account."""
    return "/" + path.removeprefix(f"{API}/").partition("/")[2]


def _document(form: Form) -> Any:
    if url := one(form, "Url"):
        return Fetch(url, one(form, "Method") or "POST", fallback_url=one(form, "FallbackUrl"))
    try:
        return parse(one(form, "Twiml"))
    except DocumentRefused as error:
        raise Refused(400, 21205, str(error)) from None


def _matches(call: SimulatedCall, query: Any) -> bool:
    started = call.started or call.created
    wanted = {"To": call.to, "From": call.from_, "Status": call.status, "ParentCallSid": _parent(call)}
    return all(query.get(name, value) == value for name, value in wanted.items()) and all(
        (started >= date) if name == "StartTime>" else (started <= date)
        for name, date in ((name, _date(query.get(name))) for name in ("StartTime>", "StartTime<"))
        if date is not None
    )


def _parent(call: SimulatedCall) -> str:
    return "" if call.parent is None else call.parent.sid


def _date(value: str | None) -> datetime | None:
    return None if not value else datetime.fromisoformat(value.replace("Z", "+00:00"))
