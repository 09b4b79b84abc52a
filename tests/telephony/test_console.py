"""The console's endpoints: access, the signed request of a page, and the feed of a call."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from realtime_core import RealtimeAgent, RealtimeModelConfig
from telephony import Settings, create_app, load_settings
from telephony.call.options import CallOptions
from telephony.console.feed import Feed, Feeds
from telephony.console.selection import select
from telephony.journal.memory import MemoryJournal
from telephony.journal.writer import NullJournal
from telephony.simulator.wire import Sender
from telephony.web.phone_server import BROWSER

PUBLIC = "https://phone.example.com"
BEARER = {"Authorization": "Bearer letmein"}
OUR_PAGE = {"X-Telephony-Console": "1"}
CALL = "CA" + "0" * 32
ACCOUNT = "AC" + "1" * 32
FORM = {"CallSid": CALL, "AccountSid": ACCOUNT, "From": "+14155550100", "To": "+14155550199"}
PHONE = "/console/phone"
DIAL = f"{PHONE}/webhook/incoming-call"


def client(settings: Settings, base_url: str, peer: str) -> TestClient:
    app = create_app(
        RealtimeAgent(name="Desk"),
        settings=settings,
        model_config=RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none"),
    )
    return TestClient(app, base_url=base_url, client=(peer, 5000))


@pytest.fixture
def local() -> Iterator[TestClient]:
    with client(load_settings(telephony_model="scripted"), "http://127.0.0.1:8000", "127.0.0.1") as test_client:
        yield test_client


@pytest.fixture
def public() -> Iterator[TestClient]:
    settings = load_settings(
        public_url=PUBLIC,
        twilio_auth_token="12345",
        twilio_account_sid=ACCOUNT,
        telephony_api_token="letmein",
        telephony_model="scripted",
    )
    with client(settings, PUBLIC, "10.0.0.7") as test_client:
        yield test_client


def test_the_page_loads_nothing_but_its_own_files(local: TestClient) -> None:
    page = local.get(PHONE)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert local.get("/console/static/worklet.js").headers["content-type"].startswith("text/javascript")
    assert local.get("/console/static/..%2Fsoftphone.py").status_code == 404


@pytest.mark.parametrize(
    "method, path",
    [("GET", "about"), ("POST", "webhook/incoming-call"), ("POST", "webhook/after-stream"), ("GET", f"feed/{CALL}")],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_a_public_console_needs_its_token(public: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    assert public.request(method, f"{PHONE}/{path}", headers=headers).status_code == 401


def test_a_page_of_another_site_cannot_dial(local: TestClient) -> None:
    assert local.post(DIAL, data=FORM, headers={**OUR_PAGE, "Origin": "https://elsewhere.example"}).status_code == 403
    assert local.post(DIAL, data=FORM, headers={**OUR_PAGE, "Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_where_others_can_come_a_token_has_to_be_set() -> None:
    settings = load_settings(public_url=PUBLIC, twilio_auth_token="12345", telephony_model="scripted")
    with client(settings, "http://127.0.0.1:8000", "127.0.0.1") as test_client:
        answer = test_client.get(f"{PHONE}/about")
        assert (answer.status_code, "set TELEPHONY_API_TOKEN" in answer.text) == (403, True)


def test_who_answers(public: TestClient) -> None:
    result = public.get(f"{PHONE}/about", headers=BEARER).json()
    assert result["agents"] == {"": "Desk"}
    assert result["account_sid"] == ACCOUNT
    assert public.get(f"/i/{result['instance']}{PHONE}/about", headers=BEARER).json() == result


def dial(test_client: TestClient) -> tuple[dict[str, str], str | None]:
    """The stream's parameters, and the ticket."""
    response = test_client.post(DIAL, data=FORM, headers={**BEARER, **OUR_PAGE})
    assert response.status_code == 200
    stream = ElementTree.fromstring(response.text).find("Connect/Stream")
    assert stream is not None
    return {p.get("name", ""): p.get("value", "") for p in stream}, response.headers.get("X-Ticket")


def test_the_pages_parameters_become_those_of_the_stream(local: TestClient) -> None:
    response = local.post(f"{DIAL}?table=seven&caller=forged", data=FORM, headers=OUR_PAGE)
    stream = ElementTree.fromstring(response.text).find("Connect/Stream")
    assert stream is not None
    parameters = {p.get("name"): p.get("value") for p in stream}
    assert parameters == {"table": "seven", "caller": FORM["From"], "called": FORM["To"]}
    assert local.post(f"{DIAL}?table={'x' * 500}", data=FORM, headers=OUR_PAGE).status_code == 400


def test_the_page_may_ask_what_twilio_asks_and_nothing_else(public: TestClient) -> None:
    dial(public)
    answer = public.post(f"{PHONE}/webhook/after-stream", data={**FORM, "CallStatus": "in-progress"}, headers=BEARER)
    assert (answer.status_code, ElementTree.fromstring(answer.text).tag) == (200, "Response"), "signed in its name"
    assert public.post(f"{PHONE}/webhook/call-status", data=FORM, headers=BEARER).status_code == 404


def test_a_softphones_call_is_unknown_to_twilio_and_simulated(public: TestClient) -> None:
    phone = public.app.state.phone  # type: ignore[attr-defined]
    scope = {"type": "http", "scheme": "https", "path": "/", "headers": [], "server": ("127.0.0.1", 80)}

    async def options() -> list[CallOptions]:
        return [phone.options(HTTPConnection(it)) for it in (scope, {**scope, BROWSER: {}})]

    of_twilio, of_browser = asyncio.run(options())
    assert of_twilio.control is not None and of_browser.control is None
    assert of_twilio.simulation is None and of_browser.simulation is not None


def test_a_local_page_needs_no_ticket_for_its_call(local: TestClient) -> None:
    parameters, ticket = dial(local)
    assert parameters == {"caller": FORM["From"], "called": FORM["To"]}
    assert ticket is None


def test_where_requests_are_signed_the_page_is_let_in_by_its_ticket(public: TestClient) -> None:
    parameters, ticket = dial(public)
    start = Sender("MZ" + "2" * 32, CALL, ACCOUNT, parameters).start()
    with public.websocket_connect(f"{PHONE}/media-stream?call={CALL}&ticket={ticket}") as socket:
        socket.send_text(start)
        assert json.loads(socket.receive_text())["event"] == "mark", "the call runs: its line is measured"
        with (
            public.websocket_connect(f"{PHONE}/media-stream?call={CALL}&ticket={ticket}") as again,
            pytest.raises(WebSocketDisconnect),
        ):
            again.send_text(start)
            again.receive_text()


def test_a_shared_key_signs_for_the_page_as_well() -> None:
    settings = load_settings(
        public_url=PUBLIC, twilio_shared_key_secret="54321", telephony_api_token="letmein", telephony_model="scripted"
    )
    with client(settings, PUBLIC, "10.0.0.7") as test_client:
        parameters, ticket = dial(test_client)
        with test_client.websocket_connect(f"{PHONE}/media-stream?call={CALL}&ticket={ticket}") as socket:
            socket.send_text(Sender("MZ" + "2" * 32, CALL, ACCOUNT, parameters).start())
            assert json.loads(socket.receive_text())["event"] == "mark"


@pytest.mark.parametrize("query", ["", f"?call={CALL}", f"?call={CALL}&ticket=0", "?call=CA2&ticket={ticket}"])
def test_without_its_ticket_no_stream_is_opened(public: TestClient, query: str) -> None:
    _, ticket = dial(public)
    with (
        pytest.raises(WebSocketDisconnect),
        public.websocket_connect(f"{PHONE}/media-stream{query.format(ticket=ticket)}"),
    ):
        pass


def test_a_form_that_is_too_long_is_refused(local: TestClient) -> None:
    assert local.post(DIAL, content=b"x" * 20_000, headers=OUR_PAGE).status_code == 413


# --- the feed ----------------------------------------------------------------------------------------------------


def audio_delta(audio: bytes) -> dict[str, Any]:
    return {"type": "response.output_audio.delta", "item_id": "a", "delta": base64.b64encode(audio).decode()}


def test_the_feed_counts_audio_and_leaves_it_out() -> None:
    assert select("model.in", {"message": audio_delta(bytes(480))}) == {
        "kind": "model.in",
        "message": {"type": "response.output_audio.delta", "item_id": "a", "bytes": 480},
    }
    start = {"event": "start", "start": {"customParameters": {"caller": "+14155550100"}}}
    assert select("twilio.in", {"message": start}) == {"kind": "twilio.in", "message": {"event": "start"}}
    sent = {"event": "media", "bytes": 160, "crc32": 1, "position": 320, "segments": [["a", 0, 0, 160]]}
    assert select("twilio.out", {"message": sent}) == {
        "kind": "twilio.out",
        "message": {"event": "media", "position": 320, "segments": [["a", 0, 0, 160]]},
    }


@pytest.mark.parametrize(
    "kind, fields",
    [
        ("twilio.in", {"message": {"event": "media"}}),
        ("twilio.in", {"message": {"event": "dtmf", "dtmf": {"digit": "5"}}}),
        ("twilio.out", {"message": {"event": "mark"}}),
        ("model.in", {"message": {"type": "session.updated"}}),
        ("model.in", {"text": "no JSON"}),
        ("model.out", {"message": {"type": "session.update"}}),
    ],
)
def test_events_without_a_use_in_the_page_are_not_sent(kind: str, fields: dict[str, Any]) -> None:
    assert select(kind, fields) is None


def test_a_journal_that_is_off_stays_off_if_nobody_follows_the_call() -> None:
    journal = NullJournal()
    assert Feeds().tee(CALL, journal) is journal


def test_a_call_without_followers_writes_to_its_journal_directly() -> None:
    feeds, journal = Feeds(), MemoryJournal()
    tee = feeds.tee(CALL, journal)
    assert (tee.write, tee.write_raw) == (journal.write, journal.write_raw)
    with feeds.add(CALL, Feed()):
        assert tee.write != journal.write
    assert (tee.write, tee.write_raw) == (journal.write, journal.write_raw)


def test_a_follower_gets_the_records_to_the_end_and_the_journal_all_of_them() -> None:
    async def main() -> list[Any]:
        feeds, journal = Feeds(), MemoryJournal()
        with feeds.follow(CALL) as feed:
            followed = feeds.tee(CALL, journal)
            followed.write("header", 0.0, agent="Desk")
            followed.write_raw("model.in", 0.5, json.dumps(audio_delta(bytes(6))))
            followed.write_raw("twilio.in", 0.6, '{"event":"mark"}')
            followed.write("end", 1.0, reason="hung up")
            seen = [record["kind"] async for record in feed.records() if record]
        assert [record.kind for record in journal.records()] == ["header", "model.in", "twilio.in", "end"]
        return seen

    assert asyncio.run(main()) == ["header", "model.in", "end"]


def test_a_feed_of_a_call_that_never_begins_ends() -> None:
    async def main() -> list[Any]:
        with Feeds().follow(CALL) as feed:
            return [record async for record in feed.records(start_s=0.01)]

    assert asyncio.run(main()) == []


def test_a_page_that_does_not_read_loses_the_oldest() -> None:
    async def main() -> list[Any]:
        feeds = Feeds()
        with feeds.follow(CALL) as feed:
            followed = feeds.tee(CALL, MemoryJournal())
            for n in range(3000):
                followed.write("error", float(n), error="x")
            followed.write("end", 3000.0)
            return [record async for record in feed.records()]

    seen = asyncio.run(main())
    assert len(seen) == 2000
    assert seen[-1]["kind"] == "end"
