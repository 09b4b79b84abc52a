"""What the endpoints share: `app.state.phone`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from realtime_core.sources import Sources

from ..call.call import Call, CallInfo
from ..call.options import AgentSource, CallOptions
from ..call.ports import PhoneControl
from ..call.registry import Registry
from ..console.feed import Feeds
from ..errors import NotStarted
from ..journal.journals import Journals
from ..logs import Repeats
from ..metrics import Metrics
from ..records.client import RecordsClient
from ..settings import Settings, is_loopback
from ..twilio.callbacks import ProgressBook
from ..twilio.refusal import Refusal, parse_refusal
from .addresses import Addresses
from .authentication import Authenticator
from .call_metrics import CallMetrics
from .call_records import CallRecords
from .hooks import Hooks
from .limits import Caps, Limits
from .middleware import base_of, root_of
from .routing import Agents, Routing
from .stream_admission import StreamAdmission

__all__ = ["BROWSER", "PhoneServer", "phone_of"]

log = logging.getLogger(__name__)

BROWSER = "telephony.browser"
"""In the scope of a connection that a softphone makes in Twilio's place: the parameters that its stream is to have."""
_NO_TLS = (
    "Twilio is given addresses under {base!r}, and opens media streams over TLS only (31922). Set PUBLIC_URL to the "
    "https address that Twilio calls, or have the proxy that ends TLS send `X-Forwarded-Proto: https`."
)
_REATTACH_S = 10.0
"""Twilio asks for what comes next as soon as it finds a stream broken; then the new one takes a second or two."""
MAX_LAG_S = 0.25
"""A process whose event loop is later than this accepts no new calls."""
_LAG_EVERY_S = 0.25
_LAG_DECAY = 0.8
"""After a stall of one second, the delay is reported as more than 0.25 s for another 1.5 s."""


class LoopLag:
    """Measures the delay of the event loop. `seconds` is the recent maximum, which decays.

    A large delay means that the process has more calls than it can serve.
    """

    def __init__(self, on_change: Callable[[float], None] = lambda seconds: None) -> None:
        self.seconds = 0.0
        self._on_change = on_change

    async def watch(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            self.seconds = max(clock() - due, self.seconds * _LAG_DECAY, 0.0)
            self._on_change(self.seconds)


@dataclass(slots=True)
class PhoneServer:
    """One application's parts and state."""

    settings: Settings
    routing: Routing
    registry: Registry
    limits: Limits
    authenticator: Authenticator
    stream_admission: StreamAdmission
    metrics: Metrics
    lag: LoopLag
    instance: str
    hooks: Hooks
    call_records: CallRecords
    journals: Journals
    control: PhoneControl | None
    sources: Sources
    defaults: CallOptions
    """What is the same for all calls."""
    outgoing: Mapping[str, AgentSource] = field(default_factory=dict)
    """Agents that `POST /calls` may name."""
    feeds: Feeds = field(default_factory=Feeds)
    progress: ProgressBook = field(default_factory=ProgressBook)
    repeats: Repeats = field(default_factory=lambda: Repeats(log))
    root_path: str = ""
    """Where the last request found us mounted: for addresses that belong to no request."""
    refusals: Repeats = field(default_factory=lambda: Repeats(log))
    """Tells in the log which calls were refused."""
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
        base = base_of(connection, self.settings.public_url)
        parts = urlsplit(base)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            self.repeats.warning("no TLS", _NO_TLS.format(base=base))
        return Addresses(base, self.instance, self.stream_admission.parameters)

    def options(self, connection: HTTPConnection) -> CallOptions:
        """How to run the call that this connection is about. Twilio's API knows no call of a softphone: that one is
        led on by the answers to its webhooks alone."""
        return replace(
            self.defaults,
            way_back=self.addresses(connection),
            on_event=(*self.defaults.on_event, CallMetrics(self.metrics).on_event),
            control=None if BROWSER in connection.scope else self.defaults.control,
        )

    def warm(self, connection: HTTPConnection, info: CallInfo) -> None:
        """Connect the model while Twilio is still setting the stream up."""
        if self.settings.telephony_warm:
            self.registry.begin_warm(info, self.routing.source, self.options(connection))

    def refuse_call(self, call_sid: str, caller: str) -> tuple[str, Refusal] | None:
        """Why a new call is not taken, and how to answer it; None: it is, and has its place from now on."""
        settings = self.settings
        if self.registry.draining:
            return "draining", parse_refusal(settings.telephony_when_draining)
        if not self.journals.takes_calls:
            self.journals.refused()
            return "journal", parse_refusal(settings.telephony_when_full)
        if not self.takes_calls:
            return "full", parse_refusal(settings.telephony_when_full)
        over = self.limits.admit(call_sid, caller, self.now)
        if over is None:
            return None
        answer = settings.telephony_when_full if over == "full" else settings.telephony_when_limited
        return over, parse_refusal(answer)

    def call_started(self, call: Call) -> None:
        self.limits.started(call.sid, self.now)
        self.metrics.call_started()
        self.call_records.started(call)

    def call_ended(self, call: Call) -> None:
        duration_s = self.limits.ended(call.sid, self.now)
        self.metrics.call_ended(duration_s)
        self.call_records.ended(call, duration_s)

    @classmethod
    def assemble(
        cls,
        agents: Agents,
        settings: Settings,
        options: CallOptions,
        *,
        control: PhoneControl | None,
        client: RecordsClient,
        journals: Journals,
    ) -> PhoneServer:
        """Make the parts and join them. `options`: what the application says about its calls."""
        metrics, sources = Metrics(), options.sources
        instance = settings.telephony_instance or sources.token(4)
        registry = Registry(settings.telephony_max_calls, lambda: journals.takes_calls)
        hooks = Hooks.of(registry)
        limits = Limits(_caps(settings))
        phone = cls(
            settings=settings,
            routing=Routing(agents),
            registry=registry,
            limits=limits,
            authenticator=Authenticator(settings, on_refused=metrics.request_refused),
            stream_admission=StreamAdmission(settings, registry, sources, client=client, limits=limits, calls=hooks),
            metrics=metrics,
            lag=LoopLag(metrics.loop_lag),
            instance=instance,
            hooks=hooks,
            call_records=CallRecords(client, settings, instance, sources),
            journals=journals,
            control=control,
            sources=sources,
            defaults=options,
        )
        phone.defaults = replace(
            options,
            journal=lambda info: phone.feeds.tee(info.sid, journals.open(info.sid)),
            admit=phone.stream_admission.admit,
            control=control,
            reattach_s=_REATTACH_S,
            apology=settings.telephony_apology,
            own_number=settings.twilio_phone_number,
            fallback=settings.telephony_fallback_number,
            cpu_clock=time.process_time,
            followed=phone.call_records.followed,
            on_stream=phone.call_records.stream,
            on_refused=phone.call_records.refused,
            on_start=phone.call_started,
            on_end=phone.call_ended,
            on_failure=metrics.application_failed,
        )
        return phone


def phone_of(connection: HTTPConnection) -> PhoneServer:
    """The phone of the application that this connection came to; it remembers where it was found mounted.

    Raises:
        NotStarted: the application's lifespan was not run.
    """
    phone: Any = getattr(connection.app.state, "phone", None)
    if phone is None:
        raise NotStarted(
            "This application was not started: nothing has run its ASGI lifespan. Mounted in another application, "
            'that one has to run it: Starlette(routes=[Mount("/voice", phone)], '
            "lifespan=phone.router.lifespan_context), or FastAPI(lifespan=phone.router.lifespan_context) and "
            'app.mount("/voice", phone). Or start it with a server that runs the lifespan: uvicorn without '
            "`--lifespan off`, hypercorn or granian; daphne does not."
        )
    assert isinstance(phone, PhoneServer)
    phone.root_path = root_of(connection)
    return phone


def _caps(settings: Settings) -> Caps:
    """Callers and minutes are counted where they cost something: not on this machine's own test calls."""
    if not settings.can_be_rung:
        return Caps(settings.telephony_max_calls)
    return Caps(
        settings.telephony_max_calls,
        per_caller_hour=settings.telephony_calls_per_caller_hour,
        withheld_hour=settings.telephony_withheld_calls_per_hour,
        minutes_per_day=settings.telephony_minutes_per_day,
    )
