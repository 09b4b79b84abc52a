"""Whom we may call, and when; who never wants to be called; what a call has found out."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from telephony import Care
from telephony.errors import CallRefused
from telephony.outbound.do_not_call import DoNotCall
from telephony.outbound.tools import Findings

OURS = "+14155550199"
NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)  # in San Francisco
ADA = "+14155550123"


@pytest.mark.parametrize("written", ["+14155550123", "(415) 555-0123", "415 555 0123", "+1 415-555-0123"])
def test_a_number_is_taken_as_people_write_it(written: str) -> None:
    assert Care().check(written, from_=OURS, now=NOON) == ADA


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("nonsense", "no phone number"),
        ("+1415", "no number"),
        ("+19005550123", "premium"),
        ("+491805123456", "shared-cost"),
        ("+4930123456", "lies in DE"),
        ("+18765550123", "lies in JM"),
    ],
)
def test_what_costs_or_lies_elsewhere_is_refused(to: str, why: str) -> None:
    with pytest.raises(CallRefused, match=why):
        Care().check(to, from_=OURS, now=NOON)


def test_other_countries_are_called_when_told_to() -> None:
    assert Care(countries={"DE"}).check("+4930123456", from_=OURS, now=NOON.replace(hour=12)) == "+4930123456"
    with pytest.raises(CallRefused, match="lies in US"):
        Care(countries={"DE"}).check(ADA, from_=OURS, now=NOON)


@pytest.mark.parametrize(
    ("hour_utc", "called"), [(4, True), (5, False), (12, False), (15, False), (16, True), (20, True)]
)
def test_nobody_is_called_in_their_night(hour_utc: int, called: bool) -> None:
    """San Francisco is eight hours behind UTC in November: 21:00 there is 05:00, 08:00 is 16:00."""
    now = NOON.replace(hour=hour_utc)
    if called:
        assert Care().check(ADA, from_=OURS, now=now) == ADA
    else:
        with pytest.raises(CallRefused, match="Los_Angeles"):
            Care().check(ADA, from_=OURS, now=now)
    assert Care.at_any_hour().check(ADA, from_=OURS, now=now) == ADA


def test_a_known_time_zone_goes_before_the_number() -> None:
    night_in_berlin = Care(timezone="Europe/Berlin", quiet_from=time(21), quiet_until=time(8))
    with pytest.raises(CallRefused, match="Berlin"):
        night_in_berlin.check(ADA, from_=OURS, now=NOON)


def test_a_number_in_several_zones_rests_while_any_of_them_sleeps() -> None:
    toll_free = "+18005550123"  # 20:00 in San Francisco is 23:00 in New York
    with pytest.raises(CallRefused):
        Care().check(toll_free, from_=OURS, now=datetime(2026, 11, 21, 4, 0, tzinfo=UTC))


def test_who_opted_out_is_never_called_again(tmp_path: Path) -> None:
    path = tmp_path / "lists" / "no.txt"
    care = Care(do_not_call=DoNotCall(path))
    assert care.check(ADA, from_=OURS, now=NOON) == ADA
    DoNotCall(path).add(ADA, "asked\non the phone")
    DoNotCall(path).add(ADA)
    assert path.read_text() == f"{ADA} asked on the phone\n"
    with pytest.raises(CallRefused, match="does not want"):
        care.check("(415) 555-0123", from_=OURS, now=NOON)


class Answers(BaseModel):
    rating: int = Field(ge=1, le=5)
    comes: bool


def test_findings_are_taken_piece_by_piece_and_checked() -> None:
    findings = Findings(Answers)
    assert "rating" in findings.take("{}")
    assert "comes" in findings.take('{"rating": 4}')
    assert "rating" in findings.take('{"rating": 9, "comes": true}')
    assert findings.output is None
    assert findings.take('{"rating": 5, "comes": null}') == "Noted. Nothing is missing."
    assert findings.output == Answers(rating=5, comes=True)


@pytest.mark.parametrize("arguments", ["", "nonsense", "[]", "3"])
def test_findings_take_nothing_that_is_no_object(arguments: str) -> None:
    findings = Findings(Answers)
    findings.take(arguments)
    assert len(findings.missing) == 2
