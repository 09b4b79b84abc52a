"""Simulates `<Dial>`: calls other numbers, and joins calls in conferences."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from .parameters import Refused, check_caller_id
from .ports import Account, Leg
from .rooms import Member, Room
from .sounds import announcement
from .twiml import Document, Fetch, Verb
from .webhooks import absolute

__all__ = ["Rooms", "dial_numbers"]


class Rooms:
    """The conferences of a simulated Twilio account, by id."""

    def __init__(self, twilio: Account) -> None:
        self._twilio = twilio
        self.all: dict[str, Room] = {}

    def live(self, name: str) -> Room | None:
        """Returns the running conference with this SID or name, or None if there is no such conference."""
        rooms = (room for room in self.all.values() if not room.over and name in (room.sid, room.name))
        return next(rooms, None)

    async def join(self, call: Leg, noun: Verb, *, base: str) -> None:
        """Executes `<Conference>`: keeps the call in the conference until the call leaves it. `noun` is the TwiML
        element, and `base` is the URL of its document.
        """
        room = self.live(noun.text) or self._open(noun, base)
        member = Member(
            call,
            label=noun.get("participantLabel"),
            muted=noun.flag("muted"),
            starts=noun.flag("startConferenceOnEnter", True),
            ends=noun.flag("endConferenceOnExit"),
            coaches=noun.get("coach") or None,
        )
        if (url := noun.get("waitUrl")) and not room.started:
            self._twilio.start(self.wait(member, absolute(base, url), noun.get("waitMethod")))
        recording = call.record("Conference") if noun.get("record") == "record-from-start" else None
        try:
            await room.stay(member)
        finally:
            if recording is not None:
                recording.stop()

    async def wait(self, member: Member, url: str, method: str) -> None:
        """Requests the TwiML document at `url` with `method`, and plays its audio to the member until the conference
        starts.
        """
        member.waiting = await announcement(member.call, url, method)

    async def hold(self, member: Member, url: str, method: str) -> None:
        """Requests the TwiML document at `url` with `method`, and plays its audio to the member while the member is on
        hold.
        """
        member.holding = await announcement(member.call, url, method)

    async def announce(self, members: Iterable[Member], url: str, method: str) -> None:
        """Requests the TwiML document at `url` with `method`, and plays its audio once to each of the members. The
        document is requested again for each member.
        """
        for member in members:
            member.announcement += await announcement(member.call, url, method)

    def _open(self, noun: Verb, base: str) -> Room:
        url = absolute(base, noun.get("statusCallback")) if noun.get("statusCallback") else ""
        wanted = noun.get("statusCallbackEvent").split()

        def changed(event: str, member: Member) -> None:
            name = event.removeprefix("conference-").removeprefix("participant-")
            if url and name in wanted:
                form = {
                    "ConferenceSid": room.sid,
                    "FriendlyName": room.name,
                    "AccountSid": self._twilio.account_sid,
                    "StatusCallbackEvent": event,
                    "CallSid": member.call.sid,
                    "ParticipantLabel": member.label,
                    "Muted": str(member.muted).lower(),
                    "Hold": str(member.hold).lower(),
                    "Timestamp": self._twilio.sources.now().isoformat(),
                }
                self._twilio.notify(member.call, url, form, noun.get("statusCallbackMethod") or "POST", event=event)

        room = Room(self._twilio.sources.id("CF"), noun.text, changed)
        self.all[room.sid] = room
        return room


async def dial_numbers(call: Leg, verb: Verb, numbers: list[Verb], *, base: str) -> tuple[str, str, int]:
    """Executes a `<Dial>` with numbers: calls the numbers, and joins `call` with the first leg that answers and has
    finished its `<Number url>` document.

    The two legs stay joined until one of them leaves. Returns `DialCallStatus`, the SID of the leg, and its duration in
    seconds.
    """
    if not numbers:
        return "failed", "", 0
    try:
        for noun in numbers:
            check_caller_id(
                verb.attributes.get("callerId"),
                noun=noun.name,
                from_=call.from_,
                to=call.to,
                inbound=call.direction == "inbound",
                valid=call.twilio.caller_ids,
            )
    except Refused as error:
        call.warn(f"{error} ({error.code})")
        return "failed", "", 0
    room = Room(name=f"dial of {call.sid}")
    room.started = True
    legs = [_leg(call, verb, noun, base, room) for noun in numbers[:10]]
    winner: Leg | None = None
    try:
        winner = await _first_answering(call, legs)
        for leg in legs:
            if leg is not winner:
                leg.end("canceled")
        if winner is not None:
            try:
                async with asyncio.timeout(verb.number("timeLimit", 14_400)):
                    await room.stay(Member(call, ends=True))
            except TimeoutError:
                call.warn("the <Dial> reached its timeLimit")
    finally:
        for leg in legs:
            if leg is not winner:
                leg.end("canceled")
    if winner is not None:
        return "completed", winner.sid, winner.duration_s
    return legs[0].status, legs[0].sid, 0


def _leg(call: Leg, verb: Verb, noun: Verb, base: str, room: Room) -> Leg:
    """Returns a call to a `<Number>`, `<Sip>` or `<Client>`. The keys of `callees` are `+1...`, `sip:...` and
    `client:...`.
    """
    identity = next((it.text for it in noun.nouns if it.name == "Identity"), noun.text)
    to = f"client:{identity}" if noun.name == "Client" else noun.text
    options: dict[str, object] = {"Timeout": verb.get("timeout", "30"), "SendDigits": noun.get("sendDigits")}
    for name in ("statusCallback", "amdStatusCallback"):
        if url := noun.get(name):
            options[_capital(name)] = absolute(base, url)
            options[_capital(name) + "Method"] = noun.get(name + "Method") or "POST"
    options["StatusCallbackEvent"] = noun.get("statusCallbackEvent", "completed").split()
    options |= {_capital(name): value for name, value in noun.attributes.items() if name.startswith("machineDetection")}
    caller_id = verb.get("callerId") or (call.from_ if call.direction == "inbound" else call.to)
    whisper = Fetch(absolute(base, noun.get("url")), noun.get("method") or "POST") if noun.get("url") else Document(())
    return call.twilio.call_leg(call, room, to=to, from_=caller_id, options=options, first=whisper)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


async def _first_answering(call: Leg, legs: list[Leg]) -> Leg | None:
    """Returns the first leg that joins, or None. The caller hears silence during the wait, because a ringing tone is
    not simulated.
    """
    waiting = asyncio.create_task(_any_joined(legs))
    try:
        await call.while_silent(waiting)
    finally:
        waiting.cancel()
    return waiting.result()


async def _any_joined(legs: list[Leg]) -> Leg | None:
    joining = {asyncio.create_task(leg.joins()): leg for leg in legs}
    pending = set(joining)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.result():
                    return joining[task]
    finally:
        for task in pending:
            task.cancel()
    return None
