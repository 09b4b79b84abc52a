"""The webhook, the upgrade and the health endpoints: access and answers."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from realtime_core import RealtimeAgent
from realtime_core.model import RealtimeModelConfig
from telephony import Settings, create_app, load_settings

TOKEN = "12345"
PUBLIC = "https://phone.example.com"
FORM = {"CallSid": "CA1", "From": "+15550001", "To": "+15550002"}


def client(settings: Settings, base_url: str = "http://127.0.0.1:8000", peer: str = "127.0.0.1") -> TestClient:
    model_config = RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none")
    app = create_app(RealtimeAgent(name="Desk"), settings=settings, model_config=model_config)
    return TestClient(app, base_url=base_url, client=(peer, 5000))


@pytest.fixture
def local() -> Iterator[TestClient]:
    with client(
        load_settings(telephony_model="scripted", telephony_instance="here", telephony_warm=False)
    ) as test_client:
        yield test_client


@pytest.fixture
def public() -> Iterator[TestClient]:
    settings = load_settings(
        public_url=PUBLIC,
        twilio_auth_token=TOKEN,
        telephony_model="scripted",
        telephony_instance="here",
        telephony_warm=False,
    )
    with client(settings, base_url="http://internal:8000", peer="10.0.0.7") as test_client:
        yield test_client


def signature(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)}


def test_an_incoming_call_is_connected_to_the_media_stream(local: TestClient) -> None:
    response = local.post("/incoming-call", data=FORM)
    assert response.headers["content-type"].startswith("text/xml")
    document = ElementTree.fromstring(response.text)
    stream = document.find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "ws://127.0.0.1:8000/i/here/media-stream"
    assert {p.get("name"): p.get("value") for p in stream} == {"caller": "+15550001", "called": "+15550002"}
    assert [verb.tag for verb in document] == ["Connect", "Hangup"], "what follows the stream is never silence"


def test_signed_webhooks_get_the_public_address_and_a_token(public: TestClient) -> None:
    url = f"{PUBLIC}/incoming-call"
    response = public.post("/incoming-call", data=FORM, headers=signature(url, FORM))
    stream = ElementTree.fromstring(response.text).find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://phone.example.com/i/here/media-stream"
    assert "token" in {p.get("name") for p in stream}


@pytest.mark.parametrize("headers", [{}, {"X-Twilio-Signature": "x"}, signature(f"{PUBLIC}/other", FORM)])
def test_unsigned_webhooks_are_refused(public: TestClient, headers: dict[str, str]) -> None:
    assert public.post("/incoming-call", data=FORM, headers=headers).status_code == 403


def test_the_signature_of_a_changed_form_is_refused(public: TestClient) -> None:
    headers = signature(f"{PUBLIC}/incoming-call", FORM)
    assert public.post("/incoming-call", data={**FORM, "From": "+1"}, headers=headers).status_code == 403


def test_unsigned_upgrades_are_refused_before_they_are_accepted(public: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), public.websocket_connect("/media-stream"):
        pass


@pytest.mark.parametrize(
    ("base_url", "peer", "headers"),
    [
        ("http://127.0.0.1:8000", "192.0.2.1", {}),
        ("http://phone.example.com", "127.0.0.1", {}),
        ("http://127.0.0.1:8000", "127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}),
        ("http://127.0.0.1:8000", "127.0.0.1", {"Origin": "https://somewhere.example"}),
    ],
    ids=["another machine", "another name", "a tunnel", "a page of another site"],
)
def test_without_a_token_only_this_machine_is_served(base_url: str, peer: str, headers: dict[str, str]) -> None:
    with client(load_settings(telephony_model="scripted"), base_url, peer) as test_client:
        assert test_client.post("/incoming-call", data=FORM, headers=headers).status_code == 403
        with pytest.raises(WebSocketDisconnect), test_client.websocket_connect("/media-stream", headers=headers):
            pass


def test_health(local: TestClient) -> None:
    assert local.get("/healthz").status_code == 200
    assert local.get("/readyz").json() == {
        "ready": True,
        "calls": 0,
        "draining": False,
        "records": "memory",
        "journals": "off",
    }


def test_a_server_that_is_full_says_busy_and_not_ready(local: TestClient) -> None:
    local.app.state.phone.registry.draining = True  # type: ignore[attr-defined]
    assert local.get("/readyz").status_code == 503
    assert "<Reject" in local.post("/incoming-call", data=FORM).text
