"""Stream tokens: one call, a short life, one use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.sources import Sources
from telephony.call.registry import Registry
from telephony.errors import StreamRefused
from telephony.settings import load_settings
from telephony.twilio.media_stream import Start
from telephony.twilio.stream_token import StreamToken, TokenRefused, mint, verify
from telephony.web.hooks import Hooks
from telephony.web.stream_admission import StreamAdmission

KEY = b"a key"
TOKEN = StreamToken("CA1", 1000, "abcd")


def test_a_token_opens_its_own_call_until_it_expires() -> None:
    text = mint(KEY, TOKEN)
    assert len("token") + len(text) < 500, "Twilio's limit for a parameter"
    assert verify(KEY, text, call_sid="CA1", now=999) == TOKEN
    for key, call_sid, now in ((KEY, "CA1", 1000), (KEY, "CA2", 999), (b"other", "CA1", 999)):
        with pytest.raises(TokenRefused):
            verify(key, text, call_sid=call_sid, now=now)


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        verify(KEY, text, call_sid="CA1", now=0)


def start(call_sid: str, parameters: dict[str, str], account_sid: str = "AC1") -> Start:
    return Start(
        stream_sid="MZ1",
        call_sid=call_sid,
        account_sid=account_sid,
        tracks=("inbound",),
        encoding="audio/x-mulaw",
        sample_rate=8000,
        channels=1,
        parameters=parameters,
        sequence_number=1,
        raw={},
    )


@pytest.mark.real_time
async def test_a_stream_is_admitted_once() -> None:
    settings = load_settings(
        public_url="https://a.example", twilio_auth_token="12345", telephony_model="scripted", twilio_account_sid="AC1"
    )
    registry = Registry(10)
    admission = StreamAdmission(settings, registry, Sources())
    parameters = {"caller": "+15550001", **admission.parameters("CA1")}
    for wrong in (start("CA2", parameters), start("CA1", {}), start("CA1", parameters, "AC2")):
        with pytest.raises(StreamRefused):
            await admission.admit(wrong)
    info = await admission.admit(start("CA1", parameters))
    assert (info.caller, dict(info.parameters)) == ("+15550001", {})
    with pytest.raises(StreamRefused, match="used"):
        await admission.admit(start("CA1", parameters))
    registry.draining = True
    with pytest.raises(StreamRefused, match="room"):
        await admission.admit(start("CA3", admission.parameters("CA3")))


@pytest.mark.real_time
@pytest.mark.parametrize(
    "sid",
    ["", " ", "CA 1", "CA1\n", "../../etc/passwd", "CA1/x", "CA\0", pytest.param("C" * 10_000, id="10 kB"), "CA\ufffd"],
)
async def test_a_stream_with_an_id_that_twilio_never_sends_is_refused_without_signatures_too(sid: str) -> None:
    admission = StreamAdmission(load_settings(), Registry(10), Sources())
    with pytest.raises(StreamRefused, match="not an id of Twilio"):
        await admission.admit(start(sid, {}))
    with pytest.raises(StreamRefused, match="not an id of Twilio"):
        await admission.admit(replace(start("CA1", {}), stream_sid=sid))


@pytest.mark.real_time
async def test_a_stream_that_lands_elsewhere_is_served_and_a_call_that_comes_back_has_its_place() -> None:
    settings = load_settings(
        public_url="https://a.example", twilio_auth_token="12345", telephony_model="scripted", telephony_max_calls=1
    )
    here, there = (StreamAdmission(settings, Registry(1), Sources()) for _ in range(2))
    assert (await there.admit(start("CA1", here.parameters("CA1")))).sid == "CA1", "the token says all that is needed"

    registry = Registry(1)
    calls = Hooks.of(registry)
    admission = StreamAdmission(settings, registry, Sources(), calls=calls)
    registry.draining = True
    with pytest.raises(StreamRefused, match="room"):
        await admission.admit(start("CA1", admission.parameters("CA1")))
    calls.knows = lambda call_sid: call_sid == "CA1"
    assert (await admission.admit(start("CA1", admission.parameters("CA1")))).sid == "CA1"
    with pytest.raises(StreamRefused, match="room"):
        await admission.admit(start("CA2", admission.parameters("CA2")))
