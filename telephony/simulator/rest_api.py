"""The REST API: what the official client asks, answered as Twilio answers.

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

from . import resources
from .documents import DocumentRefused, Fetch
from .parameters import CREATE, UPDATE, Form, Refused, check_create, check_test_create, unknown_parameters
from .resources import API

if TYPE_CHECKING:
    from .calls import SimulatedCall
    from .rooms import Member, Room
    from .twilio import SimulatedTwilio

__all__ = ["rest_api"]

_PARTICIPANT_ONLY = frozenset(
    [
        "Label",
        "EarlyMedia",
        "Muted",
        "Beep",
        "StartConferenceOnEnter",
        "EndConferenceOnExit",
        "WaitUrl",
        "WaitMethod",
        "MaxParticipants",
        "ConferenceRecord",
        "ConferenceTrim",
        "ConferenceStatusCallback",
        "ConferenceStatusCallbackMethod",
        "ConferenceStatusCallbackEvent",
        "Coaching",
        "CallSidToCoach",
        "JitterBufferSize",
        "Region",
        "Hold",
        "HoldUrl",
        "HoldMethod",
        "AnnounceUrl",
        "AnnounceMethod",
        "BeepOnCustomerEntrance",
        "AmdStatusCallback",
        "AmdStatusCallbackMethod",
    ]
)


def rest_api(twilio: SimulatedTwilio) -> Starlette:
    """The application."""
    api = _Api(twilio)
    calls, conferences = "/{account}/Calls", "/{account}/Conferences"
    routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "/{account}.json", api.account),
        ("POST", f"{calls}.json", api.create_call),
        ("GET", f"{calls}.json", api.list_calls),
        ("GET", f"{calls}/{{sid}}.json", api.fetch_call),
        ("POST", f"{calls}/{{sid}}.json", api.update_call),
        ("GET", "/{account}/IncomingPhoneNumbers.json", api.list_numbers),
        ("GET", "/{account}/IncomingPhoneNumbers/{sid}.json", api.fetch_number),
        ("POST", "/{account}/IncomingPhoneNumbers/{sid}.json", api.update_number),
        ("GET", f"{conferences}.json", api.list_conferences),
        ("GET", f"{conferences}/{{room}}.json", api.fetch_conference),
        ("POST", f"{conferences}/{{room}}.json", api.update_conference),
        ("GET", f"{conferences}/{{room}}/Participants.json", api.list_participants),
        ("POST", f"{conferences}/{{room}}/Participants.json", api.create_participant),
        ("GET", f"{conferences}/{{room}}/Participants/{{sid}}.json", api.fetch_participant),
        ("POST", f"{conferences}/{{room}}/Participants/{{sid}}.json", api.update_participant),
        ("DELETE", f"{conferences}/{{room}}/Participants/{{sid}}.json", api.delete_participant),
    ]
    return Starlette(routes=[Route(API + path, api.guarded(do), methods=[method]) for method, path, do in routes])


class _Api:
    def __init__(self, twilio: SimulatedTwilio) -> None:
        self._twilio = twilio

    def guarded(self, do: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                self._check_credentials(request)
                if self._twilio.test_credentials and (do != self.create_call):
                    raise Refused(403, 20008, "Resource not accessible with Test Account Credentials")
                response = await do(request)
            except Refused as error:
                body = resources.error(error.status, error.code, str(error))
                response = JSONResponse(body, status_code=error.status)
            self._twilio.requests.append((request.method, request.url.path, response.status_code))
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
        if not known or request.path_params["account"] != self._twilio.account_sid:
            raise Refused(401, 20003, "Authenticate")

    async def account(self, request: Request) -> Response:
        sid = self._twilio.account_sid
        return JSONResponse({"sid": sid, "status": "active", "type": "Full", "friendly_name": "Simulated"})

    # --- calls -----------------------------------------------------------------------------------------------------

    async def create_call(self, request: Request) -> Response:
        twilio = self._twilio
        form = await self._form(request, CREATE)
        if twilio.test_credentials:
            check_test_create(form)
            return JSONResponse(resources.call(twilio.unplaced(_plain(form))), status_code=201)
        faults = twilio.faults_of(_one(form, "To"))
        fault = faults.create.popleft() if faults.create else ""
        if fault == "429":
            raise Refused(429, 20429, "Too many requests")
        if fault == "500":
            raise Refused(500, 20500, "An internal server error has occurred")
        if fault != "time-out":
            check_create(form, owned=twilio.numbers)
            self._check_room()
            call = twilio.place(_plain(form), _document(twilio, form))
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

    async def list_calls(self, request: Request) -> Response:
        twilio, query = self._twilio, request.query_params
        faults = twilio.faults_of(query.get("To", ""))
        if faults.listing and faults.listing.popleft():
            raise Refused(500, 20500, "An internal server error has occurred")
        visible = twilio.sources.now() - timedelta(seconds=faults.listing_lag_s)
        found = [call for call in twilio.calls.values() if call.created <= visible and _matches(call, query)]
        found.sort(key=lambda call: call.created, reverse=True)
        return self._page(request, "calls", [resources.call(call) for call in found])

    async def fetch_call(self, request: Request) -> Response:
        return JSONResponse(resources.call(self._call(request)))

    async def update_call(self, request: Request) -> Response:
        call, form = self._call(request), await self._form(request, UPDATE)
        status = _one(form, "Status")
        if status:
            if status not in ("completed", "canceled"):
                raise Refused(400, 21218, f"Invalid status {status}")
            if call.is_over or (status == "canceled" and call.status == "in-progress"):
                raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
            call.end(status)
            await call.ends()
        elif _one(form, "Twiml") or _one(form, "Url"):
            if call.status != "in-progress":
                raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
            if len(_one(form, "Twiml")) > 4000:
                raise Refused(400, 32018, "The TwiML is longer than 4000 characters")
            call.redirect(_document(self._twilio, form))
        return JSONResponse(resources.call(call))

    # --- numbers ---------------------------------------------------------------------------------------------------

    async def list_numbers(self, request: Request) -> Response:
        wanted = request.query_params.get("PhoneNumber", "")
        account = self._twilio.account_sid
        found = [it for it in self._twilio.numbers.values() if wanted in ("", it.phone_number)]
        return self._page(request, "incoming_phone_numbers", [resources.number(it, account) for it in found])

    async def fetch_number(self, request: Request) -> Response:
        return JSONResponse(resources.number(self._number(request), self._twilio.account_sid))

    async def update_number(self, request: Request) -> Response:
        it = self._number(request)
        for name, values in (await self._form(request, resources.OwnedNumber.FIELDS)).items():
            if name in resources.OwnedNumber.FIELDS:
                setattr(it, _snake(name), values[0])
        return JSONResponse(resources.number(it, self._twilio.account_sid))

    def _number(self, request: Request) -> resources.OwnedNumber:
        for it in self._twilio.numbers.values():
            if it.sid == request.path_params["sid"]:
                return it
        raise _not_found(request)

    # --- conferences -------------------------------------------------------------------------------------------------

    async def list_conferences(self, request: Request) -> Response:
        query = request.query_params
        found = [
            resources.conference(room, self._twilio.account_sid)
            for room in self._twilio.rooms.all.values()
            if query.get("FriendlyName", room.name) == room.name and query.get("Status", room.status) == room.status
        ]
        return self._page(request, "conferences", found)

    async def fetch_conference(self, request: Request) -> Response:
        return JSONResponse(resources.conference(self._room(request), self._twilio.account_sid))

    async def update_conference(self, request: Request) -> Response:
        room, form = self._room(request), await self._form(request, {"Status", "AnnounceUrl", "AnnounceMethod"})
        if _one(form, "Status") == "completed":
            room.end()
        return JSONResponse(resources.conference(room, self._twilio.account_sid))

    async def list_participants(self, request: Request) -> Response:
        room = self._room(request)
        found = [resources.participant(room, it, self._twilio.account_sid) for it in room.members.values()]
        return self._page(request, "participants", found)

    async def create_participant(self, request: Request) -> Response:
        twilio = self._twilio
        form = await self._form(request, CREATE | _PARTICIPANT_ONLY)
        name = request.path_params["room"]
        room = twilio.rooms.all.get(name)
        attributes = {
            "participantLabel": _one(form, "Label"),
            "muted": _one(form, "Muted"),
            "startConferenceOnEnter": _one(form, "StartConferenceOnEnter") or "true",
            "endConferenceOnExit": _one(form, "EndConferenceOnExit"),
        }
        check_create({**form, "Twiml": ["<Response/>"]}, owned=twilio.numbers)
        call = twilio.place(_plain(form), twilio.conference_document(name if room is None else room.name, attributes))
        return JSONResponse({
            "account_sid": twilio.account_sid, "call_sid": call.sid, "conference_sid": "" if room is None else room.sid,
            "label": _one(form, "Label") or None, "status": "queued", "muted": False, "hold": False,
            "end_conference_on_exit": _one(form, "EndConferenceOnExit") == "true",
            "start_conference_on_enter": True, "coaching": False,
        }, status_code=201)  # fmt: skip

    async def fetch_participant(self, request: Request) -> Response:
        room = self._room(request)
        return JSONResponse(resources.participant(room, self._member(request, room), self._twilio.account_sid))

    async def update_participant(self, request: Request) -> Response:
        room = self._room(request)
        member, form = self._member(request, room), await self._form(request, _PARTICIPANT_ONLY)
        member.hold = _flag(form, "Hold", member.hold)
        member.muted = _flag(form, "Muted", member.muted)
        member.ends = _flag(form, "EndConferenceOnExit", member.ends)
        return JSONResponse(resources.participant(room, member, self._twilio.account_sid))

    async def delete_participant(self, request: Request) -> Response:
        member = self._member(request, self._room(request))
        member.call.end("completed")
        return Response(status_code=204)

    def _room(self, request: Request) -> Room:
        room = self._twilio.rooms.all.get(request.path_params["room"])
        if room is None:
            raise _not_found(request)
        return room

    def _member(self, request: Request, room: Room) -> Member:
        wanted = request.path_params["sid"]
        for member in room.members.values():
            if wanted in (member.call.sid, member.label):
                return member
        raise _not_found(request)

    # -----------------------------------------------------------------------------------------------------------------

    def _call(self, request: Request) -> SimulatedCall:
        call = self._twilio.calls.get(request.path_params["sid"])
        if call is None:
            raise _not_found(request)
        return call

    async def _form(self, request: Request, known: Any) -> Form:
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind != "application/x-www-form-urlencoded":
            raise Refused(415, 20415, f"Unsupported content type {kind}")
        form = parse_qs((await request.body()).decode(), keep_blank_values=True)
        for name in unknown_parameters(form, known):
            self._twilio.unknown.append(f"{request.method} {request.url.path}: {name}")
        return form

    def _page(self, request: Request, name: str, items: list[dict[str, Any]]) -> Response:
        return JSONResponse(resources.page(name, items, request.url.path, request.query_params))


def _document(twilio: SimulatedTwilio, form: Form) -> Any:
    if url := _one(form, "Url"):
        return Fetch(url, _one(form, "Method") or "POST", fallback_url=_one(form, "FallbackUrl"))
    try:
        return twilio.parsed(_one(form, "Twiml"))
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


def _plain(form: Form) -> dict[str, Any]:
    """One value each; `StatusCallbackEvent` is a list."""
    return {name: list(values) if name == "StatusCallbackEvent" else values[0] for name, values in form.items()}


def _one(form: Form, name: str) -> str:
    return (form.get(name) or ("",))[0]


def _flag(form: Form, name: str, default: bool) -> bool:
    value = _one(form, name)
    return value.lower() == "true" if value else default


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _not_found(request: Request) -> Refused:
    return Refused(404, 20404, f"The requested resource {request.url.path} was not found")
