"""Checks over the network: the public URL, its signatures and streams, the model's key, and the clock."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlencode, urlsplit

from realtime_core.connection.websocket import connect
from realtime_core.errors import ConnectFailed
from realtime_core.openai_realtime.defaults import DEFAULT_MODEL, DEFAULT_TRANSCRIPTION_MODEL

from ..setting_values import is_loopback
from ..settings import Settings
from ..twilio.signature import sign
from ..urls import as_http, public_address, websocket_address
from .check_result import CheckResult, ok, skipped, warning, wrong

__all__ = ["WEB", "Answer", "Fetch", "Web", "check_address", "check_clock", "check_key", "fetch"]

_TIMEOUT_S = 10.0
_CLOCK_OFF_S = 5.0
_CLOCK_WRONG_S = 30.0
"""The difference in seconds above which the clock counts as wrong: half of the lifetime of a stream token. One process
may issue a token, and another process may check the token.
"""
_SHUTDOWN_DAYS = 180
"""The check warns about a model if at most this number of days are left until the shutdown of the model. OpenAI
announces the shutdown of a generally available model at least six months before.
"""
_MAX_ANSWER_BYTES = 2**20
_OPENAI = "https://api.openai.com/v1"
_PROBE = {"CallSid": "CA" + "0" * 32, "StreamSid": "MZ" + "0" * 32, "StreamEvent": "stream-stopped"}

ErrorKind = Literal["", "name", "refused", "time-out", "certificate", "other"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request. `status` is 0 if there was no response. In this case `error_kind` and `error` describe
    why.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    error: str = ""
    error_kind: ErrorKind = ""


Fetch = Callable[[str, Mapping[str, str]], Answer]


@dataclass(frozen=True, slots=True)
class Web:
    """The two functions with which the checks send requests over the network. Tests pass other functions."""

    get: Fetch
    """A function that sends a GET request and returns the answer. The function blocks."""
    upgrade: Callable[[str, Mapping[str, str]], Awaitable[str]]
    """A function that opens a WebSocket, given its URL and headers, and closes it again. Returns the error, or an empty
    text.
    """


def fetch(url: str, headers: Mapping[str, str]) -> Answer:
    """Sends a GET request to `url` and returns the answer. Raises no exception. The function blocks, so it must be
    called in a thread.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "telephony-doctor", **headers})  # noqa: S310 - settings
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return Answer(answer.status, dict(answer.headers), answer.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read(65_536))
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        return Answer(0, {}, error=str(why), error_kind=_connect_fault(why))


def _connect_fault(why: object) -> ErrorKind:
    if isinstance(why, socket.gaierror):
        return "name"
    if isinstance(why, TimeoutError):
        return "time-out"
    if isinstance(why, ssl.SSLError):
        return "certificate"
    return "refused" if isinstance(why, ConnectionRefusedError) else "other"


async def upgrade(url: str, headers: Mapping[str, str]) -> str:
    try:
        connection = await connect(url, headers=dict(headers), open_timeout_s=_TIMEOUT_S)
    except ConnectFailed as error:
        return str(error.args[0])
    connection.close(1000)
    await connection.lost  # within a second; the event loop must run until then
    return ""


WEB = Web(fetch, upgrade)


# --- our own address -----------------------------------------------------------------------------------------------


async def check_address(settings: Settings, web: Web) -> tuple[list[CheckResult], Answer | None]:
    """Checks that this server answers at PUBLIC_URL, accepts Twilio's signatures and opens media streams.

    The requests come from this machine, and not from Twilio's network. Also returns the response of the server, or None
    if there was no response. `check_clock` reads the Date header of this response.
    """
    if settings.public_url is None:
        return [skipped("PUBLIC_URL", "is not set", "Set it to the address that Twilio calls.")], None
    url = public_address(settings.public_url, "/healthz")
    answer = await asyncio.to_thread(web.get, url, {})
    reached = _reached(url, answer)
    results = [reached]
    if reached.state in ("ok", "warning"):
        results += [await _signature(settings, settings.public_url, web), await _stream(settings, web)]
    return results, answer if answer.status else None


def _reached(url: str, answer: Answer) -> CheckResult:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not answer.status:
        cure = {
            "name": f"{parts.hostname} is unknown: a DNS record is missing, or the tunnel has a new name.",
            "refused": f"Nothing listens on port {port}: start the proxy or tunnel, and check its port.",
            "time-out": f"A firewall blocks port {port}, or the machine is down: open the port.",
            "certificate": "Twilio does not accept this certificate either (31910): get a valid one for the proxy.",
        }.get(answer.error_kind, "Start the server and the tunnel or proxy; check name and certificate.")
        return wrong("PUBLIC_URL", f"{url} cannot be reached: {answer.error}", cure)
    if answer.status in (502, 503, 504):
        message = f"the proxy or tunnel answers, but no server behind it (HTTP {answer.status})"
        return wrong("PUBLIC_URL", message, "Start `telephony serve`, and point the proxy at its HOST:PORT.")
    if answer.status != 200 or not _is_us(answer.body):
        message = f"another program answers at {url} (HTTP {answer.status})"
        return wrong("PUBLIC_URL", message, "Point the tunnel or proxy at HOST:PORT, and keep the path.")
    if is_loopback(parts.hostname or ""):
        return warning("PUBLIC_URL", f"{url} answers, but only on this machine", "Twilio needs a public address.")
    if port != 443:
        message = f"{url} answers, on port {port}"
        return warning("PUBLIC_URL", message, "Twilio documents port 443 for media streams (31910).")
    return ok("PUBLIC_URL", f"{url} answers")


async def _signature(settings: Settings, public_url: str, web: Web) -> CheckResult:
    """Sends a request like Twilio's, signed with the configured auth token for the URL that Twilio uses."""
    if not settings.checks_signatures:
        return skipped("signature", "needs TWILIO_AUTH_TOKEN", "Set it, so that webhooks are checked.")
    url = public_address(public_url, "/stream-status", urlencode(_PROBE))
    answer = await asyncio.to_thread(web.get, url, sign(settings.signing_keys, url, {}))
    plain = _without_query(url)
    if answer.status in (200, 204):
        return ok("signature", f"a request that is signed for {plain} is accepted")
    if answer.status != 403:
        return warning("signature", f"could not be checked (HTTP {answer.status})", "See the server's log.")
    try:
        computed = _without_query(str(json.loads(answer.body)["expected"]))
    except (ValueError, KeyError, TypeError):
        message = f"a request that is signed for {plain} is refused"
        return wrong("signature", message, "The server has another TWILIO_AUTH_TOKEN or PUBLIC_URL. Use the same here.")
    message = f"Twilio signs {plain}, but the server expects {computed}"
    return wrong("signature", message, "Set the server's PUBLIC_URL to the exact address that Twilio calls.")


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()


async def _stream(settings: Settings, web: Web) -> CheckResult:
    url = websocket_address(settings.public_url or "", "/media-stream")
    if not (fault := await web.upgrade(url, sign(settings.signing_keys, url, {}))):
        return ok("media stream", f"{url} opens")
    advice = "Let the proxy or tunnel forward WebSockets: Upgrade and Connection headers, HTTP/1.1 (31920)."
    return wrong("media stream", f"{url} does not open: {fault}", advice)


def _is_us(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("service") == "telephony"


# --- others --------------------------------------------------------------------------------------------------------


async def check_key(settings: Settings, get: Fetch, today: date, *, wanted: bool) -> list[CheckResult]:
    """Checks that the model's server accepts the API key and offers the configured models. `get` sends the requests.
    `today` is compared with the dates at which models are shut down. If `wanted` is False, sends no request, and
    returns a skipped result.
    """
    if settings.openai_api_key is None:
        return [skipped("model's key", "is not set")]
    if not wanted:
        advice = "`telephony doctor --model-key` tries it, at no cost."
        return [skipped("model's key", "is set; it was not tried", advice)]
    url = public_address(as_http(settings.openai_base_url or _OPENAI), "/models")
    headers = {"Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    answer = await asyncio.to_thread(get, url, headers)  # costs nothing
    if answer.status == 200:
        used = {
            "TELEPHONY_MODEL_NAME": settings.telephony_model_name or DEFAULT_MODEL,
            "TELEPHONY_TRANSCRIPTION_MODEL": settings.telephony_transcription_model or DEFAULT_TRANSCRIPTION_MODEL,
        }
        return [ok("model's key", "is accepted"), *_lifetimes(answer.body, used, today)]
    if answer.status in (401, 403):
        return [wrong("model's key", f"is refused (HTTP {answer.status})", "Set another OPENAI_API_KEY.")]
    if answer.status:
        return [warning("model's key", f"could not be checked (HTTP {answer.status})", "Make a test call.")]
    message = f"the server cannot be reached: {answer.error}"
    return [wrong("model's key", message, "Check the network and OPENAI_BASE_URL.")]


def _lifetimes(body: bytes, used: Mapping[str, str], today: date) -> Iterator[CheckResult]:
    """Yields a check of the shutdown date of each model, by the setting of the model.

    Source: `shutdown_date` of `GET /v1/models`, https://developers.openai.com/api/docs/deprecations
    """
    try:
        models = {str(each["id"]): each.get("shutdown_date") for each in json.loads(body)["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        yield warning("models", "the server's list of models cannot be read", "Make a test call.")
        return
    for setting, name in used.items():
        if name == "off":
            continue
        if name not in models:
            yield warning("models", f"{name} is not among the models of this key", f"Set {setting} to one of them.")
            continue
        try:
            shutdown = date.fromisoformat(str(models[name]))
        except ValueError:
            yield ok("models", f"{name} has no shutdown date")
            continue
        message, cure = f"{name} is shut down on {shutdown}", f"Set {setting} to a newer model."
        left = (shutdown - today).days
        if left <= 0:
            yield wrong("models", message, cure)
        elif left <= _SHUTDOWN_DAYS:
            yield warning("models", f"{message}, in {left} days", cure)
        else:
            yield ok("models", message)


def check_clock(answer: Answer | None, now: datetime) -> CheckResult:
    """Compares the local clock (`now`) with the Date header of a response. The header has whole seconds, so the
    measured difference is accurate to about half a second.
    """
    server_time = None
    if answer is not None:
        try:
            server_time = parsedate_to_datetime({k.lower(): v for k, v in answer.headers.items()}.get("date", ""))
        except ValueError:
            server_time = None
    if server_time is None or server_time.tzinfo is None:
        return skipped("clock", "there was no server to compare it with")
    off_s = (now - server_time).total_seconds() - 0.5
    message = f"it differs by {off_s:+.0f} s from the clock of a server"
    if abs(off_s) > _CLOCK_WRONG_S:
        return wrong("clock", message, "Set it by NTP. Stream tokens are valid for a minute.")
    if abs(off_s) > _CLOCK_OFF_S:
        return warning("clock", message, "Set it by NTP.")
    return ok("clock", message)
