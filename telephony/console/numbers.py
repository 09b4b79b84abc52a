"""The route of the configured numbers, for a page of the console: `GET /console/api/numbers`. The page cannot change
the numbers.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_core import RealtimeAgent

from ..numbers.config import Step, StepKind
from ..numbers.ladder import Ladder, ladder_of
from ..web.live_numbers import LiveNumbers
from .access import Scope
from .console import console_of

__all__ = ["routes"]

_NO_STORE = {"Cache-Control": "no-store"}


def routes() -> list[BaseRoute]:
    return [Route("/console/api/numbers", list_numbers)]


async def list_numbers(request: Request) -> Response:
    """Returns the configured phone numbers, as `{"numbers": [...], "models": {...}, "file": path, "problems": [...]}`.
    `numbers` has the configuration of each number that the client may see. `models` has the state of each model
    endpoint by its name. `file` is the path of the numbers file, and `problems` are texts about errors in this file.
    """
    console = console_of(request)
    phone = console.phone
    grant = await console.access.admit(request, Scope.VIEW)
    numbers = phone.numbers
    if numbers is None:
        return JSONResponse({"numbers": [], "models": {}, "file": "", "problems": []}, headers=_NO_STORE)
    fallback, now = phone.settings.telephony_fallback_number, phone.sources.now()
    rows = [row for row in _rows(numbers, fallback, now) if grant.allows(Scope.VIEW, row["number"])]
    states = {name: state.value for name, state in numbers.endpoints.states().items()}
    shown = {"numbers": rows, "models": states, "file": str(numbers.path or ""), "problems": numbers.problems}
    return JSONResponse(shown, headers=_NO_STORE)


def _rows(numbers: LiveNumbers, fallback: str | None, now: Any) -> list[dict[str, Any]]:
    config, rows = numbers.book.config, []
    for key, number in config.numbers.items():
        hours = config.hours_of(number)
        state = None if hours is None else hours.at(now)
        rows.append(
            {
                "number": key,
                "account": number.account,
                "agent": _name(number.agent),
                "languages": list(number.offered),
                "hours": number.hours if isinstance(number.hours, str) else "",
                "open": state is None or state.is_open,
                "why": "" if state is None else state.name or state.why,
                "models": list(number.models),
                "steps": [_step(step) for step in ladder_of(number, Ladder.OPEN, fallback)],
                "closed": [_step(step) for step in ladder_of(number, Ladder.CLOSED, fallback)],
                "fallback_url": number.fallback_url,
                "consent": number.consent.policy.value,
                "recording": "required" if number.recording.required else "on" if number.recording.enabled else "off",
            }
        )
    return rows


def _name(agent: Any) -> str:
    if isinstance(agent, str):
        return agent
    return agent.name if isinstance(agent, RealtimeAgent) else getattr(agent, "__name__", "agent")


def _step(step: Step) -> str:
    match step.kind:
        case StepKind.AGENT:
            return _name(step.agent)
        case StepKind.DIAL:
            return f"dial {step.dial}"
        case StepKind.VOICEMAIL:
            return "voicemail"
        case StepKind.SAY:
            return "notice"
