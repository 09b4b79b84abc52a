"""Single sign-on of the console, against a provider over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from realtime_core import RealtimeAgent, RealtimeModelConfig
from telephony import create_app, load_settings
from telephony.console.access import COOKIE
from telephony.console.single_sign_on import is_admitted
from telephony.web.server import server_config

pytestmark = pytest.mark.real_time

PUBLIC = "https://phone.example.com"


@cache
def signing_key(name: str) -> RSAKey:
    """A key for each name. All have the same id."""
    return RSAKey.generate_key(2048, {"kid": "k1"})


class Provider:
    """An OpenID Connect provider. `claims` and `key` are used for the ID token."""

    def __init__(self) -> None:
        self.base = ""
        self.nonce = ""
        self.claims: dict[str, Any] = {}
        self.key = "ours"
        self.exchanged: dict[str, str] = {}
        self.app = Starlette(routes=[
            Route("/.well-known/openid-configuration", self.metadata),
            Route("/keys", self.keys),
            Route("/token", self.token, methods=["POST"]),
        ])  # fmt: skip

    async def metadata(self, request: Request) -> JSONResponse:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": self.base, **{name: f"{self.base}/{path}" for name, path in ends.items()}})

    async def keys(self, request: Request) -> JSONResponse:
        return JSONResponse({"keys": [signing_key("ours").as_dict(private=False)]})

    async def token(self, request: Request) -> JSONResponse:
        self.exchanged = dict(parse_qsl((await request.body()).decode()))
        claims = {"iss": self.base, "aud": "console", "sub": "1", "exp": int(time.time()) + 60, "nonce": self.nonce,
                  "email": "ada@example.com", "email_verified": True, **self.claims}  # fmt: skip
        id_token = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, signing_key(self.key))
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": id_token})


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Provider, httpx2.AsyncClient]]:
    provider = Provider()
    config = server_config(provider.app)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    provider.base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    app = create_app(
        RealtimeAgent(name="Desk"),
        settings=load_settings(
            public_url=PUBLIC, twilio_auth_token="12345", telephony_api_token="letmein", telephony_model="scripted",
            telephony_oidc_issuer=provider.base, telephony_oidc_client_id="console",
            telephony_oidc_client_secret="hidden", telephony_oidc_emails="ada@example.com, @example.org",
            telephony_oidc_scopes="view listen", telephony_data_dir="off",
        ),
        model_config=RealtimeModelConfig(url="ws://127.0.0.1:9/never", api_key="none"),
    )  # fmt: skip
    try:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=PUBLIC)
        async with app.router.lifespan_context(app), client:
            yield provider, client
    finally:
        server.should_exit = True
        await serving


async def log_in(provider: Provider, client: httpx2.AsyncClient, **changes: Any) -> httpx2.Response:
    begun = await client.get("/console/oidc/login")
    assert begun.status_code == 303
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    assert asked["redirect_uri"] == f"{PUBLIC}/console/oidc/callback" and asked["code_challenge_method"] == "S256"
    provider.nonce = asked["nonce"]
    for name, value in changes.pop("of_provider", {}).items():
        setattr(provider, name, value)
    query = {"code": "c1", "state": asked["state"], **changes}
    return await client.get("/console/oidc/callback", params=query)


def test_a_person_of_the_provider_has_a_session_with_the_scopes_of_the_settings() -> None:
    async def main() -> None:
        async with site() as (provider, client):
            done = await log_in(provider, client)
            assert done.status_code == 200 and "refresh" in done.text
            assert len(provider.exchanged["code_verifier"]) >= 43
            me = (await client.get("/console/api/me")).json()
            assert (me["name"], me["scopes"]) == ("ada@example.com", ["view", "listen"])
            again = await client.get("/console/oidc/callback", params={"code": "c1", "state": "x"})
            assert again.status_code == 401

    asyncio.run(main())


@pytest.mark.parametrize("of_provider, changes, status", [
    ({"claims": {"email": "eve@example.com"}}, {}, 403),
    ({"claims": {"email_verified": False}}, {}, 403),
    ({"claims": {"email": "eve@example.org.evil.example"}}, {}, 403),
    ({"claims": {"aud": "another"}}, {}, 401),
    ({"claims": {"iss": "https://another.example"}}, {}, 401),
    ({"claims": {"exp": 1}}, {}, 401),
    ({"claims": {"nonce": "another"}}, {}, 401),
    ({"key": "another"}, {}, 401),
    ({}, {"state": "another"}, 401),
    ({}, {"error": "access_denied"}, 401),
])  # fmt: skip
def test_what_is_wrong_with_a_login_begins_no_session(
    of_provider: dict[str, Any], changes: dict[str, Any], status: int
) -> None:
    async def main() -> None:
        async with site() as (provider, client):
            refused = await log_in(provider, client, of_provider=of_provider, **changes)
            assert refused.status_code == status, refused.text
            assert COOKIE not in client.cookies and (await client.get("/console/api/me")).status_code == 401

    asyncio.run(main())


@pytest.mark.parametrize("email, admitted", [
    ("ada@example.com", True), ("bob@example.org", True), ("bob@example.com", False), ("", False),
    ("@example.org", False), ("bob@sub.example.org", False),
])  # fmt: skip
def test_who_is_admitted(email: str, admitted: bool) -> None:
    assert is_admitted(email, "Ada@example.com, @example.org") is admitted
    assert not is_admitted(email, "")
