"""An application that answers and places calls on the simulated Twilio, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.sources import Sources
from telephony import create_app
from telephony.settings import Settings
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.twilio import OWN_NUMBER
from telephony.twilio.rest import TwilioRest

PUBLIC = "https://phone.example.com"


@asynccontextmanager
async def office(
    script: Script, *, agent: Any = None, given: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[SimulatedTwilio, Starlette]]:
    """Serves an office. `given` has more settings, and `options` has arguments of `create_app`."""
    sources = Sources(5)
    async with (
        LocalRealtimeServer(script, in_memory=True, sources=sources) as model,
        SimulatedTwilio(sources=sources) as twilio,
    ):
        settings = Settings(
            **{
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": twilio.auth_token,
                "twilio_phone_number": OWN_NUMBER,
                "telephony_twilio_api_url": twilio.base_url,
                "public_url": PUBLIC,
                "openai_api_key": "unused",
                **(given or {}),
            }
        )
        app = create_app(
            agent or RealtimeAgent(name="Desk"),
            greeting="Greet.",
            settings=settings,
            model_config=RealtimeModelConfig(**model.model_config),
            rest=TwilioRest.of(settings, twilio.http_client()),
            sources=sources,
            **options,
        )
        async with twilio.serving(app) as address:
            twilio.webhooks.reach[PUBLIC] = address
            twilio.numbers[OWN_NUMBER].voice_url = f"{PUBLIC}/incoming-call"
            yield twilio, app


async def talks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.1)
