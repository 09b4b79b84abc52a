"""What Twilio does with a document, verb by verb, while somebody is on the phone. A shell.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from realtime_core.errors import ConnectFailed

from ..audio.files import read_ulaw
from ..errors import AudioFileError
from . import handset
from .documents import Document, Fetch, Verb
from .playout import SILENCE
from .webhooks import WebhookFailed, absolute

if TYPE_CHECKING:
    from .calls import SimulatedCall

__all__ = ["RAN_OUT", "interpret"]

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
            "Redirect": self._redirect,
            "Reject": self._hang_up,
            "Say": self._say,
        }

    async def do(self, verb: Verb) -> None:
        await self._verbs[verb.name](verb)

    def _fetch(self, url: str, method: str, **extra: str) -> Fetch:
        return Fetch(absolute(self._base, url), method or "POST", extra)

    # --- what is heard -------------------------------------------------------------------------------------------

    async def _say(self, verb: Verb) -> None:
        spoken = await asyncio.to_thread(self._call.twilio.speech, verb.text)
        for _ in range(max(1, min(int(verb.number("loop", 1)), 10))):
            await handset.hear(self._call.phone, spoken)

    async def _play(self, verb: Verb) -> None:
        if keys := verb.get("digits"):
            self._call.phone.tones += "".join(key for key in keys if key not in "wW")
            await handset.hear(self._call.phone, handset.digits(keys))
            return
        try:
            sound = await self._call.twilio.webhooks.sound(absolute(self._base, verb.text))
            ulaw = await asyncio.to_thread(read_ulaw, sound)
        except (WebhookFailed, AudioFileError) as error:
            self._call.warn(f"<Play>{verb.text}: {error}")
            return
        loops = int(verb.number("loop", 1)) or 1000
        for _ in range(loops):
            await handset.hear(self._call.phone, ulaw)

    async def _pause(self, verb: Verb) -> None:
        await handset.hear(self._call.phone, SILENCE * round(8000 * max(0.0, verb.number("length", 1))))

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
        """Keys only; speech is not recognised. Its timer starts when what it says is over, or was interrupted."""
        call = self._call
        count = int(verb.number("numDigits", 0))
        finish = verb.get("finishOnKey", "#")
        while not call.digits.empty():
            call.digits.get_nowait()
        keys = ""
        prompt = asyncio.create_task(self._prompt(verb))
        try:
            while not count or len(keys) < count:
                key = await self._key(prompt, verb.number("timeout", 5))
                if key is None or key == finish:
                    break
                keys += key
        finally:
            prompt.cancel()
            await asyncio.wait({prompt})
        if keys or verb.flag("actionOnEmptyResult"):
            self._act(verb, Digits=keys)
            raise _Leave(self._fetch(self._base, "POST", Digits=keys) if self._base else None)

    async def _prompt(self, verb: Verb) -> None:
        for noun in verb.nouns:
            await self.do(noun)

    async def _key(self, prompt: asyncio.Task[None], timeout_s: float) -> str | None:
        pressed = asyncio.create_task(self._call.digits.get())
        try:
            await asyncio.wait({pressed, prompt}, return_when=asyncio.FIRST_COMPLETED)
            if pressed.done() and not prompt.done():
                prompt.cancel()
                await asyncio.wait({prompt})
            if not pressed.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._call.while_silent(pressed)
            return pressed.result() if pressed.done() else None
        finally:
            pressed.cancel()

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
        conference = next((noun for noun in verb.nouns if noun.name == "Conference"), None)
        if conference is not None:
            await self._call.twilio.join(self._call, conference, base=self._base)
            self._act(verb, DialCallStatus="completed")
            return
        numbers = [noun for noun in verb.nouns if noun.name in ("Number", "Sip")]
        if not numbers and verb.text:
            numbers = [Verb("Number", {}, verb.text)]
        status, sid, seconds = await self._call.twilio.dial(self._call, verb, numbers, base=self._base)
        self._act(verb, DialCallStatus=status, DialCallSid=sid, DialCallDuration=str(seconds))
