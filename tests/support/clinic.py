"""A chain of clinics: an application with configured numbers, on the simulated Twilio in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.connection import Connection
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.errors import ConnectFailed
from realtime_core.local import LocalRealtimeServer, Reply, Script, Trouble
from realtime_core.sources import Sources
from telephony import create_app
from telephony.numbers.config import Account
from telephony.settings import Settings
from telephony.simulator import SimulatedTwilio
from telephony.twilio.rest import TwilioRest

PUBLIC = "https://phone.example.com"
SILENT = Script(
    greeting=Reply(trouble=Trouble("stall", stall_s=600)), otherwise=Reply(trouble=Trouble("stall", stall_s=600))
)
"""A model that takes the session and says nothing."""
BIN = "https://handler.example.com/fallback"
"""A TwiML Bin: it answers without our host."""
agent = RealtimeAgent(name="Clinic", instructions="You answer for the clinic {clinic}.")
night = RealtimeAgent(name="Night", instructions="You answer at night.")


class Endpoints:
    """The endpoints of the models. `modes` says what each one does: `works`, `refuses`, `hangs` or `mute`: it takes the
    session and says nothing."""

    def __init__(self, servers: Mapping[str, LocalRealtimeServer]) -> None:
        self.modes: dict[str, str] = {}
        self.tried: list[str] = []
        self._servers = servers
        self._open: dict[str, list[Connection]] = {}

    async def transport(self, url: str, headers: Mapping[str, str]) -> Connection:
        name = next((each for each in self._servers if each in url), "main")
        self.tried.append(name)
        mode = self.modes.get(name, "works")
        if mode == "refuses":
            raise ConnectFailed(f"{name} refuses")
        if mode == "hangs":
            near, far = memory_pair()
            self._open.setdefault(name, []).append(far)
            return near
        server = self._servers["silent" if mode == "mute" else name]
        connection: Connection = await server.model_config["transport"](url, headers)
        self._open.setdefault(name, []).append(connection)
        return connection

    def die(self, name: str) -> None:
        """Break all connections of an endpoint, which refuses new ones."""
        self.modes[name] = "refuses"
        for connection in self._open.pop(name, []):
            assert isinstance(connection, MemoryConnection)
            connection.break_()


async def twiml_bin(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with TwiML."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b"<Response><Say>Please call the emergency desk.</Say><Hangup/></Response>"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/xml")]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Clinic:
    """The world of one test."""

    app: Starlette
    twilio: SimulatedTwilio
    """The account of the settings."""
    others: Mapping[str, SimulatedTwilio]
    """The further accounts, by the names of the file."""
    endpoints: Endpoints
    settings: Settings
    address: str
    another: Callable[[], Awaitable[str]]
    """Starts another process, and returns its address."""
    apps: list[Starlette]
    """The applications of all processes."""

    async def kill(self) -> None:
        """Kill the process of all calls. Another process with the same records takes its place."""
        self.twilio.webhooks.reach[PUBLIC] = await self.another()
        for call in self.twilio.calls.values():
            if call.stream is not None:
                call.stream.lose()

    async def record(self, sid: str) -> Any:
        """The record of a call, when the call is over and its callbacks have come."""
        client = self.app.state.phone.call_records.client
        async with asyncio.timeout(60):
            while (row := await client.call(sid)) is None or not row.over:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # the records have no event
        return row


@asynccontextmanager
async def clinic(
    numbers: Any,
    *,
    accounts: Mapping[str, str] | None = None,
    models: Mapping[str, Script] | None = None,
    given: Mapping[str, Any] | None = None,
    sources: Sources | None = None,
    **options: Any,
) -> AsyncIterator[Clinic]:
    """Serves a clinic with configured numbers. `accounts` has the SIDs of further accounts by their names in the file.
    `models` has the scripts of the endpoints by name, and `main` is the endpoint of the settings. `given` has more
    settings.
    """
    sources = sources or Sources(5)
    apps: list[Starlette] = []
    scripts = {
        "silent": SILENT,
        "main": Script(greeting=Reply("Hello, how can I help you?"), otherwise=Reply("Yes.")),
        **(models or {}),
    }
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(LocalRealtimeServer(script, in_memory=True, sources=sources))
            for name, script in scripts.items()
        }
        endpoints = Endpoints(servers)
        twilio = await stack.enter_async_context(SimulatedTwilio(sources=sources, numbers=()))
        others = {}
        for name, sid in (accounts or {}).items():
            token = f"token-of-{name}"
            other = SimulatedTwilio(account_sid=sid, auth_token=token, sources=sources, numbers=(), beside=twilio)
            others[name] = await stack.enter_async_context(other)
        settings = Settings(
            **{
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": twilio.auth_token,
                "telephony_twilio_api_url": twilio.base_url,
                "public_url": PUBLIC,
                "openai_api_key": "unused",
                **(given or {}),
            }
        )
        by_sid = {other.account_sid: other for other in others.values()}

        def account_rest(account: Account) -> TwilioRest:
            other = by_sid[account.sid]
            token = os.environ[account.auth_token_env]
            return TwilioRest(
                account.sid,
                account.sid,
                token,
                base_url=other.base_url,
                http=twilio.http_client(),
                region=account.region,
            )

        def make() -> Starlette:
            app = create_app(
                numbers=numbers,
                settings=settings,
                model_config=RealtimeModelConfig(url="wss://main", api_key="local", transport=endpoints.transport),
                rest=TwilioRest.of(settings, twilio.http_client()),
                account_rest=account_rest,
                sources=sources,
                **options,
            )
            apps.append(app)
            return app

        async def another() -> str:
            return await stack.enter_async_context(twilio.serving(make()))

        app = make()
        address = await stack.enter_async_context(twilio.serving(app))
        fallback = await stack.enter_async_context(twilio.serving(twiml_bin))
        for each in (twilio, *others.values()):
            each.webhooks.reach[PUBLIC] = address
            each.webhooks.reach["https://handler.example.com"] = fallback
        yield Clinic(app, twilio, others, endpoints, settings, address, another, apps)


def own(twilio: SimulatedTwilio, number: str) -> None:
    """Give the account a number that leads to us, with the fallback."""
    owned = twilio.add_number(number, voice_url=f"{PUBLIC}/incoming-call")
    owned.voice_fallback_url, owned.status_callback = BIN, f"{PUBLIC}/call-status"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
