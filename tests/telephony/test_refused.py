"""Refused requests and streams: one line in the log, and no connection to the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from realtime_core.connection import Connection
from realtime_core.model import RealtimeModelConfig
from realtime_core.sources import Sources
from tests.support.web_clients import FORM, PUBLIC, TOKEN, client, stream

SHARED = "the-shared-key-secret"
SHA256 = {"X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
WSS = PUBLIC.replace("https", "wss")
ACCOUNT = "AC1"


class Clock(Sources):
    """The date, and the time that was added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.later_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.later_s)


class Desk:
    """The application, and how often a model was dialled for it."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.dialled = 0
        self.clock = Clock()
        self.twilio: TestClient

    async def dial(self, url: str, headers: Mapping[str, str]) -> Connection:
        self.dialled += 1
        await asyncio.Event().wait()
        raise AssertionError

    def signed(self, url: str, form: Mapping[str, str]) -> dict[str, str]:
        if self.scheme == "HMAC-SHA1":
            return {"X-Twilio-Signature": str(RequestValidator(TOKEN).compute_signature(url, form))}
        signature = RequestValidator(SHARED).compute_signature(url, form, "HMAC_SHA256")
        return {"X-Twilio-Signature": str(signature), **SHA256}

    def post(self, headers: dict[str, str] | None = None, form: Mapping[str, str] = FORM) -> Any:
        given = self.signed(f"{PUBLIC}/incoming-call", form) if headers is None else headers
        return self.twilio.post("/incoming-call", data=form, headers=given)

    def ticket(self) -> dict[str, str]:
        """The stream's parameters that a signed webhook got."""
        return stream(self.post())[1]

    @contextmanager
    def started(self, parameters: dict[str, str], call_sid: str, account_sid: str) -> Iterator[WebSocketTestSession]:
        """A stream, as Twilio opens it."""
        start = {
            "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
            "start": {"streamSid": "MZ1", "callSid": call_sid, "accountSid": account_sid, "tracks": ["inbound"],
                      "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                      "customParameters": parameters},
        }  # fmt: skip
        headers = self.signed(f"{WSS}/media-stream", {})
        with self.twilio.websocket_connect("/media-stream", headers=headers) as socket:
            socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            socket.send_json(start)
            yield socket

    def let_in(self, parameters: dict[str, str]) -> None:
        """Admits a call until the model is dialled. Then Twilio ends the stream."""
        with self.started(parameters, "CA1", ACCOUNT) as socket:
            for _ in range(1000):
                if self.dialled:
                    break
                self.twilio.get("/healthz")
            socket.send_json({"event": "stop", "sequenceNumber": "2", "streamSid": "MZ1", "stop": {}})
            while socket.receive()["type"] != "websocket.close":
                pass
        assert self.dialled == 1

    def refused(self, parameters: dict[str, str], *, call_sid: str = "CA1", account_sid: str = ACCOUNT) -> None:
        with self.started(parameters, call_sid, account_sid) as socket:
            assert socket.receive() == {"type": "websocket.close", "code": 1008, "reason": "refused"}


@pytest.fixture(params=["HMAC-SHA1", "SharedKey"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with opened(Desk(request.param)) as desk:
        yield desk


@contextmanager
def opened(desk: Desk, **settings: Any) -> Iterator[Desk]:
    model_config = RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none", transport=desk.dial)
    given = {"twilio_shared_key_secret": SHARED, "twilio_account_sid": ACCOUNT, **settings}
    with client(model_config=model_config, sources=desk.clock, **given) as desk.twilio:
        yield desk


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def check_refused(desk: Desk, caplog: pytest.LogCaptureFixture, says: str, *, dialled: int = 0) -> None:
    (line,) = warnings(caplog)
    assert says in line
    assert TOKEN not in line and SHARED not in line
    assert desk.dialled == dialled


def test_what_is_signed_and_has_its_token_is_let_in(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.let_in(desk.ticket())
    assert not warnings(caplog)


def test_an_unsigned_webhook(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    assert desk.post({}).status_code == 403
    check_refused(desk, caplog, "it has no X-Twilio-Signature")


def test_a_webhook_with_another_secrets_signature(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    forged = Desk("HMAC-SHA1" if desk.scheme == "SharedKey" else "SharedKey")
    headers = forged.signed(f"{PUBLIC}/incoming-call", FORM)
    headers.update(
        {"X-Twilio-Webhooks-Signature-Settings": "algorithm=HMAC_SHA1"} if SHA256.keys() & headers else SHA256
    )
    assert desk.post(headers).status_code == 403, "the scheme is the header's, the secret the scheme's"
    check_refused(desk, caplog, "its signature does not fit")


def test_an_unsigned_upgrade(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WebSocketDisconnect), desk.twilio.websocket_connect("/media-stream"):
        pass
    check_refused(desk, caplog, "it has no X-Twilio-Signature")


def test_an_upgrade_signed_for_another_address(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for base in (PUBLIC, "wss://other.example"):
        caplog.clear()
        headers = desk.signed(f"{base}/media-stream", {})
        with pytest.raises(WebSocketDisconnect), desk.twilio.websocket_connect("/media-stream", headers=headers):
            pass
    assert not warnings(caplog), "the second of a kind within a minute is counted, and not told"
    assert desk.dialled == 0


def test_a_stream_without_a_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.refused({})
    check_refused(desk, caplog, "the stream token is missing or was not made by this application")


def test_a_used_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    ticket = desk.ticket()
    desk.let_in(ticket)
    caplog.clear()
    desk.refused(ticket)
    check_refused(desk, caplog, "the stream token has been used", dialled=1)


def test_a_token_of_another_call(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.refused(desk.ticket(), call_sid="CA2")
    check_refused(desk, caplog, "the stream token belongs to another call")


def test_a_token_whose_call_was_changed(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    ticket = desk.ticket()
    forged = ticket | {"token": ticket["token"].replace(".CA1.", ".CA2.")}
    desk.refused(forged, call_sid="CA2")
    check_refused(desk, caplog, "the stream token is missing or was not made by this application")


def test_an_expired_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    ticket = desk.ticket()
    desk.clock.later_s = 61
    desk.refused(ticket)
    check_refused(desk, caplog, "the stream token has expired")


def test_a_stream_of_another_account(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.refused(desk.ticket(), account_sid="AC2")
    check_refused(desk, caplog, "another account")


def test_a_caller_who_calls_too_often_and_a_day_that_is_spent(caplog: pytest.LogCaptureFixture) -> None:
    """The warm connection is made for calls that are taken, and for no others."""
    warm = {"telephony_warm": True, "telephony_calls_per_caller_hour": 2, "telephony_minutes_per_day": 1}
    with opened(Desk("HMAC-SHA1"), **warm) as desk:
        for number in range(2):
            assert "<Connect" in desk.post(form={**FORM, "CallSid": f"CA{number}"}).text
        desk.twilio.get("/healthz")
        assert desk.dialled == 2
        assert "<Reject" in desk.post(form={**FORM, "CallSid": "CA2"}).text
        desk.clock.later_s = 61  # two calls have gone on since
        assert "<Reject" in desk.post(form={**FORM, "CallSid": "CA3", "From": "+15550009"}).text
        desk.twilio.get("/healthz")
        assert desk.dialled == 2
    refused = [line for line in warnings(caplog) if "Refused" in line]
    assert refused == ["Refused a call: caller.", "Refused a call: budget."]
