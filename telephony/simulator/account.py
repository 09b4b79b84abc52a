"""The simulated Twilio account: its numbers, its calls, and the callees at other numbers.

https://www.twilio.com/docs/voice/api/call-resource
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Coroutine, Mapping
from typing import Any

from realtime_core.sources import SYSTEM, Sources

from .bridge import bridge
from .callees import Callee, person
from .calls import SimulatedCall
from .deviations import NONE, Deviations
from .dialing import Rooms
from .faults import Faults
from .line import Line
from .links import Links, links
from .peer import Caller, MediaPeer
from .ports import Leg
from .resources import OwnedNumber
from .rooms import Room
from .twiml import Document, Fetch, Verb
from .webhooks import WebhookFailed, Webhooks

__all__ = ["CALLER", "OWN_NUMBER", "SimulatedAccount"]

log = logging.getLogger(__name__)

OWN_NUMBER = "+14155550199"
CALLER = "+14155550100"


class SimulatedAccount:
    """A simulated Twilio account with its numbers and calls. The attributes may be read and changed while the account
    is running.

    Args:
        account_sid: The SID of the account. By default the SID is generated.
        auth_token: The token that signs webhooks and streams. The token is also the password of the REST API.
        numbers: The numbers of the account. Calls may come from these numbers and go to these numbers.
        calls_per_second: The maximum rate of outbound calls. Further calls wait in a queue. At Twilio, 1 is usual.
        max_concurrent_calls: The maximum number of calls at the same time. Further calls are refused (10004).
        reach: The local addresses that are used in place of public addresses, `{"https://phone.example.com":
            "http://127.0.0.1:1"}`.
        line: The qualities of the simulated phone lines, such as delay and jitter. By default the lines are perfect.
        test_credentials: Whether the API behaves as with an account's test credentials: no call is made.
        port: The port of the REST API. 0 selects a free port.
        in_memory: Whether the simulation works in memory, without sockets (see `links`). With None, it works in memory
            only if the event loop is that of `realtime_core.testing.virtual_time`.
        beside: Another account in the same simulation. Both accounts reach the same servers.
    """

    def __init__(
        self,
        *,
        account_sid: str | None = None,
        auth_token: str | None = None,
        numbers: Collection[str] = (OWN_NUMBER,),
        calls_per_second: float = 1000.0,
        max_concurrent_calls: int | None = None,
        reach: Mapping[str, str] | None = None,
        line: Line | None = None,
        webhook_timeout_s: float = 15.0,
        test_credentials: bool = False,
        port: int = 0,
        in_memory: bool | None = None,
        beside: SimulatedAccount | None = None,
        sources: Sources = SYSTEM,
    ) -> None:
        self.account_sid = account_sid or sources.id("AC")
        self.auth_token = auth_token or sources.token()
        self.base_url = ""
        """The address of the REST API, while it is served."""
        self.numbers: dict[str, OwnedNumber] = {}
        self.account_status = "active"
        self.trial = False
        """A trial account calls only `verified_numbers` (21219)."""
        self.verified_numbers: set[str] = set()
        self.applications: dict[str, str] = {}
        """TwiML applications: sid -> voice URL."""
        self.barred_countries: set[str] = set()
        """Countries without geo permission (21215): ISO codes of two letters."""
        self.callees: dict[str, Callee] = {}
        """The callee at a number; every other number has `default_callee`."""
        self.default_callee = person()
        self.calls: dict[str, SimulatedCall] = {}
        """Every call so far, by sid."""
        self._deviations = NONE
        self.faults = Faults()
        self.faults_at: dict[str, Faults] = {}
        """For calls to a number, instead of `faults`."""
        self.requests: deque[tuple[str, str, int]] = deque(maxlen=10_000)
        """The requests to the REST API: method, path, status of the response."""
        self.undocumented: list[str] = []
        """Request parameters that Twilio's documentation lacks. `SimulatedTwilio` then raises `UndocumentedRequest`."""
        self.log_lines: deque[str] = deque(maxlen=10_000)
        self.rooms = Rooms(self)
        self.links: Links = links(in_memory) if beside is None else beside.links
        self.webhooks = Webhooks(self.auth_token, reach or {}, self.links, timeout_s=webhook_timeout_s)
        self.max_concurrent_calls = max_concurrent_calls
        self.test_credentials = test_credentials
        self.port = port
        self.sources = sources
        self.price_after_s = 0.0
        """How long after the end of a call its price is known. Twilio documents no time."""
        self._line = line
        self._calls_per_second = calls_per_second
        self._next_dial = 0.0
        self._closing = asyncio.Event()
        self._running: set[asyncio.Task[Any]] = set()
        for number in numbers:
            self.add_number(number)

    def add_number(self, number: str, *, voice_url: str = "") -> OwnedNumber:
        """Adds a phone number to the account, and returns the number. `voice_url` is the URL of the webhook for inbound
        calls.
        """
        owned = self.numbers[number] = OwnedNumber(self.sources.id("PN"), number, voice_url)
        return owned

    @property
    def deviations(self) -> Deviations:
        """The differences between this simulated Twilio and the normal simulation, for tests of `telephony certify`."""
        return self._deviations

    @deviations.setter
    def deviations(self, deviations: Deviations) -> None:
        self._deviations = deviations
        self.webhooks.signed_for = deviations.signed_for

    # --- calls in ------------------------------------------------------------------------------------------------

    async def ring(
        self, *, to: str = OWN_NUMBER, caller: Caller, from_: str = CALLER, fields: Mapping[str, str] | None = None
    ) -> SimulatedCall:
        """Makes a simulated call from `from_` to `to`, a number of the account. The number requests its voice webhook,
        and `caller` decides what the caller says. Returns when the call is over. Raises all exceptions of `caller`.

        `fields` has further fields of Twilio's requests, such as `StirVerstat`.
        """
        call = self.start_ringing(to=to, caller=caller, from_=from_, fields=fields)
        try:
            await call.finished()
        finally:
            call.end()
        return call

    def start_ringing(
        self, *, to: str = OWN_NUMBER, caller: Caller, from_: str = CALLER, fields: Mapping[str, str] | None = None
    ) -> SimulatedCall:
        """Starts a simulated call from `from_` to `to`, a number of the account, and returns immediately. The call runs
        in a task. The number requests its voice webhook, and `caller` decides what the caller says. `fields` has
        further fields of Twilio's requests, such as `StirVerstat`.
        """
        number = self.numbers[to]
        options = {"StatusCallback": number.status_callback, "StatusCallbackMethod": number.status_callback_method}
        call = SimulatedCall(self, to=to, from_=from_, direction="inbound", options=options)
        call.fields = dict(fields or {})
        self.calls[call.sid] = call
        fetch = Fetch(number.voice_url, number.voice_method or "POST")
        call.fallback_url = number.voice_fallback_url
        self.start(call.run(call.call_in(caller, fetch)))
        return call

    # --- calls out -----------------------------------------------------------------------------------------------

    def callee(self, number: str) -> Callee:
        return self.callees.get(number, self.default_callee)

    def place(self, options: Mapping[str, Any], document: Document | Fetch) -> SimulatedCall:
        """Starts a simulated outbound call with the options of a `POST Calls` request. `document` is the TwiML for the
        call. Returns the call, which runs in a task.
        """
        call = self.unplaced(options)
        self.calls[call.sid] = call
        self.start(call.run(call.be_called(self._callee_of(call), document)))
        return call

    def _callee_of(self, call: SimulatedCall) -> Callee:
        """Returns the callee at the number of a placed call. If the number belongs to this account, its webhook answers
        the call.
        """
        own = self.numbers.get(call.to)
        if own is None or not own.voice_url or call.to in self.callees:
            return self.callee(call.to)

        def ring(caller: Caller) -> None:
            self.start_ringing(to=call.to, caller=caller, from_=call.from_)

        machine = "machine_end_beep" if "MachineDetection" in call.options else "human"
        return bridge(ring, verdict=self.deviations.verdict or machine)

    def unplaced(self, options: Mapping[str, Any]) -> SimulatedCall:
        """Returns the call resource (the data in the API) of a call that is not made, as with test credentials.
        `options` are those of a `POST Calls` request.
        """
        return SimulatedCall(
            self, to=options["To"], from_=options["From"], direction="outbound-api", options=options
        )  # fmt: skip

    async def turn_to_dial(self) -> float:
        """Waits until a further outbound call may begin, because of the limit of calls per second. Returns the waiting
        time in seconds.
        """
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_dial)
        self._next_dial = turn + 1 / self._calls_per_second
        await asyncio.sleep(turn - now)
        return turn - now

    def placed_to(self, number: str) -> list[SimulatedCall]:
        """Returns the simulated calls that were placed to a number."""
        return [call for call in self.calls.values() if call.to == number and call.direction != "inbound"]

    # --- for calls -------------------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def caller_ids(self) -> set[str]:
        """The numbers from which a call may come: numbers of the account, and verified numbers."""
        return {*self.numbers, *self.verified_numbers}

    def call_leg(
        self, parent: Leg, room: Room, *, to: str, from_: str, options: Mapping[str, Any], first: Document | Fetch
    ) -> SimulatedCall:
        """Starts a call to the number of a `<Dial>`, and returns the new leg. The leg executes the document `first`,
        and then enters the conference `room`.
        """
        leg = SimulatedCall(
            self, to=to, from_=from_, direction="outbound-dial", options=options, parent=parent, room=room
        )
        self.calls[leg.sid] = leg
        self.start(leg.run(leg.be_called(self.callee(to), first)))
        return leg

    async def close(self) -> None:
        """Ends all calls of the account, and sends the callbacks that are due."""
        self._closing.set()
        for call in self.calls.values():
            call.end("completed" if call.status == "in-progress" else "canceled")
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=5.0)
            for task in late:
                task.cancel()

    def faults_of(self, to: str) -> Faults:
        return self.faults_at.get(to, self.faults)

    def notify(self, call: Leg, url: str, form: Mapping[str, str], method: str, *, event: str) -> None:
        """Sends a callback about a call to the application at `url`. `form` has the fields of the request, and `method`
        is its HTTP method. `event` is the name of the callback in `Faults`, such as `ringing`. The faults of the called
        number may drop, double or delay the callback.
        """
        faults = self.faults_of(call.to)
        if event in faults.lost:
            return
        for _ in range(2 if event in faults.doubled else 1):
            delay_s = self.sources.random.uniform(0, faults.reordered_s) if faults.reordered_s else 0.0
            self.start(self._notify(url, form, method, delay_s))

    async def _notify(self, url: str, form: Mapping[str, str], method: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        try:
            await self.webhooks.ask(url, form, method)
        except WebhookFailed as error:
            self.log_lines.append(f"{form.get('CallSid', '')} callback: {error}")

    async def open_stream(self, call: Leg, url: str, noun: Verb) -> MediaPeer:
        """Connects a media stream from the simulated Twilio to the server at `url`. Returns the stream. Raises
        `ConnectFailed` or `WebhookFailed` if the connection fails.
        """
        parameters = {
            it.get("name"): it.get("value")
            for it in noun.nouns
            if it.get("name") and len(it.get("name")) + len(it.get("value")) < 500
        }
        headers = {"X-Twilio-Signature": self.webhooks.signature(url, {})}
        connection = await self.links.connect(self.webhooks.address(url), headers)
        return MediaPeer(
            connection,
            call_sid=call.sid,
            account_sid=self.account_sid,
            parameters=parameters,
            line=self._line,
            sources=self.sources,
            phone=call.phone,
            deviations=self.deviations,
        )

    async def hang(self, seconds: float) -> None:
        """Waits for `seconds` seconds, or until the account is closed. Simulates a request that gets no answer."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    def log(self, call: Leg, text: str) -> None:
        self.log_lines.append(f"{call.sid} {text}")
        log.debug("%s %s", call.sid, text)
