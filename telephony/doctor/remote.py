"""What takes a network: the model's key, Twilio's account and number, our own public address, the clock."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from ..errors import TwilioError, TwilioNotConfigured
from ..settings import Settings, is_loopback
from ..twilio.rest import PhoneNumber, TwilioRest
from ..twilio.signature import public_address
from .findings import Finding, ok, skipped, warning, wrong

__all__ = ["Answer", "Fetch", "check_clock", "check_key", "check_public_url", "check_twilio", "fetch"]

_TIMEOUT_S = 10.0
_CLOCK_OFF_S = 5.0
_CLOCK_WRONG_S = 30.0
"""Half a stream token's life: with several processes, one mints it and another may check it."""
_OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: there was none, and `fault` says why."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    fault: str = ""


Fetch = Callable[[str, Mapping[str, str]], Answer]


def fetch(url: str, headers: Mapping[str, str]) -> Answer:
    """GET. Raises nothing. Runs in a thread."""
    request = urllib.request.Request(url, headers={"User-Agent": "telephony-doctor", **headers})  # noqa: S310 - settings
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return Answer(answer.status, dict(answer.headers), answer.read(65_536))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers))
    except (OSError, ValueError) as error:
        return Answer(0, {}, fault=str(getattr(error, "reason", error)))


async def check_key(settings: Settings, get: Fetch) -> Finding:
    """Does the model's server take the key? Listing models costs nothing."""
    if settings.openai_api_key is None:
        return skipped("model's key", "there is none")
    base = (settings.openai_base_url or _OPENAI).rstrip("/")
    if base.startswith("ws"):
        base = "http" + base.removeprefix("ws")
    headers = {"Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    answer = await asyncio.to_thread(get, f"{base}/models", headers)
    if answer.status == 200:
        return ok("model's key", "is accepted")
    if answer.status in (401, 403):
        return wrong("model's key", f"is refused (HTTP {answer.status})", "Set another OPENAI_API_KEY.")
    if answer.status:
        return warning("model's key", f"could not be checked (HTTP {answer.status})", "Ring once to be sure.")
    return wrong(
        "model's key", f"the server cannot be reached: {answer.fault}", "Check the network and OPENAI_BASE_URL."
    )


async def check_twilio(settings: Settings) -> list[Finding]:
    """Credentials, the account's kind, the number and its webhook."""
    try:
        rest = TwilioRest.of(settings)
    except TwilioNotConfigured as error:
        return [skipped("Twilio's account", "is not configured", error.advice), skipped("number", "needs the account")]
    try:
        account = await rest.account()
        findings = [ok("Twilio's account", f"{account.sid} is {account.status}")]
        if account.status != "active":
            findings = [wrong("Twilio's account", f"is {account.status}", "See the Twilio Console.")]
        if account.is_trial:
            message = "a trial: it calls verified numbers only, for 10 minutes at most, after a message of Twilio's"
            findings.append(warning("Twilio's account", message, "Upgrade it in the Console."))
        return [*findings, *await _check_number(settings, rest)]
    except TwilioError as error:
        return [wrong("Twilio's account", str(error.args[0]), error.advice), skipped("number", "needs the account")]
    finally:
        rest.close()


async def _check_number(settings: Settings, rest: TwilioRest) -> list[Finding]:
    if settings.twilio_phone_number is None:
        return [skipped("number", "none is set", "Set TWILIO_PHONE_NUMBER to have its webhook checked.")]
    number = await rest.phone_number(settings.twilio_phone_number)
    if number is None:
        message = f"the account has no number {settings.twilio_phone_number}"
        return [wrong("number", message, "Correct TWILIO_PHONE_NUMBER, or TWILIO_ACCOUNT_SID.")]
    return check_number(settings, number)


def check_number(settings: Settings, number: PhoneNumber) -> list[Finding]:
    """Do calls of this number come to us?"""
    if not number.voice:
        return [wrong("number", f"{number.number} takes no calls", "Buy one that does.")]
    if number.trunk_sid:
        return [wrong("number", f"its calls go to the SIP trunk {number.trunk_sid}", "Take it off the trunk.")]
    if number.voice_application_sid:
        message = f"the TwiML app {number.voice_application_sid} answers for it"
        return [warning("number", message, "Look there for the webhook, or take the app off the number.")]
    if settings.public_url is None:
        return [
            skipped("number", f"its webhook is {number.voice_url or 'empty'}", "Set PUBLIC_URL to have it checked.")
        ]
    expected = public_address(settings.public_url, "/incoming-call")
    if number.voice_url.partition("#")[0] != expected:
        message = f"its webhook is {number.voice_url or 'empty'}, not {expected}"
        return [wrong("number", message, "Set it in the Console: Phone Numbers, the number, A call comes in.")]
    findings = [ok("number", f"{number.number} asks {expected}")]
    if not number.voice_fallback_url:
        message = "it has no fallback: while this server is down, callers hear Twilio's error"
        findings.append(warning("number", message, "Set `Primary handler fails` to a TwiML Bin that says so."))
    return findings


async def check_public_url(settings: Settings, get: Fetch) -> tuple[Finding, Answer | None]:
    """Is it us who answer there? (From here; Twilio comes from elsewhere.)"""
    if settings.public_url is None:
        return skipped("PUBLIC_URL", "is not set", "Set it to the address that Twilio shall call."), None
    url = public_address(settings.public_url, "/healthz")
    answer = await asyncio.to_thread(get, url, {})
    if not answer.status:
        advice = "Start the server and the tunnel or proxy; check name and certificate."
        return wrong("PUBLIC_URL", f"{url} cannot be reached: {answer.fault}", advice), None
    if answer.status != 200 or not _is_us(answer.body):
        message = f"{url} is answered by something else (HTTP {answer.status})"
        return wrong("PUBLIC_URL", message, "Point the tunnel or proxy at HOST:PORT, and keep the path."), answer
    if is_loopback(url.split("/")[2].rsplit(":", 1)[0]):
        return warning("PUBLIC_URL", f"{url} answers, on this machine only", "Twilio needs a public address."), answer
    return ok("PUBLIC_URL", f"{url} answers"), answer


def _is_us(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("service") == "telephony"


def check_clock(answer: Answer | None, now: datetime) -> Finding:
    """Ours beside the one of whoever answered. `answer`'s Date header counts whole seconds."""
    date = None
    if answer is not None:
        try:
            date = parsedate_to_datetime({k.lower(): v for k, v in answer.headers.items()}.get("date", ""))
        except ValueError:
            date = None
    if date is None or date.tzinfo is None:
        return skipped("clock", "nobody was there to compare it with")
    off_s = (now - date).total_seconds() - 0.5
    message = f"it differs by {off_s:+.0f} s from the server's that was asked"
    if abs(off_s) > _CLOCK_WRONG_S:
        return wrong("clock", message, "Have it set by NTP: tokens live for a minute.")
    if abs(off_s) > _CLOCK_OFF_S:
        return warning("clock", message, "Have it set by NTP.")
    return ok("clock", message)
