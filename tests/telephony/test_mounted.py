"""The application under a path: mounted in another one, or behind a proxy that removes a prefix; with PUBLIC_URL with
and without that path. Every address that Twilio gets works, and its signature is checked for that address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from realtime_core import RealtimeAgent
from telephony import create_app
from telephony.settings import Settings
from telephony.urls import public_address, rebased
from tests.support.web_clients import FORM, TOKEN, stream

HOST = "https://phone.example.com"
OPERATOR = {"Authorization": "Bearer operator"}


class Strips:
    """A proxy in front of `app` that takes `prefix` away."""

    def __init__(self, app: ASGIApp, prefix: str, root_path: str = "", *, put_back: bool = False) -> None:
        self._app, self._prefix, self._root_path, self._put_back = app, prefix, root_path, put_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"].removeprefix(self._prefix)
            path = self._root_path + path if self._put_back else path
            scope = {**scope, "path": path, "raw_path": path.encode(), "root_path": self._root_path}
        await self._app(scope, receive, send)


def starlette_mount(app: Starlette) -> ASGIApp:
    return Starlette(routes=[Mount("/voice", app)], lifespan=app.router.lifespan_context)


def fastapi_mount(app: Starlette) -> ASGIApp:
    outer = FastAPI(lifespan=app.router.lifespan_context)
    outer.mount("/voice", app)
    return outer


def fastapi_root_path(app: Starlette) -> ASGIApp:
    """As `fastapi run --root-path /edge`, behind a proxy that takes `/edge` away."""
    return Strips(fastapi_mount(app), "/edge", "/edge", put_back=True)


def proxy(app: Starlette) -> ASGIApp:
    return Strips(app, "/voice")


def proxy_and_root_path(app: Starlette) -> ASGIApp:
    """As hypercorn has it."""
    return Strips(app, "/voice", "/voice")


def proxy_and_uvicorn_root_path(app: Starlette) -> ASGIApp:
    return Strips(app, "/voice", "/voice", put_back=True)


def at_the_root(app: Starlette) -> ASGIApp:
    return app


PLACES = [
    (at_the_root, "", ""),
    (starlette_mount, "/voice", ""),
    (starlette_mount, "/voice", "/voice"),
    (fastapi_mount, "/voice", ""),
    (fastapi_mount, "/voice", "/voice/"),
    (fastapi_root_path, "/edge/voice", ""),
    (fastapi_root_path, "/edge/voice", "/edge"),
    (fastapi_root_path, "/edge/voice", "/edge/voice"),
    (proxy, "/voice", "/voice"),
    (proxy_and_root_path, "/voice", ""),
    (proxy_and_root_path, "/voice", "/voice"),
    (proxy_and_uvicorn_root_path, "/voice", ""),
    (proxy_and_uvicorn_root_path, "/voice", "/voice"),
]
places = pytest.mark.parametrize(
    ("place", "path", "public_path"), PLACES, ids=[f"{it[0].__name__}-public{it[2]}" for it in PLACES]
)


@contextmanager
def served(place: Any, public_path: str | None, **settings: Any) -> Iterator[TestClient]:
    if public_path is not None:
        settings |= {"public_url": HOST + public_path, "twilio_auth_token": TOKEN, "telephony_api_token": "operator"}
    loaded = Settings(telephony_model="scripted", telephony_instance="here", telephony_warm=False, **settings)
    app = create_app(RealtimeAgent(name="Desk"), settings=loaded)
    with TestClient(place(app), base_url=HOST, client=("10.0.0.7", 5)) as client:
        yield client


def signature(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-Twilio-Signature": str(RequestValidator(TOKEN).compute_signature(url, form))}


def ask(client: TestClient, url: str, form: dict[str, str] = FORM) -> Any:
    """As Twilio, at exactly this address."""
    return client.post(url, data=form, headers=signature(url, form))


@places
def test_every_address_that_twilio_gets_comes_back_signed(place: Any, path: str, public_path: str) -> None:
    base = HOST + path
    with served(place, public_path) as client:
        answer = ask(client, f"{base}/incoming-call")
        url, _ = stream(answer)
        assert url == f"wss://phone.example.com{path}/i/here/media-stream"
        for name in ("after-stream", "stream-status"):
            address = re.search(rf'"({re.escape(base)}/i/here/{name})"', answer.text)
            assert address is not None, answer.text
            assert ask(client, address[1]).status_code in (200, 204)
        for name in ("incoming-call", "after-dial", "leg-key/x", "call-status", "outgoing-status/x"):
            assert ask(client, f"{base}/i/here/{name}").status_code in (200, 204), name
        with client.websocket_connect(rebased(url, HOST, "http://x") or "", headers=signature(url, {})):
            pass  # let in
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect(
                rebased(url, HOST, "http://x") or "", headers=signature(url.replace("/i/", "/j/"), {})
            ),
        ):
            pass


@places
def test_the_links_of_the_console_lead_to_its_pages_and_files(place: Any, path: str, public_path: str) -> None:
    with served(place, public_path) as client:
        for console in (f"{HOST}{path}/console", f"{HOST}{path}/i/here/console"):
            live = client.get(console).text
            found: set[str] = set()
            for page in ("", "/calls", "/calls/CA1", "/campaigns", "/campaigns/a", "/numbers", "/phone", "/login"):
                links = addresses(console + page, client.get(console + page))
                assert {console, f"{console}/phone", f"{console}/static/console.css"} < links, page
                found |= links
            assert f"{console}/static/phone.js" in found
            for link in found:
                assert client.get(link).status_code == 200, link
            assert "<h1>Live calls" in live


def addresses(url: str, page: Any) -> set[str]:
    """The addresses to which a browser resolves the links and the files of the page at `url`."""
    assert page.status_code == 200, url
    base = re.search(r'<base href="([^"]+)">', page.text)
    assert base is not None, url
    links = re.findall(r'<(?!base\b)[^>]+ (?:src|href)="([^"#]+)', page.text)
    return {urljoin(urljoin(url, base[1]), link) for link in links}


@places
def test_the_softphone_rings(place: Any, path: str, public_path: str) -> None:
    base = HOST + path
    with served(place, public_path) as client:
        for console in (f"{base}/console/phone", f"{base}/i/here/console/phone"):
            assert client.get(f"{console}/about", headers=OPERATOR).status_code == 200
            rung = client.post(f"{console}/webhook/incoming-call", data=FORM, headers=OPERATOR)
            assert stream(rung)[0] == f"wss://phone.example.com{path}/i/here/media-stream"
            query = f"call=CA1&ticket={rung.headers['x-ticket']}"
            with client.websocket_connect(f"{path}{console.removeprefix(base)}/media-stream?{query}"):
                pass


@pytest.mark.parametrize(("place", "path"), [(at_the_root, ""), (starlette_mount, "/voice"), (fastapi_mount, "/voice")])
def test_without_public_url_the_request_says_where_we_are(place: Any, path: str) -> None:
    with served(place, None, telephony_allow_unsigned=True) as client:
        assert stream(client.post(f"{HOST}{path}/incoming-call", data=FORM))[0] == (
            f"wss://phone.example.com{path}/i/here/media-stream"
        )


def test_calls_that_we_place_are_answered_where_we_are_mounted() -> None:
    settings = {"twilio_account_sid": "AC1", "twilio_phone_number": "+14155550199"}
    with served(starlette_mount, "", **settings) as client:
        found = client.app.routes[0].app.state  # type: ignore[attr-defined]
        client.get(f"{HOST}/voice/calls/none", headers=OPERATOR)
        address = found.dialer._address("answer", "token")
        assert address == public_address(HOST, "/voice/i/here/outgoing-answer/token")
        assert ask(client, address).status_code == 200


def test_a_proxy_that_ends_tls_and_does_not_say_so_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    with served(at_the_root, None, telephony_allow_unsigned=True) as client:
        for _ in range(2):
            client.post("http://phone.example.com/incoming-call", data=FORM)
        result = [it.getMessage() for it in caplog.records if "X-Forwarded-Proto" in it.getMessage()]
        assert len(result) == 1
        assert "PUBLIC_URL" in result[0]
        caplog.clear()
        headers = {"X-Forwarded-Proto": "https, http"}
        answer = client.post("http://phone.example.com/incoming-call", data=FORM, headers=headers)
        assert stream(answer)[0].startswith("wss://phone.example.com/")
        assert not [it for it in caplog.records if "X-Forwarded-Proto" in it.getMessage()]


# --- the lifespan is not run -----------------------------------------------------------------------------------------


def plain_mount(app: Starlette) -> ASGIApp:
    return Starlette(routes=[Mount("/voice", app)])


def plain_fastapi_mount(app: Starlette) -> ASGIApp:
    outer = FastAPI()
    outer.mount("/voice", app)
    return outer


@pytest.mark.parametrize("place", [plain_mount, plain_fastapi_mount])
def test_an_application_that_was_not_started_apologises_and_says_so(
    place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with served(place, None, telephony_allow_unsigned=True, telephony_apology="So sorry.") as client:
        for name in ("incoming-call", "after-stream", "after-dial", "leg-key/x", "i/here/incoming-call"):
            answer = client.post(f"{HOST}/voice/{name}", data=FORM)
            assert answer.status_code == 200
            assert "<Say>So sorry.</Say><Hangup" in answer.text
        for name in ("healthz", "readyz", "metrics", "calls/x", "console/phone/about"):
            answer = client.get(f"{HOST}/voice/{name}")
            assert answer.status_code == 503, name
            assert "lifespan" in answer.json()["error"]
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/voice/media-stream"):
            pass
    result = [it for it in caplog.records if "lifespan" in it.getMessage()]
    assert [it.levelname for it in result] == ["ERROR"]


def test_the_log_has_the_cure_for_an_application_that_was_not_started(caplog: pytest.LogCaptureFixture) -> None:
    with served(plain_mount, None) as client:
        client.post(f"{HOST}/voice/incoming-call", data=FORM)
    for cure in ("Starlette(", "FastAPI(", "lifespan=phone.router.lifespan_context"):
        assert cure in caplog.text
    with served(starlette_mount, None, telephony_allow_unsigned=True) as client:
        assert client.get(f"{HOST}/voice/healthz").status_code == 200


def test_a_proxy_that_keeps_the_path_of_the_public_url_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with served(at_the_root, "/voice") as client:
        caplog.clear()
        assert ask(client, f"{HOST}/voice/incoming-call").status_code == 404
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "Twilio sent POST '/voice/incoming-call'" in line
        assert "If '/voice' is a proxy's prefix, let the proxy remove it" in line
