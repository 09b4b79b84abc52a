"""What Twilio does with a document, verb by verb, while somebody is on the phone. A shell.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from realtime_core.errors import ConnectFailed

from ..audio.files import read_ulaw
from ..errors import AudioFileError
from . import tones
from .documents import Document, Fetch, Verb
from .gathering import gather, message
from .playout import SILENCE
from .webhooks import WebhookFailed, absolute

if TYPE_CHECKING:
    from .calls import SimulatedCall

__all__ = ["RAN_OUT", "announcement", "interpret"]

RAN_OUT = Document(())
"""The document was done to its end."""


class _Leave(Exception):
    """The rest of this document is not done; `following` is, or the call ends."""

    def __init__(self, following: Document | Fetch | None) -> None:
        super().__init__()
        self.following = following


async def interpret(call: SimulatedCall, what: Document | Fetch) -> Document | Fetch | None:
    """Do one document; returns what is to be done then, None: hang up, `RAN_OUT`: there is no more."""
    document = await _while_silent(call, call.read(what))
    interpreter = _Interpreter(call, document.base)
    try:
        for verb in document.verbs:
            await interpreter.do(verb)
    except _Leave as leave:
        return leave.following
    return RAN_OUT


async def _while_silent(call: SimulatedCall, work: Awaitable[Document]) -> Document:
    doing = asyncio.ensure_future(work)
    try:
        await call.while_silent(doing)
    finally:
        doing.cancel()
    return doing.result()


class _Interpreter:
    def __init__(self, call: SimulatedCall, base: str) -> None:
        self._call = call
        self._base = base
        self._verbs: dict[str, Callable[[Verb], Awaitable[None]]] = {
            "Connect": self._connect,
            "Dial": self._dial,
            "Gather": self._gather,
            "Hangup": self._hang_up,
            "Pause": self._pause,
            "Play": self._play,
            "Record": self._record,
            "Redirect": self._redirect,
            "Reject": self._hang_up,
            "Say": self._say,
            "Start": self._start,
        }

    async def do(self, verb: Verb) -> None:
        await self._verbs[verb.name](verb)

    def _fetch(self, url: str, method: str, **extra: str) -> Fetch:
        return Fetch(absolute(self._base, url), method or "POST", extra)

    # --- what is heard -------------------------------------------------------------------------------------------

    async def _say(self, verb: Verb) -> None:
        await self._hear(verb, max(1, min(int(verb.number("loop", 1)), 10)))

    async def _play(self, verb: Verb) -> None:
        if keys := verb.get("digits"):
            self._call.phone.tones += "".join(key for key in keys if key not in "wW")
        await self._hear(verb, int(verb.number("loop", 1)) or 1000)

    async def _pause(self, verb: Verb) -> None:
        await self._hear(verb, 1)

    async def _hear(self, verb: Verb, times: int) -> None:
        ulaw = await sound(self._call, verb, self._base)
        for _ in range(times):
            await self._call.phone.play(ulaw)

    # --- where it goes on ------------------------------------------------------------------------------------------

    async def _redirect(self, verb: Verb) -> None:
        raise _Leave(self._fetch(verb.text, verb.get("method")))

    async def _hang_up(self, verb: Verb) -> None:
        raise _Leave(None)

    def _act(self, verb: Verb, **extra: str) -> None:
        """A verb with an `action` never comes back to its document."""
        if action := verb.get("action"):
            raise _Leave(self._fetch(action, verb.get("method"), **extra))

    async def _gather(self, verb: Verb) -> None:
        found = await gather(self._call, verb, self._prompt(verb))
        if found or verb.flag("actionOnEmptyResult"):
            found = found or {"Digits": ""}
            self._act(verb, **found)
            raise _Leave(self._fetch(self._base, "POST", **found) if self._base else None)

    async def _prompt(self, verb: Verb) -> None:
        for noun in verb.nouns:
            await self.do(noun)

    # --- recordings --------------------------------------------------------------------------------------------------

    async def _record(self, verb: Verb) -> None:
        """A beep, then what is said, until a pause, a key or the length that is allowed."""
        call = self._call
        if verb.flag("playBeep", True):
            await call.phone.play(tones.beep())
        recording = call.record("RecordVerb", self._recording_options(verb))
        try:
            keys, heard = await message(
                call,
                pause_s=verb.number("timeout", 5),
                max_s=verb.number("maxLength", 3600),
                finish=verb.get("finishOnKey", "1234567890*#"),
            )
        finally:
            recording.stop()
        if heard:  # else the next verb
            self._act(verb, Digits=keys, **recording.fields())
            raise _Leave(self._fetch(self._base, "POST", Digits=keys, **recording.fields()) if self._base else None)

    async def _start(self, verb: Verb) -> None:
        for noun in verb.nouns:
            self._call.record("StartCallRecordingTwiML", self._recording_options(noun))

    def _recording_options(self, verb: Verb) -> dict[str, str]:
        options = {name: value for name, value in verb.attributes.items() if name.startswith("recording")}
        if noun_channels := verb.get("channels"):
            options["recordingChannels"] = noun_channels
        if url := options.get("recordingStatusCallback"):
            options["recordingStatusCallback"] = absolute(self._base, url)
        return options

    # --- media streams -----------------------------------------------------------------------------------------------

    async def _connect(self, verb: Verb) -> None:
        for noun in verb.nouns[:1]:
            await self._stream(noun)
        self._act(verb)

    async def _stream(self, noun: Verb) -> None:
        """Until the server closes the WebSocket. Redirected or hung up meanwhile, the server gets a `stop`."""
        call = self._call
        url = urlsplit(absolute(self._base, noun.get("url")))._replace(query="", fragment="").geturl()
        try:
            peer = await call.twilio.open_stream(call, url, noun)
        except (ConnectFailed, WebhookFailed) as error:
            code = 31922 if urlsplit(url).scheme not in ("wss", "ws") else 31920
            call.warn(f"<Stream url={url!r}>: {error} ({code})")
            self._stream_event(noun, "", "stream-error", StreamError=str(error))
            return
        call.stream = peer
        call.streams.append(peer)
        self._stream_event(noun, peer.stream_sid, "stream-started")
        carrying = asyncio.create_task(peer.run(lambda phone: asyncio.Event().wait()))  # type: ignore[arg-type, return-value]
        try:
            close = await asyncio.shield(carrying)
            if close.by == "network":
                call.warn(f"the media stream broke: {close.reason} (31903)")
        except asyncio.CancelledError:
            peer.stop()
            await asyncio.wait({carrying}, timeout=2.0)
            raise
        finally:
            call.stream = None
            carrying.cancel()
            await asyncio.wait({carrying})
            for violation in peer.violations:
                call.warn(f"the media stream's server sent what is not taken: {violation.reason} ({violation.code})")
            self._stream_event(noun, peer.stream_sid, "stream-stopped")

    def _stream_event(self, noun: Verb, sid: str, event: str, **extra: str) -> None:
        url = noun.get("statusCallback")
        if not url:
            return
        form = {
            "AccountSid": self._call.twilio.account_sid,
            "CallSid": self._call.sid,
            "StreamSid": sid,
            "StreamName": noun.get("name") or sid,
            "StreamEvent": event,
            "Timestamp": self._call.twilio.sources.now().isoformat(),
        }
        method = noun.get("statusCallbackMethod") or "POST"
        self._call.twilio.notify(self._call, absolute(self._base, url), form | extra, method, event=event)

    # --- other people ----------------------------------------------------------------------------------------------

    async def _dial(self, verb: Verb) -> None:
        twilio, call = self._call.twilio, self._call
        recording = call.record("DialVerb", self._recording_options(verb)) if _is_recorded(verb) else None
        conference = next((noun for noun in verb.nouns if noun.name == "Conference"), None)
        try:
            if conference is not None:
                await twilio.join(call, conference, base=self._base)
                told = {"DialCallStatus": "completed"}
            else:
                others = list(verb.nouns) or ([Verb("Number", {}, verb.text)] if verb.text else [])
                status, sid, seconds = await twilio.dial(call, verb, others, base=self._base)
                told = {"DialCallStatus": status, "DialCallSid": sid, "DialCallDuration": str(seconds)}
        finally:
            if recording is not None:
                recording.stop()
        self._act(verb, **told, **({} if recording is None else recording.fields()))


def _is_recorded(verb: Verb) -> bool:
    return verb.get("record", "do-not-record") not in ("do-not-record", "false")


async def sound(call: SimulatedCall, verb: Verb, base: str) -> bytes:
    """What `<Say>`, `<Play>` and `<Pause>` sound like, once: mu-law. What cannot be had is a warning, and silence."""
    match verb.name:
        case "Say":
            return await asyncio.to_thread(call.twilio.speech, verb.text)
        case "Pause":
            return SILENCE * round(8000 * max(0.0, verb.number("length", 1)))
        case "Play" if keys := verb.get("digits"):
            return tones.digits(keys)
        case "Play":
            try:
                return await asyncio.to_thread(read_ulaw, await call.twilio.webhooks.sound(absolute(base, verb.text)))
            except (WebhookFailed, AudioFileError) as error:
                call.warn(f"<Play>{verb.text}: {error}")
    return b""


async def announcement(call: SimulatedCall, url: str, method: str) -> bytes:
    """What a document sounds like that may only say and play: for `AnnounceUrl`, `HoldUrl` and `waitUrl`."""
    document = await call.read(Fetch(url, method or "POST"))
    return b"".join([await sound(call, verb, document.base) for verb in document.verbs])
