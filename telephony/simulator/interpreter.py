"""Interprets TwiML: decides which verb is next, and which document follows. `Verbs` executes the verbs.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import urljoin

from .twiml import Document, Fetch, Verb

__all__ = ["RAN_OUT", "Following", "LeaveDocument", "Verbs", "interpret"]

Following = Document | Fetch | None
"""The TwiML that follows after a document: a document or a request that returns one. None means that the call is hung
up.
"""
RAN_OUT = Document(())
"""The result of `interpret` if the last verb of the document was executed and the document names no next document."""


class Verbs(Protocol):
    """Executes TwiML verbs on one simulated call. `base` is the URL of the document, to which relative URLs refer.

    The returned mappings are the fields of the request for the verb's `action`.
    """

    async def read(self, what: Document | Fetch) -> Document:
        """Returns a TwiML document. A `Document` is returned unchanged. For a `Fetch`, sends the request to the
        application and returns the TwiML of the response.
        """

    async def play(self, verb: Verb, base: str) -> None:
        """Executes `<Say>`, `<Play>` or `<Pause>`, and returns when the audio has been played. `base` is the URL of the
        document, to which relative URLs refer.
        """

    async def gather(self, verb: Verb, prompt: Coroutine[Any, Any, None]) -> Mapping[str, str]:
        """Executes `<Gather>`. Returns the caller's keys or speech as the fields for the request to the verb's
        `action`, or an empty mapping if there was no key and no speech. `prompt` plays the verbs within the `<Gather>`.
        """

    async def record(self, verb: Verb, base: str) -> Mapping[str, str]:
        """Executes `<Record>`. Returns the fields for the request to the verb's `action`, or an empty mapping if there
        was no speech. `base` is the URL of the document, to which relative URLs refer.
        """

    async def start_recording(self, noun: Verb, base: str) -> None:
        """Executes `<Start><Recording>`: starts a recording of the call. `base` is the URL of the document, to which
        relative URLs refer.
        """

    async def stream(self, noun: Verb, base: str) -> None:
        """Executes `<Connect><Stream>`, and returns when the stream has ended. `base` is the URL of the document, to
        which relative URLs refer.
        """

    async def dial(self, verb: Verb, base: str) -> Mapping[str, str]:
        """Executes `<Dial>`. Returns the fields for the request to the verb's `action` when the other party or the
        caller has left. `base` is the URL of the document, to which relative URLs refer.
        """


class LeaveDocument(Exception):
    """Raised by a TwiML verb, such as `<Redirect>`, that ends the current document. `following` is the document with
    which the call continues, or None if the call is hung up.
    """

    def __init__(self, following: Following) -> None:
        super().__init__()
        self.following = following


async def interpret(verbs: Verbs, what: Document | Fetch) -> Following:
    """Executes one TwiML document with `verbs`. Returns the next document, None to hang up, or `RAN_OUT` after the last
    verb.
    """
    document = await verbs.read(what)
    interpreter = _Interpreter(verbs, document.base)
    try:
        for verb in document.verbs:
            await interpreter.do(verb)
    except LeaveDocument as leave:
        return leave.following
    return RAN_OUT


class _Interpreter:
    def __init__(self, verbs: Verbs, base: str) -> None:
        self._verbs = verbs
        self._base = base
        self._methods: dict[str, Callable[[Verb], Awaitable[None]]] = {
            "Connect": self._connect,
            "Dial": self._dial,
            "Gather": self._gather,
            "Hangup": self._hang_up,
            "Pause": self._play,
            "Play": self._play,
            "Record": self._record,
            "Redirect": self._redirect,
            "Reject": self._hang_up,
            "Say": self._play,
            "Start": self._start,
        }

    async def do(self, verb: Verb) -> None:
        await self._methods[verb.name](verb)

    async def _play(self, verb: Verb) -> None:
        await self._verbs.play(verb, self._base)

    async def _connect(self, verb: Verb) -> None:
        for noun in verb.nouns[:1]:
            await self._verbs.stream(noun, self._base)
        self._act(verb, {})

    async def _dial(self, verb: Verb) -> None:
        self._act(verb, await self._verbs.dial(verb, self._base))

    async def _gather(self, verb: Verb) -> None:
        fields = await self._verbs.gather(verb, self._prompt(verb))
        if fields or verb.flag("actionOnEmptyResult"):
            self._act_or_repeat(verb, fields or {"Digits": ""})

    async def _prompt(self, verb: Verb) -> None:
        for noun in verb.nouns:
            await self.do(noun)

    async def _record(self, verb: Verb) -> None:
        if fields := await self._verbs.record(verb, self._base):
            self._act_or_repeat(verb, fields)

    async def _start(self, verb: Verb) -> None:
        for noun in verb.nouns:
            await self._verbs.start_recording(noun, self._base)

    async def _redirect(self, verb: Verb) -> None:
        raise LeaveDocument(self._fetch(verb.text, verb.get("method"), {}))

    async def _hang_up(self, verb: Verb) -> None:
        raise LeaveDocument(None)

    def _act(self, verb: Verb, fields: Mapping[str, str]) -> None:
        """Leaves the document if the verb has an `action`. The `action` gets `fields`."""
        if action := verb.get("action"):
            raise LeaveDocument(self._fetch(action, verb.get("method"), fields))

    def _act_or_repeat(self, verb: Verb, fields: Mapping[str, str]) -> None:
        """Leaves the document. Without an `action`, the address of the document gets the request."""
        self._act(verb, fields)
        raise LeaveDocument(self._fetch(self._base, "POST", fields) if self._base else None)

    def _fetch(self, url: str, method: str, fields: Mapping[str, str]) -> Fetch:
        return Fetch(urljoin(self._base, url), method or "POST", fields)
