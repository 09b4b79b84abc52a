"""Servers that place calls by `POST /calls`, with a simulated Twilio. Several servers may share a database."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from realtime_core import RealtimeAgent
from telephony import DialingRules, create_app, load_settings
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from telephony.web.phone_server import PhoneServer
from telephony.web.server import listening

OWN = "+14155550199"
TO, TOKEN, PUBLIC = "+14155550123", "api-token", "https://phone.example.com"


class Server:
    def __init__(self, address: str, twilio: SimulatedTwilio) -> None:
        self.address = address
        self.twilio = twilio

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, key: str = ""
    ) -> tuple[int, Any]:
        def send() -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(self.address + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request) as response:
                    return response.status, json.loads(response.read())
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.loads(error.read())

        return await asyncio.to_thread(send)


@dataclass
class World:
    """Processes that share a database: applications, by name, each in its own exit stack."""

    twilio: SimulatedTwilio
    url: str
    apps: dict[str, Starlette] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def start(self, name: str, **settings: Any) -> Server:
        loaded = load_settings(
            twilio_account_sid=self.twilio.account_sid,
            twilio_auth_token=self.twilio.auth_token,
            twilio_phone_number=OWN,
            telephony_twilio_api_url=self.twilio.base_url,
            telephony_api_token=TOKEN,
            telephony_model="scripted",
            telephony_instance=name,
            public_url=PUBLIC,
            database_url=self.url,
            **settings,
        )
        app = create_app(RealtimeAgent(name="Blu"), settings=loaded, greeting="Greet the caller.")
        stack = self.stacks[name] = AsyncExitStack()
        address = await stack.enter_async_context(listening(app))
        app.state.dialer.rules = DialingRules.at_any_hour()
        self.twilio.webhooks.reach = {f"{PUBLIC}/i/{name}": f"{address}/i/{name}", **self.twilio.webhooks.reach}
        self.twilio.webhooks.reach.setdefault(PUBLIC, address)
        self.apps[name] = app
        self.servers[name] = Server(address, self.twilio)
        return self.servers[name]

    async def stop(self, name: str) -> None:
        await self.stacks.pop(name).aclose()

    def phone(self, name: str) -> PhoneServer:
        phone: PhoneServer = self.apps[name].state.phone
        return phone


@asynccontextmanager
async def world(url: str, *names: str, **settings: Any) -> AsyncIterator[World]:
    async with asyncio.timeout(300), SimulatedTwilio() as twilio:
        it = World(twilio, url)
        try:
            for name in names:
                await it.start(name, **settings)
            yield it
        finally:
            for name in list(it.stacks):
                await it.stop(name)


async def finished(server: Server, call: dict[str, Any], token: str = TOKEN) -> dict[str, Any]:
    while not call.get("over"):
        await asyncio.sleep(0.05)
        status, call = await server.ask("GET", f"/calls/{call['id']}", token=token)
        assert status == 200, call
    return call


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def break_stream(call: SimulatedCall) -> None:
    """Abort the connection, without a CLOSE frame."""
    assert call.stream is not None
    call.stream._connection._transport.abort()  # type: ignore[attr-defined]


async def listener(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(0.5)
    phone.hang_up()


async def patient(phone: Handset) -> None:
    await asyncio.Event().wait()
