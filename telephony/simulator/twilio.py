"""A whole Twilio on this machine.

```python
async with SimulatedTwilio(account_sid="AC...", auth_token="...") as twilio:
    client = Client("AC...", "...")             # the official one
    client.api.base_url = twilio.base_url       # our settings: TELEPHONY_TWILIO_API_URL
    twilio.callees["+14155550123"] = callees.voicemail()
    twilio.add_number("+14155550199", voice_url="http://127.0.0.1:8000/incoming-call")
    call = await twilio.ring(to="+14155550199", caller=callers.demo)
```

This machine alone: an address elsewhere is refused, but for those that `reach` maps here. Over real sockets in real
time; or with `in_memory=True`, which virtual time has by itself, without a socket and with nothing else changed:

```python
async def main() -> None:
    async with SimulatedTwilio() as twilio, twilio.serving(app) as address:
        twilio.add_number("+14155550199", voice_url=f"{address}/incoming-call")
        client = Client(twilio.account_sid, twilio.auth_token, http_client=twilio.http_client())
        call = await twilio.ring(caller=callers.demo)

virtual_time.run(main)                          # or @pytest.mark.virtual_time
```
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp
from twilio.http.http_client import TwilioHttpClient

from realtime_core.audio import g711
from realtime_core.sources import SYSTEM, Sources

from ..errors import UndocumentedRequest
from .callees import Callee, person
from .calls import SimulatedCall
from .dialling import Rooms, dial_numbers
from .documents import Document, Fetch, Verb, parse
from .faults import Faults
from .line import Line
from .links import links
from .peer import Caller, MediaPeer
from .resources import OwnedNumber
from .rest_api import rest_api
from .webhooks import WebhookFailed, Webhooks

__all__ = ["SimulatedTwilio"]

log = logging.getLogger(__name__)

OWN_NUMBER = "+14155550199"
CALLER = "+14155550100"


class SimulatedTwilio:
    """An account at Twilio. Everything in it can be looked at and changed while it runs.

    Args:
        account_sid: The account; any by default.
        auth_token: Signs webhooks and streams, and is the REST API's password.
        numbers: The account's numbers, to call from and to be rung.
        calls_per_second: Outbound calls beyond it wait in the queue, as at Twilio, where 1 is usual.
        max_concurrent_calls: More are refused (10004).
        reach: Where addresses of the outside are on this machine, `{"https://phone.example.com": "http://127.0.0.1:1"}`.
        line: What the media streams' line is like.
        test_credentials: Be the API as it is with an account's test credentials: no call is made.
        port: Where the REST API listens; 0: any free one.
        in_memory: No sockets, see `links`; None: in virtual time.
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
        sources: Sources = SYSTEM,
    ) -> None:
        self.account_sid = account_sid or sources.id("AC")
        self.auth_token = auth_token or sources.token()
        self.base_url = ""
        """The REST API's address, within `async with`."""
        self.numbers: dict[str, OwnedNumber] = {}
        self.account_status = "active"
        self.trial = False
        """A trial account calls `verified_numbers` alone (21219)."""
        self.verified_numbers: set[str] = set()
        self.applications: dict[str, str] = {}
        """TwiML applications: sid -> voice URL."""
        self.barred_countries: set[str] = set()
        """Which geo permissions the account has not (21215): ISO codes of two letters."""
        self.callees: dict[str, Callee] = {}
        """Who is at a number; at any other there is `default_callee`."""
        self.default_callee = person()
        self.calls: dict[str, SimulatedCall] = {}
        """Every call so far, by sid."""
        self.faults = Faults()
        self.faults_at: dict[str, Faults] = {}
        """For calls to a number, instead of `faults`."""
        self.requests: deque[tuple[str, str, int]] = deque(maxlen=10_000)
        """What the REST API was asked: method, path, status of the answer."""
        self.undocumented: list[str] = []
        """What was sent and Twilio's documentation does not have: leaving the block raises `UndocumentedRequest`."""
        self.log_lines: deque[str] = deque(maxlen=10_000)
        self.rooms = Rooms(self)
        self.links = links(in_memory)
        self.webhooks = Webhooks(self.auth_token, reach or {}, self.links, timeout_s=webhook_timeout_s)
        self.max_concurrent_calls = max_concurrent_calls
        self.test_credentials = test_credentials
        self.sources = sources
        self._line = line
        self._calls_per_second = calls_per_second
        self._port = port
        self._next_dial = 0.0
        self._closing = asyncio.Event()
        self._running: set[asyncio.Task[Any]] = set()
        self._stack = AsyncExitStack()
        for number in numbers:
            self.add_number(number)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.base_url = await self._stack.enter_async_context(self.links.serve(rest_api(self), port=self._port))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Calls that still go on are cut off; callbacks that are due are made."""
        self._closing.set()
        for call in self.calls.values():
            call.end("completed" if call.status == "in-progress" else "canceled")
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=5.0)
            for task in late:
                task.cancel()
        await self._stack.aclose()
        self.links.close()
        if self.undocumented and exc is None:
            raise UndocumentedRequest(self.undocumented)

    def serving(self, app: ASGIApp) -> AbstractAsyncContextManager[str]:
        """Serve an application where this Twilio reaches it: `async with twilio.serving(app) as address`."""
        return self.links.serve(app)

    def http_client(self, timeout_s: float = 10.0) -> TwilioHttpClient:
        """What carries an official client's requests here. Whoever asks for it closes its `session`."""
        return self.links.http_client(timeout_s)

    def add_number(self, number: str, *, voice_url: str = "") -> OwnedNumber:
        """A number of the account."""
        owned = self.numbers[number] = OwnedNumber(self.sources.id("PN"), number, voice_url)
        return owned

    # --- calls in ------------------------------------------------------------------------------------------------

    async def ring(
        self, *, to: str = OWN_NUMBER, caller: Caller, from_: str = CALLER, fields: Mapping[str, str] | None = None
    ) -> SimulatedCall:
        """Somebody calls one of our numbers; returns when the call is over. Raises what `caller` raises.

        `fields`: what Twilio tells besides, such as `StirVerstat`.
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
        """The same, at once: the call is under way."""
        number = self.numbers[to]
        options = {"StatusCallback": number.status_callback, "StatusCallbackMethod": number.status_callback_method}
        call = SimulatedCall(self, to=to, from_=from_, direction="inbound", options=options)
        call.fields = dict(fields or {})
        self.calls[call.sid] = call
        fetch = Fetch(number.voice_url, number.voice_method or "POST", fallback_url=number.voice_fallback_url)
        self.start(call.run(call.call_in(caller, fetch)))
        return call

    # --- calls out -----------------------------------------------------------------------------------------------

    def callee(self, number: str) -> Callee:
        return self.callees.get(number, self.default_callee)

    def place(self, options: Mapping[str, Any], document: Document | Fetch) -> SimulatedCall:
        """What `POST Calls` does."""
        call = self.unplaced(options)
        self.calls[call.sid] = call
        self.start(call.run(call.be_called(self.callee(call.to), document)))
        return call

    def unplaced(self, options: Mapping[str, Any]) -> SimulatedCall:
        """A call that nobody makes, as with test credentials."""
        return SimulatedCall(
            self, to=options["To"], from_=options["From"], direction="outbound-api", options=options
        )  # fmt: skip

    async def turn_to_dial(self) -> float:
        """Wait in the queue; returns for how long."""
        now = self._loop.time()
        turn = max(now, self._next_dial)
        self._next_dial = turn + 1 / self._calls_per_second
        await asyncio.sleep(turn - now)
        return turn - now

    def placed_to(self, number: str) -> list[SimulatedCall]:
        """The calls that were made to somebody."""
        return [call for call in self.calls.values() if call.to == number and call.direction != "inbound"]

    # --- for calls -------------------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def faults_of(self, to: str) -> Faults:
        return self.faults_at.get(to, self.faults)

    def notify(self, call: SimulatedCall, url: str, form: Mapping[str, str], method: str, *, event: str) -> None:
        """Send a callback, with what the faults do to it."""
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

    async def open_stream(self, call: SimulatedCall, url: str, noun: Verb) -> MediaPeer:
        """Raises `ConnectFailed`, `WebhookFailed`."""
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
        )

    async def join(self, call: SimulatedCall, noun: Verb, *, base: str) -> None:
        await self.rooms.join(call, noun, base=base)

    async def dial(self, call: SimulatedCall, verb: Verb, numbers: list[Verb], *, base: str) -> tuple[str, str, int]:
        return await dial_numbers(self, call, verb, numbers, base=base)

    def conference_document(self, name: str, attributes: Mapping[str, str]) -> Document:
        given = {key: value for key, value in attributes.items() if value}
        return Document((Verb("Dial", {}, nouns=(Verb("Conference", given, name),)),))

    def parsed(self, text: str) -> Document:
        return parse(text)

    def speech(self, text: str) -> bytes:
        """`<Say>`'s voice: stored words, hummed where there are none. mu-law. Blocks."""
        from realtime_core.audio.resample import Downsampler3
        from realtime_core.local.voice import Voice

        speech = Voice().speech(text)
        down = Downsampler3()
        return b"" if speech is None else g711.encode(down.push(speech.pcm) + down.flush())

    async def hang(self, seconds: float) -> None:
        """Keep somebody waiting."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    def log(self, call: SimulatedCall, text: str) -> None:
        self.log_lines.append(f"{call.sid} {text}")
        log.debug("%s %s", call.sid, text)
