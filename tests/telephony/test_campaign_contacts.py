"""Contacts from files and from programs: which are kept, merged and refused."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from benchmarks.extent import extent
from telephony.campaigns.contact import Contact, ContactState
from telephony.campaigns.contact_list import ContactList, contacts_from_csv, contacts_from_rows
from telephony.errors import CampaignError
from telephony.outbound import DialingRules

RULES = DialingRules(countries=["US", "DE"])
OWN = "+14155550199"


def read(text: str, *, group: bool = False) -> ContactList:
    return contacts_from_csv(text, own_number=OWN, rules=RULES, group=group)


def only(text: str) -> Contact:
    (contact,) = read(text).contacts
    return contact


@pytest.mark.parametrize(
    "written", ["+14155550123", "(415) 555-0123", "\u202a+1 415-555-0123\u202c", "+1.415.555.0123"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_number_is_read_as_people_write_it(written: str, separator: str) -> None:
    contact = only(f"\ufeffName{separator}Phone\r\nAda{separator}{written}\r\n")
    assert (contact.id, contact.number, contact.data) == ("+14155550123", "+14155550123", {"Name": "Ada"})
    assert (contact.state, contact.lines) == (ContactState.PENDING, (2,))


@pytest.mark.parametrize(
    "text",
    ["sep=;\nName;Phone\nAda;+14155550123\n", "sep=\t\r\nName\tPhone\r\nAda\t+14155550123\r\n",
     "\n\nName;Phone\nAda;+14155550123\n", " ; \nName;Phone\n;\nAda;+14155550123\n"],
)  # fmt: skip
def test_lines_before_the_header_do_not_matter(text: str) -> None:
    contact = only(text)
    assert (contact.number, contact.data) == ("+14155550123", {"Name": "Ada"})
    assert contact.lines == (len(text.splitlines()),)


@pytest.mark.parametrize("written", ["x42", " ext. 42", ";ext=42", ",,42", "#42", " extension 42", "p42", " (ext 42)"])
def test_an_extension_is_kept(written: str) -> None:
    contact = only(f'to\n"+14155550123{written}"\n')
    assert (contact.number, contact.extension, contact.id) == ("+14155550123", "42", "+14155550123x42")


def test_both_numbers_of_one_phone_are_one_contact() -> None:
    text = "to\n+5491123456789\n+541123456789\n+541123456780\n"
    rules = DialingRules(countries=["AR"])
    found = contacts_from_csv(text, own_number=OWN, rules=rules)
    assert [(each.number, each.lines) for each in found.contacts] == [
        ("+5491123456789", (2, 3)),
        ("+541123456780", (4,)),
    ]
    text = "to,id,what\n+5491123456789,1,a\n+541123456789,2,b\n"
    grouped = contacts_from_csv(text, own_number=OWN, rules=rules, group=True)
    assert [each.members for each in grouped.contacts] == [("1", "2")]


def test_two_extensions_of_one_number_are_two_contacts() -> None:
    assert [each.id for each in read("to\n+14155550123x1\n+14155550123x2\n+14155550123\n").contacts] == [
        "+14155550123x1", "+14155550123x2", "+14155550123",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("12,Ada", "not a valid phone number"),
        (",Ada", "no number is given"),
        ("+14155550123 or +14155550124,Ada", "several numbers"),
        ("+19005550123,Ada", "premium-rate"),
        ("+442071234567,Ada", "lies in GB"),
        ("+14155550123,Ada,,,surplus", "5 cells, and the header has 4"),
        ("+14155550123,Ada,Mars/Phobos", "no time zone"),
        ("+14155550123,Ada,../../etc/passwd", "no time zone"),
        ("+14155550123,Ada,,maybe", "write yes or no"),
        ('+14155550123,"Ada', "quotation mark"),
        ('+14155550123,"Ada" B', "quotation mark"),
        ('"+14155550123;isub=42",Ada', "subaddress"),
        ("+14155550123," + "Ada" * 50_000, "a cell is too long"),
        ("sip:ada@example.com,Ada", "not a phone number"),
        ("1.41556E+10,Ada", "letters"),
    ],
)
def test_a_bad_line_is_kept_with_its_number_and_a_reason_and_the_others_are_read(line: str, problem: str) -> None:
    found = read(f"to,name,timezone,consent\n+14155550121,First\n{line}\n+14155550129,Last\n")
    first, bad, last = found.contacts
    assert (first.number, last.number, last.lines) == ("+14155550121", "+14155550129", (4,))
    assert (bad.state, bad.id, bad.lines) == (ContactState.INVALID, "line-3", (3,))
    assert problem in bad.problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("name,age\nAda,1\n", "no column with the numbers, only name, age"),
        ("to,name,name\n", "name exists twice"),
        ("+14155550123\n+14155550124\n", "names the columns"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(text: str, message: str) -> None:
    with pytest.raises(CampaignError, match=message):
        read(text)


def test_equal_lines_are_merged_and_reported() -> None:
    found = read("to,name\n+14155550123,Ada\n(415) 555-0123, Ada\n+14155550124,Bob\n+1 415 555 0123,Ada\n")
    assert [(each.id, each.lines) for each in found.contacts] == [
        ("+14155550123", (2, 3, 5)), ("+14155550124", (4,)),
    ]  # fmt: skip
    assert found.merged == ((3, 2), (5, 2))


def test_contacts_with_the_same_number_get_two_calls_or_one_with_group() -> None:
    text = "id,to,child\n7,+14155550123,Ada\n8,+14155550123,Bob\n"
    assert [(each.id, each.data) for each in read(text).contacts] == [("7", {"child": "Ada"}), ("8", {"child": "Bob"})]
    (both,) = read(text, group=True).contacts
    assert (both.id, both.members, both.lines) == ("7", ("7", "8"), (2, 3))
    assert both.data["contacts"] == [{"id": "7", "child": "Ada"}, {"id": "8", "child": "Bob"}]
    without_id = read("to,child\n+14155550123,Ada\n+14155550123,Bob\n").contacts
    assert [each.id for each in without_id] == ["+14155550123", "+14155550123/2"]


def test_a_group_in_which_one_member_does_not_consent_is_not_called() -> None:
    (both,) = read("id,to,consent\n7,+14155550123,yes\n8,+14155550123,no\n", group=True).contacts
    assert both.consent is False


def test_an_id_with_other_values_is_not_overwritten() -> None:
    first, second = read("id,to\n7,+14155550123\n7,+14155550124\n").contacts
    assert (first.number, first.state) == ("+14155550123", ContactState.PENDING)
    assert (second.id, second.state) == ("line-3", ContactState.INVALID)
    assert "the id 7 belongs to line 2" in second.problem


@pytest.mark.parametrize(
    ("written", "consent"), [("yes", True), ("No", False), ("1", True), ("", None), ("nein", False)]
)
def test_consent_is_read(written: str, consent: bool | None) -> None:
    assert only(f"to,consent\n+14155550123,{written}\n").consent is consent


def test_a_number_without_a_known_time_zone_needs_the_column() -> None:
    anywhere = DialingRules(countries=["US", "001"])
    rows: list[dict[str, Any]] = [{"to": "+80012345678"}, {"to": "+80012345678", "timezone": "Europe/Berlin"}]
    bad, good = contacts_from_rows(rows, own_number=OWN, rules=anywhere).contacts
    assert "time zone" in bad.problem
    assert (good.state, good.timezone) == (ContactState.PENDING, "Europe/Berlin")


def test_a_cell_may_have_several_lines_and_empty_lines_are_no_contacts() -> None:
    text = 'to,note\n+14155550123,"a\nb"\n\n,,\n+14155550124,c\n'
    assert [(each.lines, each.data) for each in read(text).contacts] == [
        ((2,), {"note": "a\nb"}),
        ((6,), {"note": "c"}),
    ]


def test_ten_thousand_contacts_are_read_in_under_ten_seconds() -> None:
    count = extent(2_000, 10_000)
    lines = "".join(f"{n},+1415555{n:04},Person {n},,yes\n" for n in range(count))
    began = process_time()
    found = read(f"id,to,name,timezone,consent\n{lines}")
    assert process_time() - began < count / 1_000
    assert (len(found.contacts), found.invalid) == (count, [])
