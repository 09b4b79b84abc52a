"""Ringing a server as Twilio does: the webhook, its TwiML, the stream's WebSocket, then the call.

https://www.twilio.com/docs/voice/twiml#twilios-voice-webhook-requests,
https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from twilio.request_validator import RequestValidator

from realtime_core.connection.websocket import connect
from realtime_core.sources import SYSTEM, Sources

from ..errors import RingFailed
from ..urls import as_http, origin, rebased
from .events import Event
from .line import Line
from .peer import Caller, MediaPeer
from .twiml import MAX_BYTES, Stream, stream_of

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
    public_url: str | None = None,
    sources: Sources = SYSTEM,
    on_start: Callable[[MediaPeer], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> MediaPeer:
    """Call the number whose webhook is `url` (`http://127.0.0.1:8000/incoming-call`), and let `caller` talk until the
    call is over. A `ws:` or `wss:` address is dialled straight, without a webhook.

    With an `auth_token` the webhook and the WebSocket's upgrade are signed. `public_url` is for a server that was told
    that it has another address (`PUBLIC_URL`): requests are signed for that one, and go to `url`'s host all the same.

    `on_start` gets the peer when the stream is open. Raises `RingFailed`, `realtime_core.errors.ConnectFailed`, and
    what `caller` raises.
    """
    call_sid, account_sid = sources.id("CA"), sources.id("AC")
    host = _host(url)
    public = host if public_url is None else public_url
    called = rebased(url, host, public) or url
    if urlsplit(url).scheme in ("ws", "wss"):
        stream = Stream(called, {})
    else:
        form = {
            "CallSid": call_sid,
            "AccountSid": account_sid,
            "From": from_,
            "To": to,
            "Caller": from_,
            "Called": to,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "ApiVersion": "2010-04-01",
        }
        headers = _signed(auth_token, called, form)
        stream = stream_of(await asyncio.to_thread(_post, url, form, headers))
    address = rebased(stream.url, public, host) or stream.url
    # Whether Twilio sends pings is not documented; it does not need to.
    connection = await connect(address, headers=_signed(auth_token, stream.url, {}), ping_interval_s=None)
    peer = MediaPeer(
        connection,
        call_sid=call_sid,
        account_sid=account_sid,
        parameters=stream.parameters,
        line=line,
        sources=sources,
        on_event=on_event,
    )
    if on_start is not None:
        on_start(peer)
    await peer.run(caller)
    return peer


def _host(url: str) -> str:
    """`http://127.0.0.1:8000` of `http://127.0.0.1:8000/incoming-call`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
        raise RingFailed(f"{url!r} is no address to ring: http://HOST:PORT/incoming-call, or ws://HOST:PORT/PATH.")
    return origin(as_http(url))


def _signed(auth_token: str | None, url: str, form: Mapping[str, str]) -> dict[str, str]:
    if auth_token is None:
        return {}
    return {"X-Twilio-Signature": str(RequestValidator(auth_token).compute_signature(url, form))}


def _post(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
    """The webhook's answer. Runs in a thread."""
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
