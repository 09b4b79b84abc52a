"""The details of a call in Twilio's webhook reach the agent, in whatever process the stream arrives."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from realtime_core import RealtimeAgent
from telephony import CallInfo
from telephony.application.app import create_app
from telephony.settings import Settings
from telephony.simulator import Handset, SimulatedTwilio
from telephony.twilio import twiml
from telephony.twilio.details import own_query, pack, unpack
from telephony.twilio.media_stream import Start
from telephony.twilio.twiml import StreamTarget
from tests.support.web_clients import FORM, client, signed, stream

TOLD = {
    "ForwardedFrom": "+14155550177",
    "CallerName": "ADA LOVELACE",
    "StirVerstat": "TN-Validation-Passed-A",
    "SipHeader_X-Account": "42 & <more>",
    "SipHeader_X-Token": "t" * 900,
}
QUERY = "campaign=spring&ref=a%26b&jwt=" + "j" * 800


def expected(info: CallInfo) -> None:
    assert info.forwarded_from == "+14155550177"
    assert info.caller_name == "ADA LOVELACE"
    assert info.stir_verstat == "TN-Validation-Passed-A"
    assert info.sip_headers == {"X-Account": "42 & <more>", "X-Token": "t" * 900}
    assert info.query == {"campaign": "spring", "ref": "a&b", "jwt": "j" * 800}
    assert info.parameters == {}


def start(parameters: dict[str, str]) -> Start:
    raw = {"event": "start", "start": {"callSid": "CA1"}}
    return Start("MZ1", "CA1", "AC1", ("inbound",), "audio/x-mulaw", 8000, 1, parameters, 1, raw)


def incoming(twilio: TestClient, path: str, **fields: str) -> dict[str, str]:
    form = {**FORM, **fields}
    return stream(twilio.post(path, data=form, headers=signed(path, form)))[1]


def test_the_stream_gives_another_process_all_that_the_webhook_got() -> None:
    with client() as twilio:
        parameters = incoming(twilio, f"/incoming-call?{QUERY}", **TOLD)
    assert all(len(name) + len(value) < 500 for name, value in parameters.items()), "Twilio takes no more"
    expected(CallInfo.of(start(parameters)))
    assert CallInfo.of(start(parameters)).caller == FORM["From"]


def test_a_get_has_twilios_fields_beside_our_own_query() -> None:
    with client() as twilio:
        path = "/incoming-call?campaign=spring&CallSid=CA1&From=%2B15550001&To=%2B15550002&CallerName=ADA&FromCity=X"
        info = CallInfo.of(start(stream(twilio.get(path, headers=signed(path, {})))[1]))
    assert info.query == {"campaign": "spring"}
    assert info.caller_name == "ADA"
    assert own_query({"To": "+1", "Tool": "x", "Called": "+1", "Calls": "2"}, is_form=True).keys() >= {"Tool"}


def test_call_details_that_are_too_long_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with client() as twilio, caplog.at_level(logging.WARNING):
        fields = {f"SipHeader_X-{n}": "x" * 3000 for n in range(4)}
        parameters = incoming(twilio, "/incoming-call?name%00=1&" + "q" * 300 + "=2&a=b", CallerName="ADA", **fields)
    info = CallInfo.of(start(parameters))
    assert info.caller_name == "ADA" and info.query == {"a": "b"} and info.sip_headers
    lines = [it.getMessage() for it in caplog.records]
    left_out = "".join(line for line in lines if "too long for the parameters of its stream" in line)
    assert "query:name" in left_out and "q" * 300 in left_out


def test_a_document_for_twilios_api_keeps_to_its_length() -> None:
    info = CallInfo("CA1", caller="+14155550100", called="+14155550199", query={f"q{n}": "&" * 400 for n in range(20)})
    packed, left_out = info.stream_parameters(1500)
    document = twiml.connect_stream(StreamTarget("wss://phone.example.com/media-stream", parameters=packed))
    assert len(document) < 2500 and left_out


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)


@given(st.dictionaries(texts.filter(bool), st.one_of(texts, st.integers(1, 2000).map(lambda n: "é<" * n)), max_size=6))
def test_details_come_back_as_they_were(details: dict[str, str]) -> None:
    details = {twiml.clean(name): twiml.clean(value) for name, value in details.items() if twiml.clean(name)}
    packed, left_out = pack(details, 100_000)
    document = twiml.connect_stream(StreamTarget("wss://a.example/", parameters={**packed, "mine": "1"}))
    element = ElementTree.fromstring(document).find("Connect/Stream")
    assert element is not None
    got, others = unpack({it.get("name", ""): it.get("value", "") for it in element})
    assert others == {"mine": "1"}
    assert {**got, **{name: details[name] for name in left_out}} == details


@pytest.mark.virtual_time
@pytest.mark.parametrize("warm", [True, False])
async def test_the_agent_gets_the_call_details(warm: bool) -> None:
    known: list[CallInfo] = []

    def pick(info: CallInfo) -> RealtimeAgent:
        known.append(info)
        return RealtimeAgent(name="Desk")

    live: list[CallInfo] = []

    async def caller(handset: Handset) -> None:
        await handset.agent_speaks()
        live.extend(call.info for call in app.state.phone.registry)

    settings = Settings(telephony_model="scripted", telephony_allow_unsigned=True, telephony_warm=warm)
    app = create_app(pick, settings=settings, greeting="Greet.")
    async with SimulatedTwilio() as twilio, twilio.serving(app) as address:
        twilio.add_number("+14155550199", voice_url=f"{address}/incoming-call?{QUERY}")
        await twilio.ring(caller=caller, fields=TOLD)
        await app.state.phone.registry.empty()
    expected(known[0])
    expected(live[0])
