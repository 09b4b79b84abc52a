"""Endpoints of the simulated Twilio REST API for conferences and their participants.

https://www.twilio.com/docs/voice/api/conference-resource,
https://www.twilio.com/docs/voice/api/conference-participant-resource
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import resources
from .documented_parameters import Form
from .parameters import check_create
from .rest_forms import flag, not_found, one, page, plain
from .twiml import Document, Verb

if TYPE_CHECKING:
    from .account import SimulatedAccount
    from .rooms import Member, Room

__all__ = ["Conferences"]


class Conferences:
    def __init__(self, twilio: SimulatedAccount) -> None:
        self._twilio = twilio

    async def list_conferences(self, request: Request, form: Form) -> Response:
        query = request.query_params
        found = [
            resources.conference(room, self._twilio.account_sid)
            for room in self._twilio.rooms.all.values()
            if query.get("FriendlyName", room.name) == room.name and query.get("Status", room.status) == room.status
        ]
        return page(request, "conferences", found)

    async def fetch_conference(self, request: Request, form: Form) -> Response:
        return JSONResponse(resources.conference(self._room(request), self._twilio.account_sid))

    async def update_conference(self, request: Request, form: Form) -> Response:
        room = self._room(request)
        if one(form, "Status") == "completed":
            room.end()
        if url := one(form, "AnnounceUrl"):
            twilio = self._twilio
            twilio.start(twilio.rooms.announce(list(room.members.values()), url, one(form, "AnnounceMethod")))
        return JSONResponse(resources.conference(room, self._twilio.account_sid))

    async def list_participants(self, request: Request, form: Form) -> Response:
        room = self._room(request)
        found = [resources.participant(room, it, self._twilio.account_sid) for it in room.members.values()]
        return page(request, "participants", found)

    async def create_participant(self, request: Request, form: Form) -> Response:
        twilio = self._twilio
        name = request.path_params["room"]
        room = twilio.rooms.all.get(name)
        attributes = {
            "participantLabel": one(form, "Label"),
            "muted": one(form, "Muted"),
            "startConferenceOnEnter": one(form, "StartConferenceOnEnter") or "true",
            "endConferenceOnExit": one(form, "EndConferenceOnExit"),
            "waitUrl": one(form, "WaitUrl"),
            "waitMethod": one(form, "WaitMethod"),
            "coach": one(form, "CallSidToCoach") if flag(form, "Coaching", False) else "",
            "record": one(form, "ConferenceRecord").replace("true", "record-from-start"),
            "statusCallback": one(form, "ConferenceStatusCallback"),
            "statusCallbackMethod": one(form, "ConferenceStatusCallbackMethod"),
            "statusCallbackEvent": " ".join(form.get("ConferenceStatusCallbackEvent", ("start end",))),
        }
        check_create({**form, "Twiml": ["<Response/>"]}, owned=twilio.caller_ids)
        call = twilio.place(plain(form), _conference(name if room is None else room.name, attributes))
        return JSONResponse({
            "account_sid": twilio.account_sid, "call_sid": call.sid, "conference_sid": "" if room is None else room.sid,
            "label": one(form, "Label") or None, "status": "queued", "muted": False, "hold": False,
            "end_conference_on_exit": one(form, "EndConferenceOnExit") == "true",
            "start_conference_on_enter": True, "coaching": flag(form, "Coaching", False),
        }, status_code=201)  # fmt: skip

    async def fetch_participant(self, request: Request, form: Form) -> Response:
        room = self._room(request)
        return JSONResponse(resources.participant(room, self._member(request, room), self._twilio.account_sid))

    async def update_participant(self, request: Request, form: Form) -> Response:
        room = self._room(request)
        member = self._member(request, room)
        member.hold = flag(form, "Hold", member.hold)
        member.muted = flag(form, "Muted", member.muted)
        member.ends = flag(form, "EndConferenceOnExit", member.ends)
        if one(form, "Coaching"):
            member.coaches = one(form, "CallSidToCoach") if flag(form, "Coaching", False) else None
        rooms, start = self._twilio.rooms, self._twilio.start
        if url := one(form, "HoldUrl"):
            start(rooms.hold(member, url, one(form, "HoldMethod")))
        if url := one(form, "WaitUrl"):
            start(rooms.wait(member, url, one(form, "WaitMethod")))
        if url := one(form, "AnnounceUrl"):
            start(rooms.announce([member], url, one(form, "AnnounceMethod")))
        return JSONResponse(resources.participant(room, member, self._twilio.account_sid))

    async def delete_participant(self, request: Request, form: Form) -> Response:
        member = self._member(request, self._room(request))
        member.call.end("completed")
        return Response(status_code=204)

    def _room(self, request: Request) -> Room:
        room = self._twilio.rooms.all.get(request.path_params["room"])
        if room is None:
            raise not_found(request)
        return room

    def _member(self, request: Request, room: Room) -> Member:
        wanted = request.path_params["sid"]
        for member in room.members.values():
            if wanted in (member.call.sid, member.label):
                return member
        raise not_found(request)


def _conference(name: str, attributes: dict[str, str]) -> Document:
    """Returns the TwiML that connects a call to the conference."""
    given = {key: value for key, value in attributes.items() if value}
    return Document((Verb("Dial", {}, nouns=(Verb("Conference", given, name),)),))
