"""Twilio's webhooks and our answers: new calls, the TwiML after a stream, callbacks, and never an error page."""

from __future__ import annotations

import asyncio
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from realtime_core import RealtimeAgent
from realtime_core.model import RealtimeModelConfig
from telephony import create_app, load_settings
from telephony.call.leg.next_twiml import StreamEnd
from telephony.twilio.callbacks import CallStatus, DialResult, MachineDetection, StreamStatus
from telephony.web.loop_lag import LoopLag
from tests.support.web_clients import FORM, PUBLIC, client, phone_of, post, signed, stream, verbs


def test_an_incoming_call_gets_a_stream_to_its_own_process() -> None:
    with client() as twilio:
        response = post(twilio, "/incoming-call")
        assert verbs(response) == ["Connect", "Hangup"]
        url, parameters = stream(response)
        assert url == "wss://phone.example.com/i/here/media-stream"
        assert (parameters["caller"], parameters["called"]) == ("+15550001", "+15550002")
        assert parameters["token"]
        connect = ElementTree.fromstring(response.text).find("Connect")
        assert connect is not None and connect.get("action") == f"{PUBLIC}/i/here/after-stream"
        status = connect[0].get("statusCallback")
        assert status == f"{PUBLIC}/i/here/stream-status"


def test_every_process_answers_for_every_other() -> None:
    with client(telephony_instance="b") as twilio:
        assert stream(post(twilio, "/i/a/incoming-call"))[0].endswith("/i/b/media-stream")
        assert verbs(post(twilio, "/i/a/after-stream")) == ["Say", "Hangup"]
        assert post(twilio, "/i/a/call-status", CallStatus="completed").status_code == 204


def test_without_a_name_a_process_gets_one() -> None:
    with client(telephony_instance=None) as twilio, client(telephony_instance=None) as other:
        names = [re.search("/i/([0-9a-f]+)/", stream(post(it, "/incoming-call"))[0]) for it in (twilio, other)]
        assert names[0] and names[1] and names[0][1] != names[1][1]


def test_each_number_has_its_agent() -> None:
    agents: dict[str, Any] = {
        "+1 (555) 000-2": RealtimeAgent(name="Two"),
        "sip:desk@a.example": lambda call: RealtimeAgent(name="S"),
    }
    with client(agent=agents, telephony_unknown_number="Nobody lives here.") as twilio:
        assert verbs(post(twilio, "/incoming-call")) == ["Connect", "Hangup"]
        assert verbs(post(twilio, "/incoming-call", To="sip:desk@a.example")) == ["Connect", "Hangup"]
        unknown = post(twilio, "/incoming-call", To="+15550003")
        assert verbs(unknown) == ["Say", "Hangup"] and "Nobody lives here." in unknown.text
        assert b'telephony_calls_refused_total{reason="number"} 1.0' in phone_of(twilio).metrics.render()


@pytest.mark.parametrize(
    ("setting", "verb"), [("busy", "Reject"), ("queue:desk", "Enqueue"), ("https://b.example/voice", "Redirect")]
)
def test_a_call_too_many(setting: str, verb: str) -> None:
    with client(telephony_max_calls=1, telephony_when_full=setting) as twilio:
        assert verbs(post(twilio, "/incoming-call"))[0] == "Connect"
        assert verbs(post(twilio, "/incoming-call"))[0] == "Connect", "Twilio asks again for the same call"
        assert verbs(post(twilio, "/incoming-call", CallSid="CA2"))[0] == verb


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_status_callback_at_the_voice_webhook_begins_no_call(status: str, caplog: pytest.LogCaptureFixture) -> None:
    """An account whose numbers have the same address for the voice webhook and for the status callback."""
    with client(telephony_max_calls=1) as twilio:
        for sid in ("CA1", "CA2"):
            assert verbs(post(twilio, "/incoming-call", CallSid=sid, CallStatus=status)) == ["Hangup"]
        assert verbs(post(twilio, "/incoming-call", CallSid="CA3"))[0] == "Connect", "the only place is taken"
    assert [r.getMessage() for r in caplog.records if "status callback" in r.getMessage()] == [
        f"A status callback ({status}) came to '/incoming-call', which answers calls. Set the status callback of the "
        "number to /call-status, or remove it."
    ]


def test_a_caller_too_often() -> None:
    with client(telephony_calls_per_caller_hour=2, telephony_when_limited="say:Later.") as twilio:
        answers = [verbs(post(twilio, "/incoming-call", CallSid=f"CA{n}"))[0] for n in range(3)]
        assert answers == ["Connect", "Connect", "Say"]
        assert verbs(post(twilio, "/incoming-call", CallSid="CA9", From="+1777"))[0] == "Connect"


def test_a_process_that_drains_or_is_late() -> None:
    elsewhere = "https://other.example/incoming-call"
    with client(telephony_when_draining=elsewhere, telephony_max_loop_lag_s=1000.0) as twilio:
        phone = phone_of(twilio)
        phone.lag.seconds = 1e6  # it decays
        assert verbs(post(twilio, "/incoming-call"))[0] == "Reject"
        assert twilio.get("/readyz").status_code == 503
        phone.registry.draining = True
        assert verbs(post(twilio, "/incoming-call"))[0] == "Redirect"


def test_a_late_event_loop_refuses_calls_from_its_limit_on() -> None:
    with client(telephony_max_loop_lag_s=0.25) as twilio:
        phone, requested = phone_of(twilio), []

        async def ask() -> None:
            for seconds in (0.25, 0.26):
                phone.lag.seconds = seconds  # nothing measures between here and the answer
                requested.append(phone.takes_calls)

        twilio.portal.call(ask)
    assert requested == [True, False]


@pytest.mark.real_time
async def test_the_delay_of_the_event_loop_is_measured() -> None:
    lag = LoopLag()
    watching = asyncio.create_task(lag.watch())
    try:
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is late
        while not lag.seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert lag.seconds >= 0.24
    finally:
        watching.cancel()


def test_the_load_of_the_machine_costs_no_other_test_a_call() -> None:
    app = create_app(RealtimeAgent(name="Desk"), settings=load_settings(telephony_warm=False))
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 5000)) as twilio:
        phone_of(twilio).lag.seconds = 100.0
        assert verbs(twilio.post("/incoming-call", data=FORM))[0] == "Connect"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (None, ["Say", "Dial", "Hangup"]),
        (StreamEnd("goodbye"), ["Hangup"]),
        (StreamEnd("lost", reattached=1), ["Connect", "Hangup"]),
        (StreamEnd("lost", reattached=2), ["Say", "Dial", "Hangup"]),
        (StreamEnd("transfer", twiml="<Response><Dial/></Response>"), ["Dial"]),
    ],
)
def test_after_a_stream(end: StreamEnd | None, expected: list[str]) -> None:
    with client(telephony_fallback_number="+14155550123") as twilio:
        phone_of(twilio).hooks.stream_end = {"CA1": end}.get
        form = {"CallSid": "CA1"}  # nothing else is relied on
        path = "/i/here/after-stream"
        assert verbs(twilio.post(path, data=form, headers=signed(path, form))) == expected


def test_a_new_stream_has_a_token_of_its_own() -> None:
    with client() as twilio:
        phone_of(twilio).hooks.stream_end = lambda call_sid: StreamEnd("lost")
        first, second = (stream(post(twilio, "/after-stream"))[1]["token"] for _ in range(2))
        assert first != second


def test_after_a_transfer() -> None:
    outcome: list[DialResult] = []
    with client() as twilio:
        hooks = phone_of(twilio).hooks
        hooks.dial_ended = outcome.append
        assert verbs(post(twilio, "/after-dial", DialCallStatus="no-answer")) == ["Say", "Hangup"]
        hooks.stream_end = lambda call_sid: StreamEnd("transfer")
        assert verbs(post(twilio, "/after-dial", DialCallStatus="no-answer")) == ["Connect", "Hangup"]
        assert verbs(post(twilio, "/after-dial", DialCallStatus="completed")) == ["Hangup"]
    assert [result.status for result in outcome] == ["no-answer", "no-answer", "completed"]


def test_callbacks_are_reported_once() -> None:
    outcome: list[CallStatus | StreamStatus | MachineDetection] = []
    with client() as twilio:
        hooks = phone_of(twilio).hooks
        hooks.call_status = hooks.stream_status = hooks.machine_detected = outcome.append
        for number in ("1", "0", "1"):
            answer = post(twilio, "/call-status", CallStatus="ringing", SequenceNumber=number)
            assert (answer.status_code, answer.content) == (204, b"")
        post(twilio, "/stream-status", StreamEvent="stream-error", StreamError="31920")
        post(twilio, "/amd-status", AnsweredBy="human")
    assert [type(it).__name__ for it in outcome] == ["CallStatus", "CallStatus", "StreamStatus", "MachineDetection"]


@pytest.mark.parametrize("path", ["/incoming-call", "/after-stream", "/after-dial"])
def test_a_failure_of_the_application_is_answered_with_an_apology(path: str) -> None:
    with client(telephony_apology="So sorry.") as twilio:

        def broken(call_sid: str) -> StreamEnd | None:
            raise RuntimeError

        phone = phone_of(twilio)
        phone.hooks.stream_end = broken
        phone.routing.serves = broken  # type: ignore[method-assign, assignment]
        response = post(twilio, path)
        assert verbs(response) == ["Say", "Hangup"] and "So sorry." in response.text


def test_what_is_no_form_of_twilios() -> None:
    with client(public=False) as local:
        assert local.post("/incoming-call", content=b"x" * 70_000).status_code == 413
        assert local.post("/incoming-call", content=b"CallSid=\xff\xfe").status_code == 400
        assert local.post("/incoming-call", content=b"a=1&" * 300).status_code == 400
        for sid in ("", "CA1\nx", "C" * 65):
            assert local.post("/incoming-call", data={**FORM, "CallSid": sid}).status_code == 400
        long = local.post("/incoming-call", data={**FORM, "From": "sip:" + "x" * 600})
        assert stream(long)[1]["caller"] == ""


def test_addresses_are_served_to_the_character() -> None:
    with client(public=False) as local:
        for path in ("/incoming-call/", "/i/here/incoming-call/", "/i//incoming-call", "/i/a/b/incoming-call"):
            assert local.post(path, data=FORM, follow_redirects=False).status_code == 404


def test_figures() -> None:
    with client(public=False) as local:
        local.post("/incoming-call", data={"CallSid": "CAsecret", "From": "+15551234567", "To": "+1"})
        phone = phone_of(local)
        phone.metrics.response_latency(0.4)
        phone.metrics.barge_in()
        text = local.get("/metrics").text
        assert 'telephony_response_latency_seconds_bucket{le="0.5"} 1.0' in text
        assert "telephony_calls_live 0.0" in text and "telephony_barge_ins_total 1.0" in text
        assert "CAsecret" not in text and "15551234567" not in text


def test_the_second_leg_of_a_transfer_decides() -> None:
    outcome: list[tuple[str, str]] = []
    with client() as twilio:
        gone = post(twilio, "/i/elsewhere/leg-key/abcd", Digits="1")
        assert verbs(gone) == ["Say", "Hangup"], "no such transfer here"

        def leg_key(leg_id: str, key: str) -> str:
            outcome.append((leg_id, key))
            return "<Response><Hangup/></Response>"

        phone_of(twilio).hooks.leg_key = leg_key
        assert verbs(post(twilio, "/i/here/leg-key/abcd", Digits="1")) == ["Hangup"]
        assert verbs(post(twilio, "/i/here/leg-key/abcd")) == ["Hangup"]
    assert outcome == [("abcd", "1"), ("abcd", "")]


def test_a_call_is_warmed_by_its_webhook_and_by_nothing_unsigned() -> None:
    async def slow(url: str, headers: Mapping[str, str]) -> Any:
        await asyncio.Event().wait()

    model_config = RealtimeModelConfig(transport=slow, api_key="none")
    with client(telephony_warm=True, telephony_max_calls=1, model_config=model_config) as twilio:
        registry = phone_of(twilio).registry
        twilio.post("/incoming-call", data=FORM)
        assert len(registry) == 0
        post(twilio, "/after-stream")
        assert len(registry) == 0, "only a new call"
        post(twilio, "/incoming-call")
        assert [call.sid for call in registry] == ["CA1"]
        assert next(iter(registry)).caller == "+15550001"
        assert verbs(post(twilio, "/incoming-call", CallSid="CA2")) == ["Reject"]
