"""Two processes behind a proxy (two applications, and Twilio's `reach`): wherever a stream or a webhook lands, the
caller is served. Real sockets, the simulated Twilio, the embedded script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette

from realtime_core import RealtimeAgent
from telephony import create_app, load_settings
from telephony.simulator import SimulatedTwilio
from telephony.web.phone_server import PhoneServer
from telephony.web.server import listening
from tests.support.call_processes import break_stream, listener, patient, until

pytestmark = pytest.mark.real_time

PUBLIC = "https://phone.example.com"
TOKEN = "a-token"
NUMBER = "+14155550199"


@dataclass
class World:
    twilio: SimulatedTwilio
    apps: dict[str, Starlette]
    addresses: dict[str, str]

    def phone(self, name: str) -> PhoneServer:
        phone: PhoneServer = self.apps[name].state.phone
        return phone

    def route(self, **paths: str) -> None:
        """The proxy: each address goes to the process with the name in its path, except for these: `{path:
        application}`. The rest goes to a.
        """
        special = {
            f"{PUBLIC}/{path.replace('__', '/').replace('_', '-')}": self.addresses[to] for path, to in paths.items()
        }
        self.twilio.webhooks.reach = {
            **{key: value + key.removeprefix(PUBLIC) for key, value in special.items()},
            f"{PUBLIC}/i/b": f"{self.addresses['b']}/i/b",
            PUBLIC: self.addresses["a"],
        }


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        apps, addresses = {}, {}
        for name in "ab":
            settings = load_settings(
                public_url=PUBLIC, twilio_auth_token=TOKEN, telephony_model="scripted", telephony_instance=name
            )
            apps[name] = create_app(RealtimeAgent(name="Desk"), settings=settings, greeting="Greet the caller.")
            addresses[name] = await stack.enter_async_context(listening(apps[name]))
        twilio = await stack.enter_async_context(SimulatedTwilio(auth_token=TOKEN))
        twilio.add_number(NUMBER, voice_url=f"{PUBLIC}/incoming-call")
        it = World(twilio, apps, addresses)
        it.route()
        yield it


def begun(it: World, name: str) -> float:
    """The number of inbound calls that this process has begun."""
    registry = it.phone(name).metrics.registry
    return registry.get_sample_value("telephony_calls_total", {"direction": "inbound"}) or 0


async def test_a_call_stays_with_its_process() -> None:
    async with asyncio.timeout(120), world() as it:
        call = await it.twilio.ring(caller=listener)
        assert len(call.streams) == 1 and not call.warnings
        await until(lambda: not it.phone("a").registry)
        assert not it.phone("b").registry
        assert begun(it, "a") == 1
        assert begun(it, "b") == 0


async def test_a_stream_that_lands_elsewhere_is_served() -> None:
    async with asyncio.timeout(120), world() as it:
        it.route(i__a__media_stream="b")
        call = await it.twilio.ring(caller=listener)
        assert not call.warnings
        assert begun(it, "b") == 1


async def test_a_lost_stream_comes_back_to_the_same_call() -> None:
    async with asyncio.timeout(120), world() as it:
        call = it.twilio.start_ringing(caller=patient)
        registry = it.phone("a").registry
        await until(lambda: call.streams and len(call.heard) > 4000 and len(registry))
        (talking,) = registry
        break_stream(call)
        await until(lambda: len(call.streams) == 2 and call.stream is not None)
        assert list(registry) == [talking]
        await until(lambda: call.stream and len(call.stream.heard) > 4000)
        call.phone.hang_up()
        await call.finished()
        await until(lambda: not registry)


async def test_a_call_that_no_process_has_gets_an_apology_and_ends() -> None:
    async with asyncio.timeout(120), world() as it:
        it.route(i__a__after_stream="b")
        call = it.twilio.start_ringing(caller=patient)
        await until(lambda: call.streams and len(call.heard) > 4000)
        break_stream(call)
        await call.finished()
        assert len(call.streams) == 1
        assert call.status == "completed"


async def test_a_stream_that_breaks_for_the_third_time_is_given_up() -> None:
    async with asyncio.timeout(60), world() as it:
        call = it.twilio.start_ringing(caller=patient)
        for streams in (1, 2, 3):
            await until(lambda: len(call.streams) == streams and call.stream is not None)  # noqa: B023
            await until(lambda: len(it.phone("a").registry) == 1)
            await asyncio.sleep(0.2)
            break_stream(call)
        await call.finished()
        assert len(call.streams) == 3
