"""Refused requests: each refusal of Twilio leaves one log line with the remedy, and requests of outsiders cost
little."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from telephony.web.forms import MAX_FIELDS, MAX_FORM_BYTES, Form
from tests.support.web_clients import FORM, PUBLIC, TOKEN, client, phone_of, post, signed, verbs

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
BOGUS = {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}


@pytest.fixture
def twilio() -> Iterator[TestClient]:
    with client() as test_client:
        yield test_client


@pytest.fixture
def local() -> Iterator[TestClient]:
    with client(public=False) as test_client:
        yield test_client


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return lines


# --- what Twilio is refused leaves a line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("/", f"Set the number's voice webhook to {PUBLIC}/incoming-call"),
        ("/twilio/voice", f"Set the number's voice webhook to {PUBLIC}/incoming-call"),
        ("/incoming-call/", "without a slash at its end"),
        ("/voice/incoming-call", "let the proxy remove it, and let PUBLIC_URL end with it"),
        ("/media-stream", "the proxy forwards WebSocket upgrades"),
        ("/i/here/media-stream", "the proxy forwards WebSocket upgrades"),
    ],
)
def test_a_path_that_is_not_there(twilio: TestClient, caplog: pytest.LogCaptureFixture, path: str, cure: str) -> None:
    assert post(twilio, path).status_code == 404
    (line,) = warnings(caplog)
    assert repr(path) in line and cure in line
    get = f"{path}?CallSid=CA1"
    assert twilio.get(get, headers=signed(get, {})).status_code == 404
    assert not warnings(caplog), "the same path within a minute is counted"


def test_a_method_that_is_not_taken(twilio: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert twilio.put("/incoming-call", headers=signed("/incoming-call", {})).status_code == 405
    (line,) = warnings(caplog)
    assert "PUT '/incoming-call'" in line


@pytest.mark.parametrize("prefix", ["/voice", "/i/here/voice"])
def test_a_stream_to_a_path_that_is_not_there(
    twilio: TestClient, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    path = prefix + "/media-stream"
    headers = signed(path, {}, base=PUBLIC.replace("https", "wss"))
    with pytest.raises(WebSocketDisconnect), twilio.websocket_connect(path, headers=headers):
        pass
    (line,) = warnings(caplog)
    assert repr(path) in line and "A proxy must forward the path" in line


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("CallSid=CA1&x=" + "y" * MAX_FORM_BYTES, 413, f"more than {MAX_FORM_BYTES} bytes"),
        ("CallSid=CA1&" + "a=b&" * MAX_FIELDS, 400, f"more than {MAX_FIELDS} fields"),
        ("From=x", 400, "it has no CallSid"),
        ("CallSid=CA1%0a", 400, "it has no CallSid"),
    ],
)
def test_a_form_that_is_not_read(
    twilio: TestClient, caplog: pytest.LogCaptureFixture, body: str, status: int, says: str
) -> None:
    form = {"CallSid": "CA1\n"} if "%0a" in body else {"From": "x"}
    headers = FORM_TYPE | signed("/incoming-call", form)
    assert twilio.post("/incoming-call", content=body, headers=headers).status_code == status
    (line,) = warnings(caplog)
    assert "'/incoming-call'" in line and says in line


def test_a_local_webhook_to_a_wrong_path(local: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    assert local.post("/voice", data=FORM).status_code == 404
    (line,) = warnings(caplog)
    assert "Set the number's voice webhook to http://127.0.0.1:8000/incoming-call" in line
    assert local.get("/favicon.ico").status_code == 404
    assert not warnings(caplog), "a browser's own requests are no webhooks"


@pytest.mark.parametrize("name", ["Jürgen", "J�rgen"])
def test_a_byte_that_is_not_utf_8_is_read_as_it_is_signed(twilio: TestClient, name: str) -> None:
    headers = FORM_TYPE | signed("/incoming-call", {"CallSid": "CA1", "CallerName": name})
    response = twilio.post("/incoming-call", content="CallSid=CA1&CallerName=J%FCrgen", headers=headers)
    assert verbs(response)[0] == "Connect"
    forged = FORM_TYPE | signed("/incoming-call", {"CallSid": "CA1", "CallerName": "Other"})
    assert twilio.post("/incoming-call", content="CallSid=CA1&CallerName=J%FCrgen", headers=forged).status_code == 403


# --- outsiders' noise ------------------------------------------------------------------------------------------------


@contextmanager
def counted_signatures() -> Iterator[list[str]]:
    made: list[str] = []
    compute = RequestValidator.compute_signature

    def counting(self: RequestValidator, uri: str, *args: object) -> str:
        made.append(uri)
        return str(compute(self, uri, *args))

    with patch.object(RequestValidator, "compute_signature", counting):
        yield made


@pytest.mark.parametrize("path", ["/incoming-call", "/call-status", "/i/here/after-stream", "/nothing", "/"])
def test_a_flood_of_bogus_signatures_is_checked_once_each(
    twilio: TestClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with counted_signatures() as made:
        for _ in range(60):
            assert twilio.post(path, data=FORM, headers=BOGUS).status_code in (403, 404)
    assert len(warnings(caplog)) == 1
    assert len(made) <= 60 * 2 + 10 * 8, "each check tries the URL with its port and without; few are explained"


def test_without_a_signature_no_body_is_read(twilio: TestClient) -> None:
    with patch("telephony.web.webhooks.read_forms", side_effect=AssertionError("the body was read")):
        assert twilio.post("/incoming-call", data=FORM).status_code == 403
        assert twilio.post("/nothing", data=FORM).status_code == 404


def test_noise_does_not_hide_what_is_wrong(twilio: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(60):
        twilio.post("/incoming-call", data=FORM, headers=BOGUS)
        twilio.post("/nothing", data=FORM, headers=BOGUS)
        twilio.post("/incoming-call", content=b"x" * 20_000, headers=FORM_TYPE | BOGUS)
    assert len(warnings(caplog)) == 3
    assert post(twilio, "/voice").status_code == 404
    (line,) = warnings(caplog)
    assert "'/voice'" in line


def test_calls_that_are_refused_are_logged_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    with client() as twilio:
        caplog.clear()
        phone_of(twilio).registry.draining = True
        for n in range(30):
            post(twilio, "/incoming-call", CallSid=f"CA{n}")
    assert warnings(caplog) == ["Refused a call: draining."]


def test_streams_that_are_refused_are_logged_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    with client(public=False, telephony_allow_unsigned=True) as local:
        for _ in range(5):
            with local.websocket_connect("/media-stream") as socket:
                socket.close()
        deadline = 1000
        while phone_of(local).metrics.render().count(b'reason="stream"} 5.0') == 0 and deadline:
            local.get("/healthz")
            deadline -= 1
    lines = [line for line in warnings(caplog) if "Refused a media stream" in line]
    assert lines == ["Refused a media stream: the connection ended before its `start`"]


def test_scanners_leave_no_line(twilio: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/wp-login.php", "/.env", "/incoming-call/../x"):
        assert twilio.get(path).status_code == 404
        assert twilio.post(path, data=FORM).status_code == 404
    assert not warnings(caplog)


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=8))
def test_a_form_is_signed_as_twilios_validator_signs_it(fields: list[tuple[str, str]]) -> None:
    class Fields(dict[str, list[str]]):
        def getall(self, name: str) -> list[str]:
            return self[name]

    theirs = Fields()
    for name, value in fields:
        theirs.setdefault(name, []).append(value)
    try:
        expected = RequestValidator(TOKEN).compute_signature(PUBLIC, theirs)
    except UnicodeEncodeError:
        return
    assert RequestValidator(TOKEN).compute_signature(PUBLIC, Form(fields).signed) == expected


# --- other pages of a browser on this machine ------------------------------------------------------------------------


def foreign() -> list[Mapping[str, str]]:
    return [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
    ]


@pytest.mark.parametrize("headers", foreign())
def test_a_page_of_another_origin_starts_nothing(local: TestClient, headers: Mapping[str, str]) -> None:
    query = f"/incoming-call?{urlencode(FORM)}"
    assert local.get(query, headers=headers).status_code == 403
    assert local.post("/incoming-call", data=FORM, headers=headers).status_code == 403
    assert local.post("/calls", json={"to": "+14155550123"}, headers=headers).status_code == 401
    assert local.get("/metrics", headers=headers).status_code == 401
    assert local.get("/console/phone/about", headers=headers).status_code == 403
    assert local.post("/console/phone/webhook/incoming-call", data=FORM, headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), local.websocket_connect("/media-stream", headers=headers):
        pass
    assert len(phone_of(local).registry) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/incoming-call", "/i/here/after-stream", "/after-dial", "/call-status"])
def test_without_a_signature_only_a_post_does_something(
    local: TestClient, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    response = local.request(method, f"{path}?{urlencode(FORM)}")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    (line,) = warnings(caplog)
    assert "Set the webhook's method to HTTP POST" in line


def test_with_a_signature_a_get_is_taken(twilio: TestClient) -> None:
    path = f"/incoming-call?{urlencode(FORM)}"
    assert verbs(twilio.get(path, headers=signed(path, {})))[0] == "Connect"
    assert twilio.get(path, headers=BOGUS).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1:8000"}])
def test_this_machine_and_its_own_page_are_served(local: TestClient, headers: Mapping[str, str]) -> None:
    assert verbs(local.post("/incoming-call", data=FORM, headers=headers))[0] == "Connect"
    assert local.get("/metrics", headers={"Sec-Fetch-Site": "none"}).status_code == 200
