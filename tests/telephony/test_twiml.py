"""TwiML documents: their content, and that none of them ends in silence."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import TwimlError
from telephony.twilio import twiml
from telephony.twilio.caller_id import Destination, Parties
from telephony.twilio.refusal import Refusal, parse_refusal
from telephony.twilio.twiml import StreamTarget

TARGET = StreamTarget(
    "wss://a.example/i/x/media-stream",
    "https://a.example/i/x/after-stream",
    "https://a.example/i/x/stream-status",
    {"token": "t", "caller": "+14155550100"},
)


def verbs(document: str) -> list[str]:
    return [verb.tag for verb in ElementTree.fromstring(document)]


def test_a_stream_names_the_address_for_its_end() -> None:
    document = ElementTree.fromstring(twiml.connect_stream(TARGET))
    connect, stream = document.find("Connect"), document.find("Connect/Stream")
    assert connect is not None
    assert stream is not None
    assert connect.attrib == {"action": TARGET.action}
    assert stream.attrib == {"url": TARGET.url, "statusCallback": TARGET.status_callback}
    assert {p.get("name"): p.get("value") for p in stream} == dict(TARGET.parameters)


def test_digits_are_played_before_the_stream_comes_back() -> None:
    document = twiml.play_digits("ww12#", TARGET)
    assert verbs(document) == ["Play", "Connect", "Hangup"]
    assert ElementTree.fromstring(document).find("Play").get("digits") == "ww12#"


def test_a_parameter_is_never_cut() -> None:
    fits, too_long = {"token": "x" * 494}, {"token": "x" * 495}
    assert "x" * 494 in twiml.connect_stream(StreamTarget("wss://a.example/s", parameters=fits))
    with pytest.raises(TwimlError, match="token"):
        twiml.connect_stream(StreamTarget("wss://a.example/s", parameters=too_long))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (twiml.hang_up(), ["Hangup"]),
        (twiml.apologise("Sorry."), ["Say", "Hangup"]),
        (twiml.apologise("Sorry.", Destination("+14155550123")), ["Say", "Dial", "Hangup"]),
        (twiml.dial(Destination("+14155550123"), action="https://a.example/after-dial"), ["Dial", "Hangup"]),
        (twiml.conference("CA1"), ["Dial", "Hangup"]),
    ],
)
def test_documents(document: str, expected: list[str]) -> None:
    assert verbs(document) == expected


def test_a_transfer_goes_to_a_number_or_a_sip_address() -> None:
    number = ElementTree.fromstring(twiml.dial(Destination("+14155550123"), action="https://a.example/d")).find(
        "Dial/Number"
    )
    sip = ElementTree.fromstring(twiml.dial(Destination("sip:desk@a.example"))).find("Dial/Sip")
    assert number is not None and number.text == "+14155550123"
    assert sip is not None and sip.text == "sip:desk@a.example"
    assert set(number.attrib) == set(), "nobody is told of a leg without an address"


@pytest.mark.parametrize("to", ["+14155550123", "sip:desk@a.example"])
def test_a_transfer_reports_the_leg_that_is_dialled(to: str) -> None:
    (leg,) = ElementTree.fromstring(twiml.dial(Destination(to), status_callback="https://a.example/call-status"))[0]
    result = {"statusCallback": "https://a.example/call-status", "statusCallbackEvent": "answered completed"}
    assert leg.attrib == result


@pytest.mark.parametrize(
    ("text", "refusal", "verb"),
    [
        ("busy", Refusal("busy"), "Reject"),
        ("queue:front desk", Refusal("queue", "front desk"), "Enqueue"),
        ("https://other.example/voice?x=1", Refusal("url", "https://other.example/voice?x=1"), "Redirect"),
        ("+14155550123", Refusal("number", "+14155550123"), "Dial"),
        ("say: Call again later.", Refusal("say", "Call again later."), "Say"),
    ],
)
def test_refusals(text: str, refusal: Refusal, verb: str) -> None:
    assert parse_refusal(text) == refusal
    assert verbs(twiml.refuse(refusal, Parties("+14155550100", "+14155550199")))[0] == verb


@pytest.mark.parametrize("text", ["", "bsy", "queue:", "say: ", "0123", "ftp://x", "https://"])
def test_what_is_no_refusal_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="busy"):
        parse_refusal(text)


@given(st.text(max_size=200))
def test_whatever_a_caller_calls_himself_the_document_is_xml(name: str) -> None:
    document = twiml.connect_stream(StreamTarget("wss://a.example/s", parameters={"caller": name}))
    parameter = ElementTree.fromstring(document.encode()).find("Connect/Stream/Parameter")
    assert parameter is not None
