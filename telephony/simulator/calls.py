"""One simulated call: its states, its TwiML and the person on the phone.

https://www.twilio.com/docs/voice/api/call-resource
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from . import clips
from .call_verbs import CallVerbs
from .callees import Callee
from .detection import detect, starts_before_detection
from .handset import Handset
from .interpreter import RAN_OUT, interpret
from .peer import Caller, MediaPeer
from .playout import FRAME, RATE, SILENCE
from .ports import Account, Leg, RecordingSource
from .recordings import Recording
from .rooms import Member, Room
from .twiml import Document, DocumentRefused, Fetch, Verb, parse
from .webhooks import WebhookFailed, absolute

__all__ = ["FINAL", "SimulatedCall"]

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_SIP = {"completed": 200, "busy": 486, "failed": 404, "no-answer": 487, "canceled": 487}


class SimulatedCall:
    """One simulated call. `status` is its status in Twilio's API, such as `ringing`."""

    def __init__(
        self,
        twilio: Account,
        *,
        to: str,
        from_: str,
        direction: str,
        options: Mapping[str, Any],
        parent: Leg | None = None,
        room: Room | None = None,
    ) -> None:
        self.twilio: Account = twilio
        self.sid = twilio.sources.id("CA")
        self.to, self.from_, self.direction = to, from_, direction
        self.options = dict(options)
        """The parameters of the REST API: `StatusCallback`, `Timeout`, `MachineDetection`."""
        self.fields: dict[str, str] = {}
        """Further fields of requests to the application: `ForwardedFrom`, `SipHeader_X-...`."""
        self.parent = parent
        self.room = room
        """The room that it enters after its document: for a leg of a `<Dial>`."""
        self.status = "queued" if direction == "outbound-api" else "ringing"
        self.answered_by: str | None = None
        self.created = self.updated = twilio.sources.now()
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.phone = Handset(on_press=self._pressed, on_hang_up=self._hung_up, on_say=self._said)
        self.streams: list[MediaPeer] = []
        """Its media streams; the last one may be live."""
        self.warnings: list[str] = []
        """The errors and warnings of Twilio's debugger, with their codes."""
        self.keyed: asyncio.Queue[tuple[str, str]] = asyncio.Queue(64)
        """Keys pressed and clips said outside of a media stream, for `<Gather>`: `dtmf` or `speech`, and what."""
        self.recordings: list[Recording] = []
        self.queued_ms = 0
        """How long it waited in the queue of calls per second."""
        self.failure: BaseException | None = None
        self.fallback_url = ""
        """The fallback URL of the number that was called."""
        self.met_twilios_error = False
        """Whether the caller heard Twilio's own error."""
        self.stream: MediaPeer | None = None
        self._joined = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._answered_at = 0.0
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._over = asyncio.Event()
        self._sequence = 0
        self._redirect: asyncio.Future[Document | Fetch] = self._loop.create_future()

    def __repr__(self) -> str:
        return f"<SimulatedCall {self.sid} {self.direction} {self.to} {self.status}>"

    @property
    def is_over(self) -> bool:
        return self.status in FINAL

    @property
    def heard(self) -> bytes:
        """The audio that was played to the person since the answer: mu-law, 8 kHz."""
        return bytes(self.phone.received)

    @property
    def duration_s(self) -> int:
        if self.started is None:
            return 0
        return max(1, round(((self.ended or self.twilio.sources.now()) - self.started).total_seconds()))

    async def ends(self) -> None:
        """Waits for the end of the call."""
        await self._over.wait()

    async def finished(self) -> None:
        """Waits for the end of the call. Raises the exception of the function that plays the person on the phone, if
        there is one.
        """
        await self.ends()
        if self.failure is not None:
            raise self.failure

    async def joins(self) -> bool:
        """Waits until the call enters its `room` (the conference of a `<Dial>`). Returns False if the call ended
        before.
        """
        over, joined = asyncio.create_task(self._over.wait()), asyncio.create_task(self._joined.wait())
        try:
            await asyncio.wait({over, joined}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            joined.cancel()
        return self._joined.is_set()

    def end(self, status: str = "completed") -> None:
        """Ends the call with `status`. Only the first call of this method has an effect."""
        if not self._end.done():
            self._end.set_result(status)

    def redirect(self, to: Document | Fetch) -> None:
        """Continues the call with other TwiML: a document, or a request that returns one. Stops the call's media
        stream.
        """
        if not self._redirect.done():
            self._redirect.set_result(to)

    # --- life ----------------------------------------------------------------------------------------------------

    async def run(self, life: Coroutine[Any, Any, str]) -> None:
        """Runs the call until `end` is called, or until the coroutine `life` (`be_called` or `call_in`) returns the
        final status.
        """
        living = asyncio.create_task(life, name=self.sid)
        status = "failed"
        try:
            await asyncio.wait({living, self._end}, return_when=asyncio.FIRST_COMPLETED)
            living.cancel()
            await asyncio.wait({living})
            if self._end.done():
                status = self._end.result()
            elif not living.cancelled() and living.exception() is None:
                status = living.result()
            if not living.cancelled() and (error := living.exception()) is not None:
                self.failure = _only(error)
        finally:
            living.cancel()
            self.ended = self.twilio.sources.now()
            if status == "completed" and self.started is None:
                status = "canceled" if self.direction != "inbound" else "no-answer"
            for recording in self.recordings:
                recording.stop(heard=self.started is not None)
            self.set_status(status, event="completed")
            self._over.set()

    async def be_called(self, callee: Callee, document: Document | Fetch) -> str:
        """Runs an outbound call to `callee`, from the status `queued` to the end of the call. `document` is the TwiML
        that is executed after the answer, or the request that fetches it. Returns the final status, such as `completed`
        or `busy`.
        """
        if self.direction == "outbound-api":
            self.queued_ms = round(1000 * await self.twilio.turn_to_dial())
        self.set_status("queued" if self.direction == "outbound-api" else "ringing", event="initiated")
        if callee.outcome == "failed":
            await asyncio.sleep(callee.after_s)
            return "failed"
        await asyncio.sleep(min(0.05, callee.after_s))
        self.set_status("ringing", event="ringing")
        ring_s = float(self.options.get("Timeout") or 60)
        if callee.after_s >= ring_s or callee.outcome == "no-answer":
            await asyncio.sleep(min(callee.after_s, ring_s))
            return "no-answer"
        await asyncio.sleep(callee.after_s)
        if callee.outcome == "busy":
            return "busy"
        self.answer()
        return await self.converse(callee.behaviour, document, callee)

    async def call_in(self, caller: Caller, fetch: Fetch) -> str:
        """Runs an inbound call, which executes the TwiML of its webhook. Returns the final status, such as `completed`
        or `busy`.
        """
        document = await self.read(fetch)
        if document.verbs and document.verbs[0].name == "Reject":
            return "busy" if document.verbs[0].get("reason") == "busy" else "failed"
        self.answer()
        return await self.converse(caller, document, None)

    def answer(self) -> None:
        self.started = self.twilio.sources.now()
        self._answered_at = self._loop.time()
        self.set_status("in-progress", event="answered")
        if str(self.options.get("Record", "")).lower() == "true":
            names = ("RecordingStatusCallback", "RecordingStatusCallbackMethod", "RecordingStatusCallbackEvent",
                     "RecordingChannels", "RecordingTrack")  # fmt: skip
            given = {name[0].lower() + name[1:]: self.options.get(name, "") for name in names}
            self.record("OutboundAPI", given)

    def record(self, source: RecordingSource, options: Mapping[str, str] | None = None) -> Recording:
        """Starts a recording of the call, which ends at the latest with the call. Returns the recording. `source` is
        Twilio's word for what started the recording, such as `RecordVerb`. `options` has the attributes of the
        recording, such as `recordingChannels`.
        """
        recording = Recording(self, source, options)
        self.recordings.append(recording)
        return recording

    async def converse(self, behaviour: Caller, document: Document | Fetch, callee: Callee | None) -> str:
        """Runs the part of the call after the answer: `behaviour` plays the person, and the TwiML of `document` is
        executed. `callee` is None for an inbound call. Returns the final status `completed`.
        """
        if digits := self.options.get("SendDigits"):
            self.phone.tones += "".join(key for key in str(digits) if key not in "wW")
        limit_s = float(self.options.get("TimeLimit") or 14400)
        person = asyncio.create_task(self._person(behaviour), name=f"{self.sid} person")
        detection = asyncio.create_task(detect(self, callee), name=f"{self.sid} detection")
        try:
            async with asyncio.timeout(limit_s):
                if not starts_before_detection(self.options):
                    await self.while_silent(detection)
                await self._follow(document)
        except TimeoutError:
            self.warnings.append(f"the call reached its time limit of {limit_s:g} s")
        finally:
            person.cancel()
            detection.cancel()
            await asyncio.wait({person, detection})
            if not person.cancelled() and (error := person.exception()) is not None:
                self.failure = self.failure or error
        return "completed"

    async def _person(self, behaviour: Caller) -> None:
        try:
            await behaviour(self.phone)
        finally:
            self._hung_up()

    async def _follow(self, document: Document | Fetch) -> None:
        following: Document | Fetch | None = document
        while following is not None:
            doing = asyncio.create_task(self._do(following), name=f"{self.sid} TwiML")
            try:
                waited: set[asyncio.Future[Any]] = {doing, self._redirect}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not doing.done():
                    doing.cancel()
                    await asyncio.wait({doing})
            if self._redirect.done():
                following, self._redirect = self._redirect.result(), self._loop.create_future()
            else:
                following = doing.result()

    async def _do(self, what: Document | Fetch) -> Document | Fetch | None:
        following = await interpret(CallVerbs(self), what)
        if following is RAN_OUT:
            if self.room is not None:
                self._joined.set()
                await self.room.stay(Member(self, ends=True))
            return None
        return following

    async def while_silent(self, work: asyncio.Future[Any]) -> None:
        """Plays silence to the person on the phone until `work` is done."""
        while not work.done():
            await self.phone.play(SILENCE * FRAME)

    def continue_in_background(self, verb: Verb, base: str, fields: Mapping[str, str]) -> None:
        """Sends the request to the `action` URL of a verb in the background, because the caller has hung up and the
        call does not wait. `base` is the URL of the document, and `fields` are fields of the request.
        """
        if action := verb.get("action"):
            form = self.form() | {"CallStatus": "completed"} | dict(fields)
            self.twilio.notify(self, absolute(base, action), form, verb.get("method") or "POST", event="action")

    # --- requests to the application --------------------------------------------------------------------------------

    def form(self) -> dict[str, str]:
        """Returns the fields that every request about this call contains."""
        form = {
            "CallSid": self.sid,
            "AccountSid": self.twilio.account_sid,
            "From": self.from_,
            "To": self.to,
            "Caller": self.from_,
            "Called": self.to,
            "CallStatus": self.status,
            "Direction": self.direction,
            "ApiVersion": "2010-04-01",
            **self.fields,
        }
        if self.parent is not None:
            form["ParentCallSid"] = self.parent.sid
        if self.answered_by is not None and not starts_before_detection(self.options):
            form["AnsweredBy"] = self.answered_by
        return form

    async def read(self, what: Document | Fetch) -> Document:
        """Returns a TwiML document. A `Document` is returned unchanged. For a `Fetch`, sends the request to the
        application, then to the fallback URL if the request fails. Returns the TwiML of the response. If both requests
        fail, returns Twilio's apology as TwiML.
        """
        if isinstance(what, Document):
            return what
        # The fallback URL of a number serves all requests for TwiML during the call:
        # https://www.twilio.com/docs/usage/security/availability-reliability
        fallback = what.fallback_url or self.fallback_url
        failed: dict[str, str] = {}
        for url, is_fallback in ((what.url, False), (fallback, True)):
            if not url:
                continue
            extra = failed if is_fallback else what.extra
            try:
                answer = await self.twilio.webhooks.ask(url, self.form() | dict(extra), what.method)
                if not answer.body:
                    return Document((), base=url)
                if answer.content_type not in ("text/xml", "application/xml", "text/html"):
                    raise WebhookFailed(12300, f"{url} answered {answer.content_type}")
                return self.parsed(answer.body, url)
            except (WebhookFailed, DocumentRefused) as error:
                self.warn(str(error))
                failed = failed or {"ErrorUrl": url, "ErrorCode": str(error.code)}
        self.met_twilios_error = True
        return parse("<Response><Say>We are sorry, an application error has occurred. Goodbye.</Say></Response>")

    def parsed(self, text: bytes | str, base: str) -> Document:
        document = parse(text, base)
        for warning in document.warnings:
            self.warn(warning)
        return document

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.twilio.log(self, text)

    def set_status(self, status: str, *, event: str) -> None:
        self.status = status
        self.updated = self.twilio.sources.now()
        self.twilio.log(self, f"{event}: {status}")
        url = self.options.get("StatusCallback")
        wanted = self.options.get("StatusCallbackEvent") or ["completed"]
        if not url or event not in wanted:
            return
        form = self.form() | {
            "CallStatus": "initiated" if event == "initiated" else status,
            "Timestamp": format_datetime(self.updated),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
        }
        self._sequence += 1
        if event == "completed":
            form |= {"SipResponseCode": str(_SIP[status]), "CallDuration": str(self.duration_s)}
            form["Duration"] = str(-(-self.duration_s // 60))
            form |= next((it.fields() for it in self.recordings if it.source == "OutboundAPI"), {})
        self.twilio.notify(self, url, form, self.options.get("StatusCallbackMethod", "POST"), event=event)

    # --- what the person does ---------------------------------------------------------------------------------------

    def _pressed(self, digit: str) -> None:
        if self.stream is not None:
            self.stream.press(digit)
        else:
            self._key("dtmf", digit)

    def _said(self, clip: str, samples: int) -> None:
        if self.stream is None and clip:
            self._loop.call_later(samples / RATE, self._key, "speech", clips.WORDS.get(clip, ""))

    def _key(self, kind: str, what: str) -> None:
        if not self.keyed.full():
            self.keyed.put_nowait((kind, what))

    def _hung_up(self) -> None:
        if self.stream is not None:
            self.stream.hang_up()
        self.end("completed")


def _only(error: BaseException) -> BaseException:
    """Returns the only exception of an exception group with one exception."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
