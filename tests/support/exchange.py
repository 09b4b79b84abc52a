"""A telephone exchange for stories: one process's switchboard, the embedded model, and a Twilio that follows the TwiML,
all in memory and in virtual time. A caller keeps the phone over all the streams that a call gets.

It has no REST API, no webhooks and no web application: it is for what happens on one call's line. Whole calls, with the
official client and signed webhooks, run in virtual time on `SimulatedTwilio`, which needs no sockets there:

```python
async def main() -> None:                                  # outbound: see test_outbound_calls.py
    async with Telephony(simulate="voicemail") as phone:   # or True; phone.twilio.callees[...] = callees.person(...)
        result = await phone.run_call("+14155550123", agent=agent, machine=LeaveMessage("..."))

virtual_time.run(main)                                     # asyncio.run(main()): the same over real sockets

async def main() -> None:                                  # inbound, or an application of your own
    twilio = SimulatedTwilio(auth_token=TOKEN)             # see test_simulated_twilio.py
    async with twilio.serving(app) as address, twilio:
        client = Client(twilio.account_sid, TOKEN, http_client=twilio.http_client())
        client.api.base_url = twilio.base_url
        twilio.add_number(OURS, voice_url=f"{address}/incoming-call")
        call = await twilio.ring(to=OURS, caller=somebody)
        fetched = await asyncio.to_thread(client.calls(call.sid).fetch)
```
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.sources import Sources
from telephony.call import clips
from telephony.call.call import CallInfo
from telephony.call.leg.fallback import after_fallback
from telephony.call.leg.next_twiml import after_dial, after_stream
from telephony.call.options import CallOptions
from telephony.call.registry import Registry
from telephony.errors import TwilioNotFound, TwilioRejected
from telephony.simulator.handset import Handset
from telephony.simulator.interpreter import RAN_OUT, Following, LeaveDocument, interpret
from telephony.simulator.line import Line
from telephony.simulator.peer import MediaPeer
from telephony.simulator.twiml import Document, Fetch, Verb, parse
from telephony.twilio import twiml
from telephony.twilio.callbacks import CallStatus, DialResult
from telephony.twilio.caller_id import is_number
from telephony.twilio.twiml import StreamTarget

from .phone_calls import Records

FRAME_S = 0.02
FRAME = 160
REST_S = 0.3
"""How long a request to Twilio's API takes."""
WEBHOOK_S = 0.15
"""How long Twilio takes to ask us what comes next."""
RING_S = 8.0
"""The time in seconds for which a dialled person lets the phone ring."""
SET_UP_S = 0.4
"""From the TwiML to the stream's `start`: name, TCP, TLS, the upgrade."""
CALLER = "+14155550100"
STREAM = StreamTarget("wss://phone.example.com/media-stream", "https://phone.example.com/after-stream")
Caller = Callable[["CallerPhone"], Awaitable[None]]
Human = Callable[["SecondLeg"], Coroutine[Any, Any, None]]


class CallerPhone(Handset):
    """A phone that stores the audio that it heard and said, frame by frame, from the start of the first stream to the
    end.
    """

    def __init__(self, on_press: Callable[[str], None], on_hang_up: Callable[[], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.heard_frames: list[bytes] = []
        self.spoke: list[bool] = []
        self.acted: list[float] = []
        self._pass_on = on_press
        super().__init__(
            now=lambda: self.loop.time() - self.began,
            on_say=lambda name, samples: None,
            on_press=self._pressed,
            on_hang_up=on_hang_up,
        )

    def _pressed(self, key: str) -> None:
        self.acted.append(self.now)
        self._pass_on(key)

    def speak(self) -> bytes:
        frame = super().speak()
        self.spoke.append(frame.count(b"\xff") < FRAME)
        return frame

    def hear(self, frame: bytes) -> None:
        super().hear(frame)
        self.heard_frames.append(frame)

    def elsewhere(self) -> None:
        """Registers that the caller had no media stream until now, so the audio that was heard in this time does not
        count.
        """
        self._fill(b"")

    def dead_air(self) -> None:
        """The caller was on no stream until now, and heard nothing."""
        self._fill(b"\xff" * FRAME)

    def _fill(self, frame: bytes) -> None:
        missing = round(self.now / FRAME_S) - len(self.heard_frames)
        self.heard_frames += [frame] * missing
        self.spoke += [False] * missing


@dataclass
class SecondLeg:
    """The second leg of a warm transfer, at the phone of the called person."""

    exchange: Exchange
    to: str
    sid: str
    document: Document
    ended: bool = False
    joined: str | None = None

    @property
    def gather(self) -> Verb:
        return next(verb for verb in self.document.verbs if verb.name == "Gather")

    @property
    def briefing(self) -> str:
        return next(noun.text for noun in self.gather.nouns if noun.name == "Say")

    def status(self, status: str) -> None:
        self.exchange.registry.call_status(CallStatus(self.sid, status))

    def press(self, key: str) -> None:
        answer = parse(self.exchange.registry.leg_key(self.gather.get("action").rsplit("/", 1)[1], key))
        rooms = [noun.text for verb in answer.verbs if verb.name == "Dial" for noun in verb.nouns]
        self.joined = rooms[0] if rooms else None


@dataclass
class Exchange:
    """Twilio's side of one call: the REST API, the addresses, and what came of the TwiML."""

    registry: Registry
    dial_results: list[str] = field(default_factory=list)
    human: Human | None = None
    refuses: Callable[[str], Exception | None] = lambda what: None
    rest_s: float = REST_S
    set_up_s: float = SET_UP_S
    tells_of_legs: bool = True
    """Do the callbacks of dialled legs arrive?"""
    notices: bool = True
    """Does Twilio notice that a stream is broken?"""
    hangs_up_after_stream: bool = False
    """Does Twilio hang up 20 seconds after a stream has ended, without a request?"""
    hung_up: list[str] = field(default_factory=list)
    redirected: list[str] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    conference: str | None = None
    streams: int = 0
    legs: list[SecondLeg] = field(default_factory=list)
    peer: MediaPeer | None = None
    over: bool = False
    _next: str | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _group: asyncio.TaskGroup | None = None

    # --- PhoneControl

    async def hang_up(self, call_sid: str) -> bool:
        await asyncio.sleep(self.rest_s)
        if (error := self.refuses("hang_up")) is not None:
            raise error
        self.hung_up.append(call_sid)
        for leg in self.legs:
            if leg.sid == call_sid:
                leg.ended = True
                return True
        if self.over:
            return False
        self.end()
        return True

    async def redirect(self, call_sid: str, twiml: str) -> None:
        await asyncio.sleep(self.rest_s)
        if (error := self.refuses("redirect")) is not None:
            raise error
        if self.over:
            raise TwilioNotFound("There is no such call.")
        self.redirected.append(twiml)
        self._next = twiml
        if self.peer is not None:
            self.peer.stop()
        self._news.set()

    async def create_call(self, *, to: str, from_: str, twiml: str | None = None, **options: Any) -> str:
        await asyncio.sleep(self.rest_s)
        if (error := self.refuses("create_call")) is not None:
            raise error
        assert twiml is not None
        if not is_number(from_):
            raise TwilioRejected(f"The source phone number provided, {from_}, is not valid.", status=400, code=21212)
        leg = SecondLeg(self, to, f"CA{len(self.legs):032x}", parse(twiml))
        self.legs.append(leg)
        if self.human is not None and self._group is not None:
            self._group.create_task(self.human(leg))
        return leg.sid

    async def start_recording(self, call_sid: str) -> str:
        return "RE1"

    async def pause_recording(self, call_sid: str) -> str | None:
        return None

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        return True

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        return True

    # --- CallAddresses

    def stream(self, info: CallInfo) -> StreamTarget:
        return STREAM

    after_dial = "https://phone.example.com/after-dial"
    call_status = "https://phone.example.com/call-status"

    def leg_key(self, leg_id: str) -> str:
        return f"https://phone.example.com/leg/{leg_id}"

    # --- the call

    def end(self) -> None:
        self.over = True
        if self.peer is not None:
            self.peer.stop()
        self._news.set()

    async def on_stream(self, peer: MediaPeer) -> None:
        """The caller is on this stream until it ends, or the call is redirected or over."""
        assert self._group is not None
        self.peer = peer
        self.streams += 1
        self._news.clear()
        running = self._group.create_task(peer.run(_holds_the_line))
        running.add_done_callback(lambda task: self._news.set() if self.peer is peer else None)
        await self._news.wait()
        self.peer = None
        while self._next is None and not self.notices and not self.over:
            self._news.clear()
            await self._news.wait()

    def redirection(self) -> Document | None:
        """The TwiML of a redirect, once."""
        document, self._next = self._next, None
        return None if document is None else parse(document)


class ExchangeVerbs:
    """What TwiML does to the call of a story. No sound is played: each verb only takes its time."""

    def __init__(
        self, exchange: Exchange, ear: CallerPhone, sid: str, one_stream: Callable[[], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._ear = ear
        self._sid = sid
        self._one_stream = one_stream

    async def follow(self, what: Following) -> None:
        """Do these documents until the call is over."""
        while what is not None and what is not RAN_OUT and not self._exchange.over:
            what = await interpret(self, what)

    async def read(self, what: Document | Fetch) -> Document:
        if isinstance(what, Document):
            return what
        if self._exchange.over:
            return Document(())
        if what.url == after_fallback(Exchange.after_dial):
            return parse(twiml.hang_up())
        return parse(self._dial_ended(what) if what.url == Exchange.after_dial else await self._stream_ended())

    async def play(self, verb: Verb, base: str) -> None:
        match verb.name:
            case "Play":
                self._exchange.digits.append(verb.get("digits"))
                await self._pass(0.3 * len(verb.get("digits")))
            case "Say":
                self._exchange.said.append(verb.text)
                await self._pass(3.0)
            case "Pause":
                await self._pass(verb.number("length", 1))

    async def gather(self, verb: Verb, prompt: Coroutine[Any, Any, None]) -> Mapping[str, str]:
        raise NotImplementedError

    async def record(self, verb: Verb, base: str) -> Mapping[str, str]:
        raise NotImplementedError

    async def start_recording(self, noun: Verb, base: str) -> None:
        raise NotImplementedError

    async def stream(self, noun: Verb, base: str) -> None:
        if self._exchange.streams:  # the story begins with the first one
            await asyncio.sleep(self._exchange.set_up_s)
            self._ear.dead_air()
        if self._exchange.over:
            return
        await self._one_stream()
        if self._exchange.hangs_up_after_stream:
            await asyncio.sleep(20)
            raise LeaveDocument(None)
        redirection = self._exchange.redirection()
        if not self._exchange.over:
            self._ear.dead_air()
        if redirection is not None:
            raise LeaveDocument(redirection)

    async def dial(self, verb: Verb, base: str) -> Mapping[str, str]:
        exchange = self._exchange
        noun = verb.nouns[0] if verb.nouns else Verb("Number", {}, verb.text)
        if noun.name == "Conference":
            exchange.conference = noun.text
            await self._pass(10.0)
            return {"DialCallStatus": "completed"}
        exchange.dialled.append(noun.text)
        result = exchange.dial_results.pop(0) if exchange.dial_results else "completed"
        wanted = noun.get("statusCallbackEvent")
        child = f"CA{len(exchange.dialled):x}".ljust(34, "d")
        await self._pass(RING_S)
        if result == "completed":
            if "answered" in wanted and exchange.tells_of_legs:
                exchange.registry.call_status(CallStatus(child, "in-progress", 2, parent_call_sid=self._sid))
            await self._pass(60.0)
        if "completed" in wanted and exchange.tells_of_legs:
            exchange.registry.call_status(CallStatus(child, result, 3, parent_call_sid=self._sid))
        return {"DialCallStatus": result, "DialCallSid": child}

    def _dial_ended(self, request: Fetch) -> str:
        registry = self._exchange.registry
        result = DialResult(self._sid, request.extra["DialCallStatus"], request.extra.get("DialCallSid", ""))
        known = registry.stream_end(self._sid) is not None
        registry.dial_ended(result)
        return _answer(after_dial(connected=result.connected, call_ended=False, known=known))

    async def _stream_ended(self) -> str:
        await asyncio.sleep(WEBHOOK_S)
        self._ear.dead_air()
        ended = self._exchange.registry.stream_end(self._sid)
        what = after_stream(ended)
        return ended.twiml if what == "document" and ended and ended.twiml else _answer(what)

    async def _pass(self, seconds: float) -> None:
        self._ear.dead_air()
        await asyncio.sleep(seconds)
        self._ear.elsewhere()


def _answer(what: str) -> str:
    match what:
        case "new stream":
            return twiml.connect_stream(STREAM)
        case "hang up":
            return twiml.hang_up()
    return twiml.apologise("Sorry.", None)


@dataclass
class Story:
    """The results of a call: its audio, records and events."""

    ear: CallerPhone
    exchange: Exchange
    records: Records
    reasons: list[str]
    peers: list[MediaPeer]

    @property
    def heard(self) -> bytes:
        """The audio that the caller heard, stream after stream, without the times between the streams."""
        return b"".join(self.ear.heard_frames)

    @property
    def reason(self) -> str:
        """The reason why the call ended."""
        return str(self.records.of("end")[-1][1]["reason"])

    def spoken(self) -> dict[str, bytes]:
        """Returns the audio of the model by item, as the phone must hear it: mu-law at 8 kHz."""
        pcm: dict[str, bytes] = {}
        for _, message in self.records.of("model.in", "response.output_audio.delta"):
            pcm[message["item_id"]] = pcm.get(message["item_id"], b"") + base64.b64decode(message["delta"])
        ulaw = {}
        for item, audio in pcm.items():
            down = Downsampler3()
            ulaw[item] = g711.encode(down.push(audio)) + g711.encode(down.flush())
        return ulaw

    def heard_whole(self, item: int) -> bool:
        """Was this answer heard, from its first sample to its last, in one piece?"""
        return list(self.spoken().values())[item] in self.heard

    def silences(self, longer_than_s: float = 3.0) -> list[tuple[float, float]]:
        """Returns stretches (begin, end, seconds) in which neither side was heard and which the caller did not cause.
        The caller is responsible for a silence after an answer of the model was heard to its last sample (or the caller
        was asked to repeat the words), until the caller does something.
        """
        ends = [answer.rstrip(b"\xff")[-1600:] for answer in (*self.spoken().values(), clips.repeat()) if answer]
        acted = {int(at / FRAME_S) for at in self.ear.acted}
        found: list[tuple[float, float]] = []
        heard, begin, agents_turn = b"", 0, True
        frames = [*zip(self.ear.heard_frames, self.ear.spoke, strict=False), (b"", False)]
        for index, (frame, spoke) in enumerate(frames):
            heard = (heard + frame)[-16_000:]
            callers = spoke or index in acted or not frame
            if not callers and not _loud(frame):
                agents_turn = agents_turn and not any(heard.rstrip(b"\xff").endswith(end) for end in ends)
                continue
            if agents_turn and (index - begin) * FRAME_S > longer_than_s:
                found.append((round(begin * FRAME_S, 2), round(index * FRAME_S, 2)))
            begin, agents_turn = index + 1, True
            if callers:
                heard = b""  # whatever was heard before, it is the agent's turn now
        return found

    def assert_no_undecided_silence(self) -> None:
        assert self.silences() == [], f"silences that nobody decided: {self.silences()}"


def _loud(frame: bytes) -> bool:
    pcm = g711.decode(frame)
    loud = sum(abs(int.from_bytes(pcm[i : i + 2], "little", signed=True)) > 300 for i in range(0, len(pcm), 2))
    return loud >= 0.05 * FRAME


async def story(
    caller: Caller,
    *,
    script: Script | str | None = "trattoria",
    agent: RealtimeAgent[Any] | None = None,
    line: Line | None = None,
    rest: bool = True,
    wire: Callable[[MemoryConnection], None] = lambda connection: None,
    model_config: RealtimeModelConfig | None = None,
    dial_results: Sequence[str] = (),
    human: Human | None = None,
    prepare: Callable[[Exchange], None] = lambda exchange: None,
    may_be_silent: bool = False,
    **options: Any,
) -> Story:
    """Run one call from its first stream to its end, and see that the caller never heard nothing for three seconds,
    unless `may_be_silent`. `wire` gets the phone's end of each connection."""
    records, peers, reasons = Records(), list[MediaPeer](), list[str]()
    agent = agent or RealtimeAgent(name="Desk", instructions="Short sentences.")
    async with LocalRealtimeServer(script, in_memory=True, sources=Sources(2)) as server, Registry(10) as registry:
        exchange = Exchange(registry, list(dial_results), human)
        prepare(exchange)
        config = RealtimeModelConfig(**{**server.model_config, **(model_config or {})})
        options.setdefault("greeting", "Greet the caller.")
        options.setdefault("reattach_s", 5.0)
        options.setdefault("addresses", exchange)
        call_options = CallOptions(
            model_config=config,
            journal=lambda info: records,
            control=exchange if rest else None,
            sources=Sources(3),
            **options,
        )

        def hang_up() -> None:
            exchange.over = True
            if exchange.peer is not None:
                exchange.peer.hang_up()
            exchange._news.set()

        ear = CallerPhone(lambda key: exchange.peer.press(key) if exchange.peer is not None else None, hang_up)
        sid = Sources(1).id("CA")

        async def one_stream() -> None:
            ours, theirs = memory_pair()
            wire(theirs)
            peer = MediaPeer(
                theirs, call_sid=sid, line=line or Line(seed=1), sources=Sources(10 + exchange.streams), phone=ear,
                parameters={"caller": CALLER, "called": "+14155550199"},
            )  # fmt: skip
            peers.append(peer)

            async def serve() -> None:
                outcome = await registry.serve_stream(ours, agent, call_options)
                reasons.append(outcome.reason)

            assert exchange._group is not None
            exchange._group.create_task(serve())
            await exchange.on_stream(peer)

        async with asyncio.TaskGroup() as group:
            exchange._group = group
            talking = group.create_task(_talk(caller, ear, hang_up))
            await ExchangeVerbs(exchange, ear, sid, one_stream).follow(parse(twiml.connect_stream(STREAM)))
            exchange.over = True
            talking.cancel()
            registry.call_status(CallStatus(sid, "completed"))
        async with asyncio.timeout(60):
            await registry.empty()
    for peer in peers:
        assert peer.violations == [], "Twilio would not have taken this"
    told = Story(ear, exchange, records, reasons, peers)
    if not may_be_silent:
        told.assert_no_undecided_silence()
    return told


async def _holds_the_line(phone: Handset) -> None:
    await asyncio.get_running_loop().create_future()


async def _talk(caller: Caller, ear: CallerPhone, hang_up: Callable[[], None]) -> None:
    await caller(ear)
    hang_up()


async def hear_out(ear: CallerPhone) -> None:
    """Wait for the agent to speak, and to be done."""
    await ear.agent_speaks()
    await ear.agent_silent(1.0)
