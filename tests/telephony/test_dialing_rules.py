"""Which numbers may be called, and when; the do-not-call list; the results of calls."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from pydantic import BaseModel, Field

from realtime_core.errors import UserError
from telephony import DialingRules
from telephony.errors import CallRefused, SettingsError
from telephony.outbound.dialing_rules import e164
from telephony.outbound.do_not_call import DoNotCall, dialing_rules_of
from telephony.outcomes.result_form import ResultForm
from telephony.settings import load_settings

OURS = "+14155550199"
NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)  # in San Francisco
ADA = "+14155550123"


@pytest.mark.parametrize("written", ["+14155550123", "(415) 555-0123", "415 555 0123", "+1 415-555-0123"])
def test_a_number_is_taken_as_people_write_it(written: str) -> None:
    assert DialingRules().check(written, from_=OURS, now=NOON) == ADA


def test_quiet_hours_may_be_texts() -> None:
    texts: Any = {"quiet_from": "21:30", "quiet_until": "08:00"}
    assert DialingRules(**texts) == DialingRules(quiet_from=time(21, 30), quiet_until=time(8))


@pytest.mark.parametrize("name", ["quiet_from", "quiet_until"])
@pytest.mark.parametrize("wrong", ["25:00", "", "21:00+01:00", 21, None, time(21, tzinfo=UTC)])
def test_quiet_hours_that_are_no_times_are_refused(name: str, wrong: Any) -> None:
    with pytest.raises(UserError, match=rf"^DialingRules\({name}=\.\.\.\): write a time without a time zone"):
        DialingRules(**{name: wrong})


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("nonsense", "not a phone number"),
        ("+1415", "not a valid phone number"),
        ("+19005550123", "premium"),
        ("+491805123456", "shared-cost"),
        ("+4930123456", "lies in DE"),
        ("+18765550123", "lies in JM"),
    ],
)
def test_premium_numbers_and_other_countries_are_refused(to: str, why: str) -> None:
    with pytest.raises(CallRefused, match=why):
        DialingRules().check(to, from_=OURS, now=NOON)


@pytest.mark.parametrize(
    ("to", "rules", "from_", "message"),
    [
        ("+99112345678", {}, OURS, "'+99112345678' is not a phone number: write it like +14155550123."),
        ("+4930123456", {}, OURS,
         "+4930123456 lies in DE, and calls go to US; say DialingRules(countries=...) for more."),
        (ADA, {"countries": ["FR", "DE"]}, OURS,
         "+14155550123 lies in US, and calls go to DE, FR; say DialingRules(countries=...) for more."),
        (ADA, {}, "anonymous",
         "+14155550123 lies in US, and calls go to nowhere; say DialingRules(countries=...) for more."),
        (ADA, {"quiet_from": time(11, 30), "quiet_until": time(13, 45)}, OURS,
         "It is 12:00 where +14155550123 is (America/Los_Angeles); no calls from 11:30 to 13:45 "
         "(TELEPHONY_QUIET_HOURS; off, or --any-hour: at any hour)."),
        (ADA, {}, 49, "No number is called from 49: a phone number is a text, not int: write it like '+14155550123'."),
        ("+80012345678", {"countries": ["001"]}, OURS,
         "The time zone of +80012345678 is not known: give its time zone."),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_wrong(to: str, rules: dict[str, Any], from_: Any, message: str) -> None:
    with pytest.raises(CallRefused) as refused:
        DialingRules(**rules).check(to, from_=from_, now=NOON)
    assert str(refused.value) == message


@pytest.mark.parametrize("countries", ["us,de", " US, de ", ["us", "DE"], frozenset({"US", "DE"})])
def test_countries_are_given_as_text_or_as_a_collection(countries: Any) -> None:
    assert DialingRules(countries=countries).countries == {"US", "DE"}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"countries": "US,Mars,Atlantis"},
         "DialingRules(countries=...): ATLANTIS, MARS: write regions like US and DE."),
        ({"countries": 49}, "DialingRules(countries=...): write a list of regions, like ['US', 'DE']."),
        ({"countries": ["US", 49]}, "DialingRules(countries=...): write a list of regions, like ['US', 'DE']."),
        ({"do_not_call": ["+1415"]}, "DialingRules(do_not_call=...): "),
        ({"do_not_call": 14155550123},
         "DialingRules(do_not_call=...): write a list of numbers, or DoNotCall(file)."),
        ({"do_not_call": b"+14155550123"},
         "DialingRules(do_not_call=...): write a list of numbers, or DoNotCall(file)."),
    ],
)  # fmt: skip
def test_rules_that_are_wrong_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        DialingRules(**rules)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("given", [["+1 (415) 555-0123"], "+1 (415) 555-0123"])
def test_numbers_of_a_list_are_given_as_people_write_them(given: Any) -> None:
    with pytest.raises(CallRefused, match="do-not-call list"):
        DialingRules(do_not_call=given).check(ADA, from_=OURS, now=NOON)


def test_no_rules_and_no_hours() -> None:
    assert DialingRules.none() == DialingRules(
        countries=phonenumbers.SUPPORTED_REGIONS, quiet_from=time(0), quiet_until=time(0)
    )
    assert DialingRules.at_any_hour() == DialingRules(quiet_from=time(0), quiet_until=time(0))


@pytest.mark.parametrize(("at", "quiet"), [
    ((11, 59), False), ((12, 0), True), ((13, 59), True), ((14, 0), False), ((20, 0), False),
])  # fmt: skip
def test_quiet_hours_within_a_day_begin_with_their_first_and_end_before_their_last_minute(
    at: tuple[int, int], quiet: bool
) -> None:
    rules = DialingRules(quiet_from=time(12), quiet_until=time(14), timezone="UTC")
    now = datetime(2026, 11, 20, *at, tzinfo=UTC)
    if quiet:
        with pytest.raises(CallRefused, match="no calls from 12:00 to 14:00") as refused:
            rules.check(ADA, from_=OURS, now=now)
        assert refused.value.temporary, "the person can be called later"
    else:
        assert rules.check(ADA, from_=OURS, now=now) == ADA


@pytest.mark.parametrize(("to", "from_"), [("(415) 555-0123", OURS), (ADA, "+493012345678"), (ADA, "anonymous")])
def test_a_national_number_is_read_in_the_country_of_the_calling_number(to: str, from_: str) -> None:
    assert e164(to, from_) == ADA


def test_other_countries_are_called_if_they_are_listed() -> None:
    assert DialingRules(countries={"DE"}).check("+4930123456", from_=OURS, now=NOON.replace(hour=12)) == "+4930123456"
    with pytest.raises(CallRefused, match="lies in US"):
        DialingRules(countries={"DE"}).check(ADA, from_=OURS, now=NOON)


@pytest.mark.parametrize(
    ("hour_utc", "called"), [(4, True), (5, False), (12, False), (15, False), (16, True), (20, True)]
)
def test_nobody_is_called_in_their_night(hour_utc: int, called: bool) -> None:
    """San Francisco is eight hours behind UTC in November: 21:00 there is 05:00, 08:00 is 16:00."""
    now = NOON.replace(hour=hour_utc)
    if called:
        assert DialingRules().check(ADA, from_=OURS, now=now) == ADA
    else:
        with pytest.raises(CallRefused, match="Los_Angeles"):
            DialingRules().check(ADA, from_=OURS, now=now)
    assert DialingRules.at_any_hour().check(ADA, from_=OURS, now=now) == ADA


@pytest.mark.parametrize("zone", ["Europe/Berlin", ZoneInfo("Europe/Berlin")])
def test_a_known_time_zone_goes_before_the_number(zone: Any) -> None:
    night_in_berlin = DialingRules(timezone=zone, quiet_from=time(21), quiet_until=time(8))
    with pytest.raises(CallRefused, match="Berlin"):
        night_in_berlin.check(ADA, from_=OURS, now=NOON)
    day_in_berlin = DialingRules(timezone=zone, quiet_from=time(3), quiet_until=time(4))
    assert day_in_berlin.check(ADA, from_=OURS, now=NOON) == ADA


def test_a_number_in_several_zones_rests_while_any_of_them_sleeps() -> None:
    toll_free = "+18005550123"  # 20:00 in San Francisco is 23:00 in New York
    with pytest.raises(CallRefused):
        DialingRules().check(toll_free, from_=OURS, now=datetime(2026, 11, 21, 4, 0, tzinfo=UTC))


def test_who_opted_out_is_never_called_again(tmp_path: Path) -> None:
    path = tmp_path / "lists" / "no.txt"
    rules = DialingRules(do_not_call=DoNotCall(path))
    assert rules.check(ADA, from_=OURS, now=NOON) == ADA
    DoNotCall(path).add(ADA, "asked\non the phone")
    DoNotCall(path).add(ADA)
    assert path.read_text() == f"{ADA} asked on the phone\n"
    with pytest.raises(CallRefused, match="do-not-call list"):
        rules.check("(415) 555-0123", from_=OURS, now=NOON)


class Answers(BaseModel):
    rating: int = Field(ge=1, le=5)
    comes: bool


def test_findings_are_taken_piece_by_piece_and_checked() -> None:
    form = ResultForm(Answers)
    assert "rating" in form.take("{}")
    assert "comes" in form.take('{"rating": 4}')
    assert "rating" in form.take('{"rating": 9, "comes": true}')
    assert form.output is None
    assert form.take('{"rating": 5, "comes": null}') == "Noted. Nothing is missing."
    assert form.output == Answers(rating=5, comes=True)


@pytest.mark.parametrize("arguments", ["", "nonsense", "[]", "3"])
def test_findings_take_nothing_that_is_no_object(arguments: str) -> None:
    form = ResultForm(Answers)
    form.take(arguments)
    assert len(form.missing) == 2


@pytest.mark.parametrize("given", ["Berlin", "../etc/passwd", "Mars/Olympus"])
def test_a_time_zone_that_is_none_is_no_reason_to_call_at_night(given: str) -> None:
    with pytest.raises(CallRefused, match="no time zone"):
        DialingRules().check(ADA, from_=OURS, now=NOON, timezone=given)


def test_a_callee_of_whom_more_is_known_than_the_number() -> None:
    """A phone from San Francisco in Berlin, at 21:00 there."""
    assert DialingRules().check(ADA, from_=OURS, now=NOON) == ADA
    with pytest.raises(CallRefused, match="Berlin"):
        DialingRules().check(ADA, from_=OURS, now=NOON, timezone="Europe/Berlin")


def test_a_number_that_lies_nowhere_needs_a_time_zone() -> None:
    nowhere, rules = "+80012345678", DialingRules(countries={"001"})
    with pytest.raises(CallRefused, match="give its time zone"):
        rules.check(nowhere, from_=OURS, now=NOON)
    assert rules.check(nowhere, from_=OURS, now=NOON, timezone="America/Los_Angeles") == nowhere


@pytest.mark.parametrize(
    ("written", "called"),
    [
        (ADA, False),
        (f"{ADA} 2026-11-20 by letter", False),
        ("+1 415 555 0123", False),
        ("+1 (415) 555-0123 by letter", False),
        ("(415) 555-0123", False),
        ("415.555.0123 wants no calls", False),
        ("\ufeff0415 5550123", False),
        ("# +14155550123", True),
        ("", True),
        ("+141555501234", True),
        ("+1415555012", True),
        ("Ada", True),
        ("+14155550124", True),
        ("+14155550123x42", False),
        ("+1 415 555 0123 ext. 42", False),
        ("4155550123 ext. 42", False),
        ("+14155550123,,42", False),
        ("tel:+14155550123;ext=42", False),
        ("whatsapp:+14155550123", False),
        ("Ada,+14155550123", False),
        ('"415 555 0123",Ada', False),
        ("+14155550999, +14155550123", False),
        ("+14155550999 / +14155550123", False),
        ("4155550999; 4155550123", False),
        ("4155550999 or 4155550123", False),
        ("+14155550999 and (415) 555-0123", False),
        ("\u202a+1\u00a0(415)\u2011555\u20110123\u202c", False),
        ("\uff0b\uff11\uff14155550123", False),
        ("+14155550999 2026-11-20 x42", True),
        ("011 1 415 555 0123", False),
        ("00 1 415 555 0123", False),
        ("+1 (0)415 555 0123", False),
        ("+1(0)4155550123", False),
        ("001 (0)415 555 0123", False),
        ("+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0662\u0663", False),
        ('{"name": "Ada", "phone": "415 555 0123"}', False),
        ('["+14155550999", "(415) 555-0123"]', False),
        ('{"name": "Ada", "phone": "415 555 0124"}', True),
    ],
)
def test_a_list_is_understood_as_people_write_it(tmp_path: Path, written: str, called: bool) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"+14155550999\r\n{written}", encoding="utf-8")
    assert (ADA not in DoNotCall(path)) == called


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_list_in_the_encodings_of_excel_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "no.csv"
    path.write_bytes(f"Name;Number\r\nAda;{ADA}\r\n".encode(encoding))
    assert ADA in DoNotCall(path) and "+14155550124" not in DoNotCall(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["", "\r\n"])
def test_a_number_that_is_added_is_on_the_disk_whatever_the_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "no.csv"
    path.write_bytes(f"Name;Number\r\nZoë;{ADA}{end}".encode(encoding))
    DoNotCall(path).add("+14155550125", "asked in a call")
    read_again = DoNotCall(path)
    assert ADA in read_again and "+14155550125" in read_again and "Zoë" in path.read_text("utf-8")


@pytest.mark.parametrize("data", [f"{ADA}\r\n".encode("utf-16-le"), b"PK\x03\x04\x00\x00 an Excel workbook"])
def test_a_list_that_is_not_text_stops_the_calls(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.csv"
    path.write_bytes(data)
    for _ in range(2):  # the refusal is not forgotten
        with pytest.raises(CallRefused, match=r"is not text in UTF-8, so no number is called: save it as UTF-8"):
            DoNotCall(path).__contains__(ADA)


def test_a_number_of_letters_keeps_its_digits_from_being_called(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    path.write_text("1-800-FLOWERS\n(415) 555-CALL calls all day\n")
    assert "+18003569377" in DoNotCall(path)
    assert "+14155552255" in DoNotCall(path)


def test_a_line_without_a_number_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"{ADA}\nAda Lovelace\n")
    assert ADA in DoNotCall(path)
    assert "line 2" in caplog.text


def test_a_number_is_added_on_a_line_of_its_own_and_by_others_too(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    path.write_text("+14155550999 the last line of an editor without an end")
    ours, theirs = DoNotCall(path), DoNotCall(path)
    assert ADA not in theirs
    ours.add(ADA)
    assert "+14155550999" in ours
    assert ADA in theirs
    path.unlink()
    assert "+14155550999" not in ours
    assert ADA in ours, "who asked this process stays known to it"


def test_a_list_that_cannot_be_read_stops_the_calls(tmp_path: Path) -> None:
    unreadable = DoNotCall(tmp_path)  # a folder
    with pytest.raises(CallRefused, match="no number is called"):
        DialingRules(do_not_call=unreadable).check(ADA, from_=OURS, now=NOON)
    with pytest.raises(CallRefused):
        unreadable.add(ADA)
    assert ADA in unreadable


def test_the_settings_make_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    path.write_text(ADA)
    rules = dialing_rules_of(load_settings(telephony_quiet_hours="22:30-07:00", telephony_do_not_call=path,
                                 telephony_call_countries="us,de"))  # fmt: skip
    assert (rules.quiet_from, rules.quiet_until, rules.countries) == (time(22, 30), time(7), {"US", "DE"})
    assert ADA in rules.do_not_call
    usual = dialing_rules_of(load_settings())
    assert (usual.quiet_from, usual.quiet_until, usual.countries) == (time(21), time(8), None)
    off = dialing_rules_of(load_settings(telephony_quiet_hours="off"))
    assert off.check(ADA, from_=OURS, now=NOON.replace(hour=10)) == ADA


@pytest.mark.parametrize("hours", ["21-8", "late", "21:00", "25:00-08:00", "21:00-"])
def test_invalid_quiet_hours_are_refused(hours: str) -> None:
    with pytest.raises(SettingsError, match="TELEPHONY_QUIET_HOURS: write the start and the end"):
        load_settings(telephony_quiet_hours=hours)


@pytest.mark.parametrize("zone", ["Mars", "Europe/Atlantis", "../etc/passwd", 5])
def test_a_time_zone_that_does_not_exist_is_refused_at_once(zone: Any) -> None:
    with pytest.raises(UserError, match="no time zone"):
        DialingRules(timezone=zone)
