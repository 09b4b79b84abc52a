"""Access: both signature schemes, and the log lines about refused requests."""

from __future__ import annotations

import logging

import pytest
from starlette.requests import Request
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from telephony import load_settings
from telephony.twilio.signature import SigningKeys, check
from telephony.web.authentication import Authenticator
from tests.support.web_clients import FORM, PUBLIC, TOKEN, client, post, signed

SHARED = "the-shared-key-secret"
SETTINGS = {"X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
URL = f"{PUBLIC}/incoming-call"


def sha256(secret: str, url: str, form: dict[str, str]) -> dict[str, str]:
    signature = RequestValidator(secret).compute_signature(url, form, "HMAC_SHA256")
    return {"X-Twilio-Signature": str(signature), **SETTINGS}


def test_a_shared_key_signs_with_sha256() -> None:
    with client(twilio_shared_key_secret=SHARED) as twilio:
        assert twilio.post("/incoming-call", data=FORM, headers=sha256(SHARED, URL, FORM)).status_code == 200
        assert twilio.post("/incoming-call", data=FORM, headers=sha256(TOKEN, URL, FORM)).status_code == 403
        assert post(twilio, "/incoming-call").status_code == 200, "the other scheme goes on working"


def test_the_header_chooses_the_secret_not_the_check() -> None:
    keys = SigningKeys(TOKEN, SHARED)
    sha1 = str(RequestValidator(SHARED).compute_signature(URL, FORM))
    assert check(keys, URL, FORM, sha1) == "mismatch", "a shared key does not sign with SHA-1"
    for header in ("algorithm=HMAC_SHA1", "", "key=x", None):
        assert check(keys, URL, FORM, signed("/incoming-call", FORM)["X-Twilio-Signature"], header) is None
    assert check(keys, URL, FORM, sha1, "key=x,algorithm=HMAC_MD5") == "unknown algorithm"
    assert check(SigningKeys(TOKEN), URL, FORM, sha1, SETTINGS.popitem()[1]) == "no key"
    assert check(keys, URL, FORM, None) == "unsigned"


def test_an_empty_field_is_signed_too() -> None:
    form = {**FORM, "CallerName": ""}
    with client() as twilio:
        body = "CallSid=CA1&From=%2B15550001&To=%2B15550002&CallerName="
        headers = {**signed("/incoming-call", form), "Content-Type": "application/x-www-form-urlencoded"}
        assert twilio.post("/incoming-call", content=body, headers=headers).status_code == 200


def test_a_query_is_part_of_the_signed_address() -> None:
    with client() as twilio:
        path = "/incoming-call?b=2&a=1"
        assert twilio.post(path, data=FORM, headers=signed(path, FORM)).status_code == 200
        assert twilio.post("/incoming-call?a=1&b=2", data=FORM, headers=signed(path, FORM)).status_code == 403
        get = "/incoming-call?CallSid=CA9&From=%2B1"
        assert twilio.get(get, headers=signed(get, {})).status_code == 200


def test_the_host_header_counts_for_nothing() -> None:
    with client() as twilio:
        headers = {**signed("/incoming-call", FORM, base="https://other.example"), "Host": "other.example"}
        headers["X-Forwarded-Host"] = "other.example"
        assert twilio.post("/incoming-call", data=FORM, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("headers", "explanation"),
    [
        ({}, "it has no X-Twilio-Signature"),
        (signed("/incoming-call", FORM, secret="another"), "TWILIO_AUTH_TOKEN that of the account"),
        (signed("/incoming-call/", FORM), f"signed for '{URL}/'"),
        (signed("/incoming-call", FORM, base="http://phone.example.com"), "signed for 'http://phone.example.com"),
        (signed("/incoming-call", FORM, base="http://internal:8000"), "signed for 'http://internal:8000"),
        (sha256(SHARED, URL, FORM), "set TWILIO_SHARED_KEY_SECRET"),
        ({"X-Twilio-Signature": "x", "X-Twilio-Webhooks-Signature-Settings": "algorithm=X"}, "not known"),
    ],
)
def test_a_refusal_is_explained(caplog: pytest.LogCaptureFixture, headers: dict[str, str], explanation: str) -> None:
    with client() as twilio:
        assert twilio.post("/incoming-call", data=FORM, headers=headers).status_code == 403
    (message,) = refusals(caplog)
    assert explanation in message
    assert TOKEN not in message.replace(PUBLIC, "")
    assert headers.get("X-Twilio-Signature", "none") not in message or len(headers["X-Twilio-Signature"]) == 1


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "telephony.web.authentication"]


def test_a_flood_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with client() as twilio:
        for _ in range(20):
            twilio.post("/incoming-call", data=FORM)
        twilio.post("/incoming-call", data=FORM, headers={"X-Twilio-Signature": "x"})
    assert len(refusals(caplog)) == 2


def test_the_upgrade_of_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    base = PUBLIC.replace("https", "wss")
    caplog.set_level(logging.INFO)
    with client() as twilio:
        for wrong in (signed("/media-stream", {}), signed("/other", {}, base=base), {}):
            with pytest.raises(WebSocketDisconnect), twilio.websocket_connect("/media-stream", headers=wrong):
                pass
        for path in ("/media-stream", "/i/elsewhere/media-stream"):
            with twilio.websocket_connect(path, headers=signed(path, {}, base=base)) as socket:
                socket.close()
        assert "It is accepted" not in caplog.text
        with twilio.websocket_connect("/media-stream", headers=signed("/media-stream/", {}, base=base)) as socket:
            socket.close()
        assert f"signed for '{base}/media-stream/', not '{base}/media-stream'. It is accepted" in caplog.text, (
            "let in, and never silently"
        )


def test_unsigned_requests_from_anywhere_only_when_it_is_set() -> None:
    with client(public=False, telephony_allow_unsigned=True, telephony_model="scripted") as local:
        response = local.post("/incoming-call", data=FORM, headers={"X-Forwarded-For": "192.0.2.1"})
        assert response.status_code == 200


def test_figures_are_for_the_operator() -> None:
    with client(telephony_api_token="let-me-in") as twilio:
        assert twilio.get("/metrics").status_code == 401
        assert twilio.get("/metrics", headers={"Authorization": "Bearer let-me-out"}).status_code == 401
        assert twilio.get("/metrics", headers={"Authorization": "Bearer let-me-in"}).status_code == 200
    with client() as twilio:
        assert twilio.get("/metrics").status_code == 401
    with client(public=False) as local:
        assert local.get("/metrics").status_code == 200
        assert local.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401
        assert local.get("/metrics", headers={"Via": "1.1 proxy"}).status_code == 401


def test_where_others_may_come_this_machine_needs_the_token_too() -> None:
    with client(base_url="http://127.0.0.1:8000", peer="127.0.0.1") as twilio:
        assert twilio.get("/metrics").status_code == 401, "a proxy that adds no header looks just like this"


def test_a_proxy_gives_itself_away() -> None:
    authenticator = Authenticator(load_settings(telephony_model="scripted"))
    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "client": ("127.0.0.1", 5000),
             "headers": [(b"host", b"127.0.0.1:8000")], "scheme": "http", "server": ("127.0.0.1", 8000)}  # fmt: skip
    assert authenticator.admits_operator(Request({**scope, "http_version": "1.1"}))
    assert not authenticator.admits_operator(Request({**scope, "http_version": "1.0"})), (
        "nginx, with nothing configured"
    )
