"""Makes the calls of `telephony certify`, one after the other. This command checks in real calls how Twilio's media
streams behave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import TwilioError
from ..twilio.rest import TwilioRest
from .call_checks import Check, proposals
from .leg import Leg
from .scenarios import SCENARIOS, Scenario, ScenarioCall, check_signatures, check_statuses
from .server import CertifiedCall, CertifyServer

__all__ = ["Certificate", "cost_usd", "run_calls"]

OUT_USD, IN_USD, AMD_USD = 0.014, 0.0085, 0.0075
"""Twilio's list prices for US numbers, in US dollars: one minute of an outgoing call, one minute of an inbound call,
one machine detection. https://www.twilio.com/en-us/voice/pricing/us"""
_STATUS_S = 5.0


@dataclass(slots=True)
class Certificate:
    """The result of all calls of `telephony certify`: the calls, the results of the checks, and the cost in
    US dollars.
    """

    simulated: bool
    calls: list[dict[str, Any]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    cost_usd: float = 0.0

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def suspects(self) -> list[str]:
        """The names of Twilio's known deviations from its documentation that the results of the checks show, sorted."""
        return sorted({check.suspects for check in self.checks if check.suspects})

    def to_json(self) -> dict[str, Any]:
        return {
            "simulated": self.simulated,
            "passed": self.passed,
            "deviations": self.suspects,
            "proposals": proposals(self.checks),
            "cost_usd": round(self.cost_usd, 4),
            "checks": [check.to_json() for check in self.checks],
            "calls": self.calls,
        }


def cost_usd(scenarios: Sequence[Scenario] = SCENARIOS) -> float:
    """Returns the maximum cost of the calls of all scenarios in US dollars, by list prices. Each started minute is
    counted for both ends of a call.
    """
    return sum(each.minutes * (OUT_USD + IN_USD) + each.detects * AMD_USD for each in scenarios)


async def run_calls(
    server: CertifyServer,
    rest: TwilioRest,
    *,
    from_: str,
    to: str,
    simulated: bool,
    scenarios: Sequence[Scenario] = SCENARIOS,
    silence_s: float = 20.0,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Certificate:
    """Makes one call for each scenario from the number `from_` to the number `to`, one after the other. Returns the
    result of all calls. The webhook of `to` must be `server.address("far")`. `silence_s` is the time in seconds of a
    call in which nobody speaks. `simulated` says whether Twilio is simulated, and is stored in the result.
    `on_progress` is called with the name of each scenario before its call.

    Raises `TwilioError` if a call cannot be placed.
    """
    certificate = Certificate(simulated, cost_usd=cost_usd(scenarios))
    for scenario in scenarios:
        on_progress(scenario.name)
        call = CertifiedCall(scenario.name, Leg(), Leg(), scenario.near_twiml, scenario.far_twiml)
        server.call = call
        options: dict[str, Any] = {}
        if scenario.detects:
            options = {"machine_detection": "DetectMessageEnd", "amd_callback": server.address("near", "machine")}
        sid = await rest.create_call(
            to=to, from_=from_, url=server.address("near"), status_callback=server.address("near", "status"), **options
        )
        placed = ScenarioCall(call, server, hang_up=rest.hang_up, redirect=rest.redirect, silence_s=silence_s)
        checks: list[Check] = []
        try:
            if not scenario.detects and not await placed.both():
                checks.append(Check(scenario.name, False, "the two ends did not get their streams within 20 s"))
            else:
                checks += await scenario.run(placed)
        except TimeoutError:
            checks.append(Check(scenario.name, False, "it took too long"))
        finally:
            for leg in (sid, call.far.call_sid):
                with suppress(TwilioError):
                    if leg:
                        await rest.hang_up(leg)
        await _statuses(call)
        checks.append(check_statuses(scenario.name, call.statuses))
        certificate.checks += checks
        certificate.calls.append({"name": scenario.name, "sid": sid, "statuses": call.statuses})
        server.call = None
    certificate.checks += check_signatures(server.signed)
    return certificate


async def _statuses(call: CertifiedCall) -> None:
    """Waits for the last status callback of a call."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_STATUS_S):
            while "completed" not in call.statuses:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
