"""Calls a server as Twilio does: requests the webhook, executes its TwiML up to the first media stream, and makes the
call.

https://www.twilio.com/docs/voice/twiml#twilios-voice-webhook-requests,
https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from twilio.request_validator import RequestValidator

from realtime_core.connection.websocket import connect
from realtime_core.sources import SYSTEM, Sources

from ..errors import RingFailed
from ..urls import as_http, origin, rebased
from .events import Event
from .interpreter import RAN_OUT, Following, LeaveDocument, interpret
from .line import Line
from .peer import Caller, MediaPeer
from .twiml import MAX_BYTES, Document, DocumentRefused, Fetch, Verb, parse

__all__ = ["ring"]

WEBHOOK_TIMEOUT_S = 15.0


async def ring(
    url: str,
    caller: Caller,
    *,
    line: Line | None = None,
    from_: str = "+14155550100",
    to: str = "+14155550199",
    auth_token: str | None = None,
    account_sid: str | None = None,
    public_url: str | None = None,
    sources: Sources = SYSTEM,
    on_start: Callable[[MediaPeer], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> MediaPeer:
    """Makes a simulated call from `from_` to the number `to`, whose webhook is `url`
    (`http://127.0.0.1:8000/incoming-call`). Runs `caller` until the call's first media stream has ended. Returns the
    peer of this media stream.

    A `ws:` or `wss:` address is connected without a webhook. Audio before the stream is skipped. (`SimulatedTwilio`
    plays such audio, and executes the TwiML to the end of the call.)

    With an `auth_token`, the webhook and the WebSocket's upgrade are signed. `public_url` is the `PUBLIC_URL` of the
    server. The signatures are for that address, and the requests go to the host of `url`. `account_sid` is the account
    that the webhook names. With None, the id is random. `on_start` is called with the peer when the stream is open, and
    `on_event` with each event of the stream.

    Raises:
        RingFailed, realtime_core.errors.ConnectFailed: the call could not be started.
        Exception: all exceptions of `caller`.
    """
    host = _host(url)
    public = host if public_url is None else public_url
    called = rebased(url, host, public) or url
    form = {
        "CallSid": sources.id("CA"),
        "AccountSid": account_sid or sources.id("AC"),
        "From": from_,
        "To": to,
        "Caller": from_,
        "Called": to,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
    }

    async def run(address: str, parameters: Mapping[str, str]) -> MediaPeer:
        # Twilio's documentation does not say whether Twilio sends pings. Pings are not necessary.
        headers = _signed(auth_token, address, {})
        connection = await connect(rebased(address, public, host) or address, headers=headers, ping_interval_s=None)
        peer = MediaPeer(
            connection,
            call_sid=form["CallSid"],
            account_sid=form["AccountSid"],
            parameters=parameters,
            line=line,
            sources=sources,
            on_event=on_event,
        )
        if on_start is not None:
            on_start(peer)
        await peer.run(caller)
        return peer

    async def request(what: Fetch) -> bytes:
        fields = form | dict(what.extra)
        address = rebased(what.url, public, host) or what.url
        return await asyncio.to_thread(_post, address, fields, _signed(auth_token, what.url, fields))

    if urlsplit(url).scheme in ("ws", "wss"):
        return await run(called, {})
    return await _VerbsBeforeStream(request, run).follow(Fetch(called))


class _VerbsBeforeStream:
    """Executes the verbs of TwiML up to the first `<Connect><Stream>`."""

    def __init__(
        self,
        request: Callable[[Fetch], Coroutine[Any, Any, bytes]],
        run: Callable[[str, Mapping[str, str]], Coroutine[Any, Any, MediaPeer]],
    ) -> None:
        self._request = request
        self._run = run
        self._verbs: tuple[Verb, ...] = ()
        self._peer: MediaPeer | None = None

    async def follow(self, what: Following) -> MediaPeer:
        """Executes documents up to the first stream, and returns its peer. Raises `RingFailed` if there is no
        stream.
        """
        while what is not None and what is not RAN_OUT:
            what = await interpret(self, what)
        if self._peer is None:
            found = ", ".join(f"<{verb.name}>" for verb in self._verbs) or "nothing"
            raise RingFailed(f"The TwiML connects no stream: <Response> with {found}.")
        return self._peer

    async def read(self, what: Document | Fetch) -> Document:
        assert isinstance(what, Fetch)
        try:
            document = parse(await self._request(what), what.url)
        except DocumentRefused as error:
            raise RingFailed(f"The webhook's answer is refused: {error}.") from None
        self._verbs = document.verbs
        return document

    async def stream(self, noun: Verb, base: str) -> None:
        self._peer = await self._run(_stream_address(noun.get("url")), dict(map(_parameter, noun.nouns)))
        raise LeaveDocument(None)

    async def play(self, verb: Verb, base: str) -> None:
        pass

    async def start_recording(self, noun: Verb, base: str) -> None:
        pass

    async def gather(self, verb: Verb, prompt: Coroutine[Any, Any, None]) -> Mapping[str, str]:
        prompt.close()
        return {}

    async def record(self, verb: Verb, base: str) -> Mapping[str, str]:
        return {}

    async def dial(self, verb: Verb, base: str) -> Mapping[str, str]:
        raise RingFailed("The TwiML dials before it connects a stream; SimulatedTwilio simulates <Dial>.")


def _stream_address(url: str) -> str:
    """Returns the address of a stream. Twilio requires `wss:` and drops a query string. The simulation also allows
    `ws:`, for servers on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "ws") or not parts.hostname:
        raise RingFailed(f"<Stream url={url!r}> is not an absolute wss: address (31922, 31923).")
    return parts._replace(query="", fragment="").geturl()


def _parameter(noun: Verb) -> tuple[str, str]:
    name, value = noun.get("name"), noun.get("value")
    if not name or len(name) + len(value) >= 500:
        raise RingFailed(f"<Parameter name={name!r}> has no name, or has 500 or more characters.")
    return name, value


def _host(url: str) -> str:
    """Returns the scheme and host of a URL: `http://127.0.0.1:8000` for `http://127.0.0.1:8000/incoming-call`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
        raise RingFailed(f"{url!r} is not an address to call: http://HOST:PORT/incoming-call, or ws://HOST:PORT/PATH.")
    return origin(as_http(url))


def _signed(auth_token: str | None, url: str, form: Mapping[str, str]) -> dict[str, str]:
    if auth_token is None:
        return {}
    return {"X-Twilio-Signature": str(RequestValidator(auth_token).compute_signature(url, form))}


def _post(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
    """Returns the response of the webhook. Runs in a thread."""
    request = urllib.request.Request(url, urlencode(form).encode(), dict(headers))  # noqa: S310 - http(s), see `_host`
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S) as response:  # noqa: S310
            kind = response.headers.get_content_type()
            if kind not in ("text/xml", "application/xml"):
                raise RingFailed(f"The webhook answered {kind}; Twilio wants text/xml (12300).")
            document: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise RingFailed(f"The webhook answered {error.code} {error.reason} (11200).") from error
    except OSError as error:
        raise RingFailed(f"The webhook at {url} did not answer (11200): {error}") from error
    return document
