"""What the endpoints share: `app.state.phone`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

from realtime_core import RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.sources import Sources

from ..call.call import Call
from ..call.limits import Caps, Limits
from ..call.registry import Registry
from ..metrics import Metrics
from ..settings import Settings
from ..twilio.callbacks import ProgressBook
from ..twilio.refusal import Refusal, parse_refusal
from .addresses import Addresses
from .admission import Admission
from .guard import Guard
from .hooks import Hooks
from .loop_lag import LoopLag
from .routing import Agents, Routing

__all__ = ["Phone"]

MAX_LAG_S = 0.25
"""A loop that is so late serves the calls it has badly enough: it takes no more."""


@dataclass(slots=True)
class Phone:
    """One application's parts and state."""

    settings: Settings
    routing: Routing
    registry: Registry
    limits: Limits
    guard: Guard
    admission: Admission
    metrics: Metrics
    lag: LoopLag
    instance: str
    greeting: str | None
    model: RealtimeModel | Callable[[], RealtimeModel] | None
    model_config: RealtimeModelConfig
    run_config: RealtimeRunConfig
    sources: Sources
    data: Mapping[str, Any]
    hooks: Hooks
    progress: ProgressBook = field(default_factory=ProgressBook)
    ready: bool = False

    @property
    def now(self) -> float:
        """Unix time."""
        return self.sources.now().timestamp()

    @property
    def takes_calls(self) -> bool:
        return self.ready and self.registry.has_room and self.lag.seconds < MAX_LAG_S

    def addresses(self, connection: HTTPConnection) -> Addresses:
        """What Twilio may call us; without PUBLIC_URL, what this request called us."""
        base = self.settings.public_url or f"{connection.url.scheme}://{connection.url.netloc}"
        return Addresses(base, self.instance)

    def refuse_call(self, call_sid: str, caller: str) -> tuple[str, Refusal] | None:
        """Why a new call is not taken, and how to answer it; None: it is, and has its place from now on."""
        settings = self.settings
        if self.registry.draining:
            return "draining", parse_refusal(settings.telephony_when_draining)
        if not self.takes_calls:
            return "full", parse_refusal(settings.telephony_when_full)
        over = self.limits.admit(call_sid, caller, self.now)
        if over is None:
            return None
        answer = settings.telephony_when_full if over == "full" else settings.telephony_when_limited
        return over, parse_refusal(answer)

    def call_started(self, call: Call) -> None:
        self.registry.add(call)
        self.limits.started(call.sid, self.now)
        self.metrics.call_started()

    def call_ended(self, call: Call) -> None:
        self.registry.remove(call)
        self.metrics.call_ended(self.limits.ended(call.sid, self.now))

    async def farewell(self) -> None:
        """The process stops: have the live calls say goodbye and hang up."""
        if self.hooks.farewell is not None:
            await self.hooks.farewell()
            return
        async with asyncio.TaskGroup() as group:
            for call in self.registry:
                group.create_task(call.hang_up(within_s=self.settings.telephony_farewell_s / 2))

    @classmethod
    def assemble(
        cls,
        agents: Agents,
        settings: Settings,
        *,
        greeting: str | None,
        model: RealtimeModel | Callable[[], RealtimeModel] | None,
        model_config: RealtimeModelConfig,
        run_config: RealtimeRunConfig,
        data: Mapping[str, Any],
        sources: Sources,
    ) -> Phone:
        """Make the parts and join them."""
        metrics, hooks = Metrics(), Hooks()
        registry = Registry(settings.telephony_max_calls)
        limits = Limits(_caps(settings))
        return cls(
            settings=settings,
            routing=Routing(agents),
            registry=registry,
            limits=limits,
            guard=Guard(settings, on_refused=metrics.request_refused),
            admission=Admission(settings, registry, sources, limits=limits, hooks=hooks),
            metrics=metrics,
            lag=LoopLag(metrics.loop_lag),
            instance=settings.telephony_instance or sources.token(4),
            greeting=greeting,
            model=model,
            model_config=model_config,
            run_config=run_config,
            sources=sources,
            data=data,
            hooks=hooks,
        )


def _caps(settings: Settings) -> Caps:
    """Callers and minutes are counted where they cost something: not on this machine's own test calls."""
    if not settings.can_be_rung:
        return Caps(settings.telephony_max_calls)
    return Caps(
        settings.telephony_max_calls,
        per_caller_hour=settings.telephony_calls_per_caller_hour,
        minutes_per_day=settings.telephony_minutes_per_day,
    )
