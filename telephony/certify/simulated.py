"""Runs `telephony certify` against the simulated Twilio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import SecretStr

from realtime_core.sources import Sources

from ..settings import Settings
from ..simulator.deviations import NONE, Deviations
from ..simulator.line import Line
from ..simulator.twilio import SimulatedTwilio
from ..twilio.rest import TwilioRest
from .runner import Certificate, run_calls
from .scenarios import SCENARIOS, Scenario
from .server import CertifyServer

__all__ = ["FAR", "NEAR", "certify_simulated"]

NEAR, FAR = "+14155550199", "+14155550198"
_BASE = "https://certify.example"
ROUND_TRIP_S = 0.06


async def certify_simulated(
    *,
    deviations: Deviations = NONE,
    start_delay_s: float = 0.06,
    lost: Sequence[str] = (),
    scenarios: Sequence[Scenario] = SCENARIOS,
    silence_s: float = 20.0,
    seed: int = 1,
    in_memory: bool | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Certificate:
    """Makes the calls of `telephony certify` on a simulated Twilio, one for each scenario, and returns the result.
    `deviations` are the differences from Twilio's documented behaviour that the simulation has. `start_delay_s` is the
    time in seconds from the arrival of audio at Twilio until it plays. `lost` has the callbacks that Twilio does not
    send, such as `ringing`. `silence_s` is the time in seconds of a call in which nobody speaks.

    `seed` is the random seed. With `in_memory`, there are no sockets (None: no sockets in virtual time). `on_progress`
    is called with the name of each scenario before its call. In virtual time all calls take a few seconds.
    """
    sources = Sources(seed)
    line = Line(round_trip_s=ROUND_TRIP_S, jitter_s=0.01, start_delay_s=start_delay_s, ticks=True, seed=seed)
    async with SimulatedTwilio(numbers=(NEAR, FAR), line=line, sources=sources, in_memory=in_memory) as twilio:
        server = CertifyServer(_BASE, twilio.auth_token, sources.token(12))
        async with twilio.serving(server.app) as address:
            twilio.webhooks.reach[_BASE] = address
            twilio.numbers[FAR].voice_url = server.address("far")
            twilio.deviations, twilio.faults.lost = deviations, lost
            settings = Settings(
                twilio_account_sid=twilio.account_sid, twilio_auth_token=SecretStr(twilio.auth_token),
                telephony_twilio_api_url=twilio.base_url,
            )  # fmt: skip
            rest = TwilioRest.of(settings, twilio.http_client())
            try:
                return await run_calls(
                    server, rest, from_=NEAR, to=FAR, simulated=True, scenarios=scenarios, silence_s=silence_s,
                    on_progress=on_progress,
                )  # fmt: skip
            finally:
                rest.close()
