"""Phone numbers that users' code gives as another type than a text: normalized if the number is certain, and otherwise
refused with one clear error, at each entrance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from pydantic import ValidationError

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from telephony import DialingRules, transfer
from telephony.call.consent import Consent
from telephony.call.screening import Emergency, Screening
from telephony.campaigns.contact_list import contacts_from_rows
from telephony.errors import CallRefused, SettingsError
from telephony.numbers.config import NumberConfig
from telephony.outbound.call_request import CallRequest
from telephony.outbound.do_not_call import DoNotCall
from telephony.settings import read_settings
from telephony.twilio.numbers import dialled
from telephony.web.routing import Routing

ADA = "+14155550123"
OWN = "+14155550100"
RULES = DialingRules.at_any_hour()
AN_OBJECT = phonenumbers.parse(ADA)
WITH_EXTENSION = phonenumbers.parse("+14155550123 ext. 42", "US")
NO_NUMBERS = [None, 14155550123, 1.5, True, b"+14155550123", [ADA], {}, object()]
"""Values that are no phone numbers. Each has another type."""
REFUSALS = (ValueError, CallRefused, UserError, SettingsError, ValidationError)


def type_of(value: Any) -> str:
    """Returns the id of a parameter. The `repr` of an object contains its address, which differs in each worker."""
    return type(value).__name__


def _checked(number: Any) -> Any:
    return RULES.check(number, from_=OWN, now=datetime.now(UTC))


def _from(number: Any) -> Any:
    RULES.check(ADA, from_=number, now=datetime.now(UTC))
    return ADA


def _unwanted(number: Any) -> Any:
    return next(iter(DialingRules(do_not_call=[number]).do_not_call))  # type: ignore[call-overload]


def _target(number: Any) -> Any:
    return NumberConfig(agent="a:b", transfer_targets={"kitchen": number}).transfer_targets["kitchen"]


def _step(number: Any) -> Any:
    return NumberConfig(agent="a:b", fallback=({"dial": number},)).fallback[0].dial  # type: ignore[arg-type]


def _contact(number: Any) -> Any:
    contact = contacts_from_rows([{"to": number, "id": "1"}], own_number=OWN, rules=RULES).contacts[0]
    if contact.problem:
        raise ValueError(contact.problem)
    return contact.number


ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "dialled": dialled,
    "to": _checked,
    "from": _from,
    "transfer": lambda number: transfer(kitchen=number).targets["kitchen"],  # type: ignore[attr-defined]
    "do not call": _unwanted,
    "target of a number": _target,
    "step of a number": _step,
    "contact": _contact,
    "request": lambda number: CallRequest.model_validate({"to": number}).to,
    "own number": lambda number: read_settings(twilio_phone_number=number).twilio_phone_number,
    "emergency": lambda number: Emergency(number).transfer_to,
    "consent": lambda number: Consent(on_refusal="transfer", transfer_to=number).transfer_to,
    "blocked": lambda number: next(iter(Screening(blocked=[number]).blocked)),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_number_of_the_phonenumbers_library_is_this_number(entrance: str) -> None:
    assert ENTRANCES[entrance](AN_OBJECT) == ADA


@pytest.mark.parametrize("entrance", [each for each in ENTRANCES if each not in ("from", "contact", "request")])
def test_a_number_of_the_phonenumbers_library_keeps_its_extension(entrance: str) -> None:
    with pytest.raises(REFUSALS, match="42"):
        ENTRANCES[entrance](WITH_EXTENSION)


def is_an_input(value: Any, entrance: str) -> bool:
    """Whether a value that is no number has a meaning at this entrance."""
    if entrance == "contact" and value == 14155550123:
        return True  # tables have integers, and the country is that of the own number
    return (value is None and entrance == "own number") or (not value and entrance == "emergency")


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_another_type_is_refused_with_one_clear_error(entrance: str) -> None:
    for value in NO_NUMBERS:
        if is_an_input(value, entrance):
            continue
        try:
            taken = ENTRANCES[entrance](value)
        except REFUSALS as error:
            words = ("write", "valid string", "transfer_to", "a step does one thing")
            assert any(word in str(error) for word in words), f"{value!r}: {error}"
        else:
            pytest.fail(f"{value!r} was taken as {taken!r}")


@pytest.mark.parametrize("value", [14155550123, object(), b"+14155550123"], ids=type_of)
def test_an_agent_for_a_number_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match="a phone number is a text"):
        Routing({value: RealtimeAgent(name="Desk")})


@pytest.mark.parametrize(
    "given", [ADA, AN_OBJECT, {ADA: "asked"}, iter([ADA]), {"+1 (415) 555-0123": 1}.keys()], ids=type_of
)
def test_numbers_that_must_not_be_called_may_be_given_in_any_collection(given: Any) -> None:
    rules = DialingRules(do_not_call=given)
    with pytest.raises(CallRefused, match="do-not-call"):
        rules.check(ADA, from_=OWN, now=datetime.now(UTC))


@pytest.mark.parametrize("given", ["no.txt", Path("no.txt"), 5, b"+14155550123", [None]], ids=type_of)
def test_what_is_no_list_of_numbers_is_no_do_not_call_list(given: Any) -> None:
    with pytest.raises(UserError, match=r"DialingRules\(do_not_call"):
        DialingRules(do_not_call=given)


@pytest.mark.parametrize("given", [5, [1], b"US", AN_OBJECT], ids=type_of)
def test_what_is_no_list_of_regions_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="list of regions"):
        DialingRules(countries=given)


def test_one_blocked_number_is_a_rule_and_not_its_characters() -> None:
    assert Screening(blocked=ADA).blocked == (ADA,)


def test_a_time_zone_may_be_an_object(tmp_path: Path) -> None:
    assert RULES.check(ADA, from_=OWN, now=datetime.now(UTC), timezone=ZoneInfo("America/New_York")) == ADA
    for value in (5, b"UTC", object()):
        with pytest.raises(CallRefused, match="no time zone"):
            RULES.check(ADA, from_=OWN, now=datetime.now(UTC), timezone=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=type_of)
def test_what_is_no_number_does_not_get_into_a_do_not_call_file(value: Any, tmp_path: Path) -> None:
    listed = DoNotCall(tmp_path / "no.txt")
    with pytest.raises(CallRefused, match="not in a do-not-call list"):
        listed.add(value)
    assert not (tmp_path / "no.txt").exists()


@pytest.mark.parametrize("given", ["nine", "25:00", 21, None, time(21, tzinfo=UTC), "21:00+01:00"], ids=str)
def test_quiet_hours_that_are_no_times_of_day_are_refused(given: Any) -> None:
    for name in ("quiet_from", "quiet_until"):
        with pytest.raises(UserError, match=f"{name}=...\\): write a time"):
            DialingRules(**{name: given})


def test_quiet_hours_may_be_written_as_text() -> None:
    rules = DialingRules(quiet_from="00:00", quiet_until="23:59")  # type: ignore[arg-type]
    with pytest.raises(CallRefused, match="no calls from 00:00 to 23:59"):
        rules.check(ADA, from_=OWN, now=datetime(2026, 1, 1, 20, tzinfo=UTC))
