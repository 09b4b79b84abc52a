"""Checks of the Twilio account, its number and webhook, and its permission to call."""

from __future__ import annotations

import phonenumbers

from ..errors import TwilioError, TwilioNotConfigured, TwilioNotFound
from ..settings import Settings
from ..twilio.resources import Account, PhoneNumber
from ..twilio.rest import TwilioRest
from ..urls import public_address
from .check_result import CheckResult, ok, skipped, warning, wrong

__all__ = ["check_account", "check_number", "check_twilio"]

_ACCOUNT, _NUMBER, _CALLING = "Twilio's account", "number", "calling"
_MAX_SHOWN = 5


async def check_twilio(settings: Settings, *, to: str | None = None) -> list[CheckResult]:
    """Runs all checks of the Twilio account. With `to`, also checks whether the account may call this number."""
    try:
        rest = TwilioRest.of(settings)
    except TwilioNotConfigured as error:
        return [skipped(_ACCOUNT, "is not configured", error.advice), skipped(_NUMBER, "needs the account")]
    results: list[CheckResult] = []
    try:
        await _check(settings, rest, to, results)
    except TwilioError as error:
        results.append(wrong(_ACCOUNT, str(error.args[0]), error.advice))
    finally:
        rest.close()
    return results


async def _check(settings: Settings, rest: TwilioRest, to: str | None, results: list[CheckResult]) -> None:
    account = await rest.account()
    verified = await rest.verified_numbers() if account.is_trial else None
    results += check_account(account, verified)
    results += await _number(settings, rest)
    if to is not None and verified is not None and to not in verified:
        advice = "Verify it in the Console: Phone Numbers, Verified Caller IDs; or upgrade the account."
        results.append(
            wrong(_CALLING, f"{to} is not verified, and a trial account may call only verified numbers (21219)", advice)
        )
    called = [it for it in (to, settings.telephony_fallback_number) if it is not None]
    for country in dict.fromkeys(map(_country, called or filter(None, [settings.twilio_phone_number]))):
        results.append(await _permission(rest, country))


def check_account(account: Account, verified: list[str] | None) -> list[CheckResult]:
    """Checks the state of the Twilio account. `verified` has the numbers that a trial account may call, or None if the
    account is not a trial account.
    """
    if account.status != "active":
        advice = "The Twilio Console shows the reason: https://console.twilio.com. Until then no call works (10001)."
        return [wrong(_ACCOUNT, f"is {account.status}", advice)]
    results = [ok(_ACCOUNT, f"{account.sid} is active")]
    if verified is not None:
        numbers = ", ".join(verified[:_MAX_SHOWN]) + (", ..." if len(verified) > _MAX_SHOWN else "")
        message = (
            f"is a trial: it may call verified numbers only ({numbers or 'there are none'}), calls end after 10 "
            "minutes, few calls are possible at once, and a message of Twilio and a key press come before the agent"
        )
        results.append(
            warning(_ACCOUNT, message, "Upgrade it in the Console: Billing. Until then, verify your own number.")
        )
    return results


async def _number(settings: Settings, rest: TwilioRest) -> list[CheckResult]:
    if settings.twilio_phone_number is None:
        numbers = [number.number for number in await rest.phone_numbers() if number.voice]
        if not numbers:
            return [warning(_NUMBER, "the account has no number that receives calls", "Buy one in the Console.")]
        return [
            skipped(_NUMBER, "none is set", f"Set TWILIO_PHONE_NUMBER to one of {', '.join(numbers[:_MAX_SHOWN])}.")
        ]
    number = await rest.phone_number(settings.twilio_phone_number)
    if number is None:
        message = f"the account has no number {settings.twilio_phone_number}"
        return [
            wrong(_NUMBER, message, "Correct TWILIO_PHONE_NUMBER, or TWILIO_ACCOUNT_SID if it is of another account.")
        ]
    if not number.voice_application_sid:
        return check_number(settings, number)
    try:
        application = await rest.application(number.voice_application_sid)
    except TwilioNotFound:
        message = f"its TwiML app {number.voice_application_sid} does not exist"
        return [wrong(_NUMBER, message, _set(number))]
    return check_number(settings, number, application_url=application.voice_url)


def check_number(settings: Settings, number: PhoneNumber, *, application_url: str = "") -> list[CheckResult]:
    """Checks that calls to this number reach this server. `application_url` is the voice URL of the number's TwiML
    application.
    """
    if not number.voice:
        message = f"{number.number} cannot receive voice calls"
        return [wrong(_NUMBER, message, "Buy one with Voice, and set TWILIO_PHONE_NUMBER to it.")]
    if number.trunk_sid:
        message = f"its calls go to the SIP trunk {number.trunk_sid}, so its webhook is not used"
        return [
            wrong(
                _NUMBER, message, "Remove it from the trunk in the Console: Elastic SIP Trunking, the trunk, Numbers."
            )
        ]
    app = f"the TwiML app {number.voice_application_sid}, which overrides the number, has the webhook "
    asks, prefix = (application_url, app) if number.voice_application_sid else (number.voice_url, "its webhook is ")
    if settings.public_url is None:
        return [skipped(_NUMBER, f"{prefix}{asks or 'nothing'}", "Set PUBLIC_URL to have it checked.")]
    expected = public_address(settings.public_url, "/incoming-call")
    if asks.partition("#")[0] != expected:
        return [wrong(_NUMBER, f"{prefix}{asks or 'empty'}, not {expected}", _set(number))]
    results = [ok(_NUMBER, f"{number.number} has the webhook {expected}")]
    if not number.voice_application_sid and not number.voice_fallback_url:
        message = "it has no fallback. Callers hear an error of Twilio while this server is down"
        results.append(warning(_NUMBER, message, _set(number)))
    return results


def _set(number: PhoneNumber) -> str:
    return f"`telephony number set {number.number}` points it here and saves the previous webhook."


async def _permission(rest: TwilioRest, country: str) -> CheckResult:
    try:
        permission = await rest.dialing_permission(country)
    except TwilioError as error:
        return skipped(_CALLING, f"{country}: the geo permission could not be read: {error.args[0]}", error.advice)
    if permission.enabled:
        return ok(_CALLING, f"{permission.country} may be called")
    advice = "Allow it in the Console: Voice, Settings, Geo permissions."
    return wrong(_CALLING, f"{permission.country} may not be called: its geo permission is off (21215)", advice)


def _country(number: str) -> str:
    return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or "001"
