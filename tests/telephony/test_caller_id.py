"""Which caller id Twilio takes, and which one is given."""

from __future__ import annotations

import pytest

from telephony.errors import NoCallerId
from telephony.twilio.caller_id import Destination, Parties, is_number, is_withheld
from telephony.twilio.twiml import can_be_read_aloud

OWN, CALLED, THEIRS, KITCHEN = "+14155550199", "+14155550188", "+14155550100", "+14155550123"
WITHHELD = ["", "anonymous", "Anonymous", "RESTRICTED", "unavailable", "unknown", "+266696687", "+86282452253",
            "+7378742833", "+2562533", "+8656696", "sip:anonymous@anonymous.invalid"]  # fmt: skip
DEVICES = ["client:ada", "sip:ada@example.com", "sips:+14155550100@example.com"]


@pytest.mark.parametrize("address", [*WITHHELD, *DEVICES, "911", "12345", "4155550100", "+0123456789", "+1415555010x"])
def test_addresses_that_cannot_be_a_caller_id(address: str) -> None:
    assert not is_number(address)
    assert Parties(address, CALLED, OWN).reach(KITCHEN).caller_id in (OWN, CALLED)


@pytest.mark.parametrize("address", WITHHELD)
def test_withheld_addresses(address: str) -> None:
    assert is_withheld(address)
    assert not can_be_read_aloud(address)


@pytest.mark.parametrize("address", [*DEVICES, THEIRS, "12345", "sip:+14155550100@example.com"])
def test_addresses_that_are_not_withheld(address: str) -> None:
    assert not is_withheld(address)


def test_a_caller_with_a_number_shows_it() -> None:
    assert Parties(THEIRS, CALLED, OWN).reach(KITCHEN) == Destination(KITCHEN)


def test_a_withheld_caller_shows_the_number_that_was_called_and_a_device_that_of_the_settings() -> None:
    assert Parties("anonymous", CALLED, OWN).reach(KITCHEN).caller_id == CALLED
    for device in DEVICES:
        assert Parties(device, CALLED, OWN).reach(KITCHEN).caller_id == OWN
        assert Parties(device, CALLED).reach(KITCHEN).caller_id == CALLED
        assert Parties(device, "sip:desk@acme.sip.twilio.com", OWN).reach(KITCHEN).caller_id == OWN


@pytest.mark.parametrize("caller", [*WITHHELD, *DEVICES])
def test_without_a_number_nobody_can_be_called(caller: str) -> None:
    with pytest.raises(NoCallerId, match="TWILIO_PHONE_NUMBER"):
        Parties(caller, "sip:desk@acme.sip.twilio.com").reach(KITCHEN)
    assert Parties(caller, "sip:desk@acme.sip.twilio.com").number is None


def test_the_ends_of_a_call_that_we_placed() -> None:
    placed = Parties.of(OWN, THEIRS, inbound=False, own=None)
    assert (placed.other_party, placed.number) == (THEIRS, OWN)
