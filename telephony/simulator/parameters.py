"""Checks the parameters of `POST Calls` requests, and refuses invalid parameters as Twilio does. Pure.

https://www.twilio.com/docs/voice/api/call-resource, https://www.twilio.com/docs/iam/test-credentials
"""

from __future__ import annotations

import re
from collections.abc import Collection

from .documented_parameters import Form, is_url

__all__ = ["Refused", "check_caller_id", "check_create", "check_test_create"]

_EVENTS = {"initiated", "ringing", "answered", "completed"}
_TO = re.compile(r"\+[1-9]\d{6,14}|sips?:[^@\s]+@\S+|client:\S+")
_FROM = re.compile(r"\+[1-9]\d{7,14}|client:\S+")
_WITHHELD = {"+266696687", "+86282452253", "+7378742833", "+2562533", "+8656696"}
"""The values of `From` for callers without a number. The digits correspond to the letters of anonymous, unavailable,
restricted, blocked and unknown.
"""
_DIGITS = re.compile(r"[0-9A-D#*wW]{1,32}")
_SECONDS: dict[str, tuple[int, int]] = {
    "Timeout": (1, 600),
    "TimeLimit": (1, 86400),
    "MachineDetectionTimeout": (3, 59),
}

_TEST_FROM = {"+15005550001": 21212, "+15005550007": 21606}
_TEST_TO = {"+15005550001": 21217, "+15005550002": 21214, "+15005550003": 21215, "+15005550004": 21216}


class Refused(Exception):
    """Raised for a request that the simulated REST API refuses. Contains the HTTP status and Twilio's error code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def check_create(form: Form, *, owned: Collection[str]) -> None:
    """Checks the parameters of a `POST Calls` request (which creates a call). `owned` are the numbers of the account.
    Raises `Refused` for an invalid parameter.
    """
    to, from_ = _one(form, "To"), _one(form, "From")
    if not to:
        raise Refused(400, 21201, "No 'To' number is specified")
    if not from_:
        raise Refused(400, 21213, "No 'From' number is specified")
    if not _TO.fullmatch(to):
        raise Refused(400, 21211, f"The phone number you are attempting to call, {to}, is not valid.")
    if not _FROM.fullmatch(from_) or from_ in _WITHHELD:
        raise Refused(400, 21212, f"The source phone number provided, {from_}, is not valid.")
    if from_.startswith("+") and from_ not in owned:
        raise Refused(400, 21210, f"The source phone number provided, {from_}, is not yet verified for your account.")
    _check_what_to_do(form)
    _check_detection(form)
    for name, (low, high) in _SECONDS.items():
        value = _one(form, name)
        if value and not (value.isdecimal() and low <= int(value) <= high):
            raise Refused(400, 21208, f"{name} {value} is not within {low} and {high}")
    if (digits := _one(form, "SendDigits")) and not _DIGITS.fullmatch(digits):
        raise Refused(400, 21206, f"SendDigits {digits} is not valid")
    if strange := set(form.get("StatusCallbackEvent", ())) - _EVENTS:
        raise Refused(400, 21626, f"Invalid StatusCallbackEvent: {', '.join(sorted(strange))}")


def check_caller_id(
    caller_id: str | None, *, noun: str, from_: str, to: str, inbound: bool, valid: Collection[str]
) -> None:
    """Checks the `callerId` of a `<Dial>`. `caller_id` is None if the `<Dial>` has no `callerId`. Raises `Refused` for
    an invalid value.

    `noun` is the element in the `<Dial>`, such as `Number`. `from_` and `to` are the numbers of the call that dials,
    and `inbound` is True if Twilio received this call. `valid` has the numbers of the account and the verified
    numbers. Source: https://www.twilio.com/docs/api/errors/13214. The caller id must be the calling number, the called
    number or a validated outgoing number. A call from a `client:` address must have a validated number.
    """
    caller = from_ if inbound else to
    is_client = caller.startswith("client:")
    shown = caller if caller_id is None else caller_id
    if noun == "Client" or (noun == "Sip" and not is_client):
        return
    known = set(valid) if is_client else {from_, to, *valid}
    if shown not in known or not _FROM.fullmatch(shown) or shown.startswith("client:") or shown in _WITHHELD:
        raise Refused(400, 13214, f"Dial: Invalid callerId value {shown!r}")


def _check_what_to_do(form: Form) -> None:
    twiml, url = _one(form, "Twiml"), _one(form, "Url")
    if not (twiml or url or _one(form, "ApplicationSid")):
        raise Refused(400, 21205, "Url parameter is required.")
    if len(twiml) > 4000:
        raise Refused(400, 32018, "The TwiML is longer than 4000 characters")
    for name in ("Url", "StatusCallback", "AsyncAmdStatusCallback", "FallbackUrl"):
        if (value := _one(form, name)) and not is_url(value):
            raise Refused(400, 21609 if name == "StatusCallback" else 21205, f"{name} is not a valid URL: {value}")


def _check_detection(form: Form) -> None:
    mode = _one(form, "MachineDetection")
    if mode and mode not in ("Enable", "DetectMessageEnd"):
        raise Refused(400, 20001, f"MachineDetection {mode} is not valid")
    if _one(form, "AsyncAmd") == "true" and not _one(form, "AsyncAmdStatusCallback"):
        raise Refused(400, 21262, "AsyncAmdStatusCallback is required for AsyncAmd")


def check_test_create(form: Form) -> None:
    """Checks the parameters of a request with test credentials, where magic numbers cause errors. Raises `Refused` for
    such a number.
    """
    to, from_ = _one(form, "To"), _one(form, "From")
    if from_ != "+15005550006":
        code = _TEST_FROM.get(from_, 21210)
        raise Refused(400, code, f"The source phone number provided, {from_}, is refused.")
    if code := _TEST_TO.get(to, 0):
        raise Refused(400, code, f"The phone number {to} is refused.")
    check_create(form, owned={from_})


def _one(form: Form, name: str) -> str:
    return (form.get(name) or ("",))[0]
