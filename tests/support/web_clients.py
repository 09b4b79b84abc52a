"""Clients of the application for tests: Twilio with its signatures, this machine, and others."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient
from twilio.request_validator import RequestValidator

from realtime_core import RealtimeAgent
from realtime_core.model import RealtimeModelConfig
from realtime_core.sources import SYSTEM, Sources
from telephony import create_app, load_settings
from telephony.web.phone_server import PhoneServer
from telephony.web.routing import Agents

TOKEN = "12345"
PUBLIC = "https://phone.example.com"
FORM = {"CallSid": "CA1", "From": "+15550001", "To": "+15550002"}


@contextmanager
def client(
    *,
    agent: Agents | None = None,
    public: bool = True,
    base_url: str = "http://internal:8000",
    peer: str = "10.0.0.7",
    sources: Sources = SYSTEM,
    model_config: RealtimeModelConfig | None = None,
    **settings: Any,
) -> Iterator[TestClient]:
    """The application as Twilio reaches it (through a proxy), or with `public=False` as this machine does."""
    if public:
        settings = {"public_url": PUBLIC, "twilio_auth_token": TOKEN, **settings}
    else:
        base_url, peer = "http://127.0.0.1:8000", "127.0.0.1"
    defaults = {"telephony_model": "scripted", "telephony_instance": "here", "telephony_warm": False}
    loaded = load_settings(**{**defaults, **settings})
    model_config = model_config or RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none")
    app = create_app(agent or RealtimeAgent(name="Desk"), settings=loaded, model_config=model_config, sources=sources)
    with TestClient(app, base_url=base_url, client=(peer, 5000), raise_server_exceptions=False) as test_client:
        yield test_client


def phone_of(test_client: TestClient) -> PhoneServer:
    phone: PhoneServer = test_client.app.state.phone  # type: ignore[attr-defined]
    return phone


def signed(path: str, form: Mapping[str, str], *, base: str = PUBLIC, secret: str = TOKEN) -> dict[str, str]:
    return {"X-Twilio-Signature": str(RequestValidator(secret).compute_signature(base + path, form))}


def post(test_client: TestClient, path: str, **more: str) -> Any:
    """Sends a webhook as Twilio does. `more` has the fields in addition to `FORM`."""
    form = {**FORM, **more}
    return test_client.post(path, data=form, headers=signed(path, form))


def verbs(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/xml")
    return [verb.tag for verb in ElementTree.fromstring(response.text)]


def stream(response: Any) -> tuple[str, dict[str, str]]:
    """The stream's address and parameters."""
    element = ElementTree.fromstring(response.text).find("Connect/Stream")
    assert element is not None, response.text
    return element.get("url", ""), {p.get("name", ""): p.get("value", "") for p in element}
