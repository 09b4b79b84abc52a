"""The parts and the state of one application that all endpoints share: `app.state.phone`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from realtime_core.sources import Sources

from ..call.call import Call, CallInfo
from ..call.call_info import OUTBOUND
from ..call.ending import Ending, EndReason
from ..call.line.latency import Latency
from ..call.options import AgentSource, CallOptions
from ..call.ports import PhoneControl
from ..call.registry import Registry
from ..call.simulation import Simulation
from ..errors import NotStarted
from ..journal.journals import Journals
from ..logs import Repeats
from ..metrics import Metrics
from ..outbound.dialing_rules import DialingRules
from ..outbound.keypad_opt_out import KeypadOptOut
from ..outbound.opt_out_list import OptOutList
from ..outcomes.result_form import RECORD_RESULT, ResultForm
from ..setting_values import is_loopback
from ..settings import Settings
from ..tracing import Tracing, traced
from ..twilio.callbacks import ProgressBook
from ..twilio.refusal import Refusal, parse_refusal
from ..twilio.rest import TwilioRest
from .addresses import Addresses
from .authentication import Authenticator
from .budgets import Budgets
from .call_log import ended_line, started_line
from .call_metrics import CallMetrics
from .call_outcomes import CallOutcomes, with_form
from .call_records import CallRecords
from .calls_elsewhere import CallsElsewhere
from .canaries import Canaries
from .hooks import Hooks
from .limits import Limits
from .live_numbers import LiveNumbers, RoutedCall
from .loop_lag import LoopLag
from .middleware import base_of, root_of
from .number_options import agent_of, canary_of, number_options
from .observed_call import Display, ObservedCall
from .routing import Routing
from .stream_admission import StreamAdmission
from .twilio_prices import TwilioPrices
from .voicemails import Voicemails

if TYPE_CHECKING:
    from ..campaigns.ring_back import RingBack
    from ..campaigns.service import Campaigns
    from ..outbound.placed_call import PlacedCall

__all__ = ["BROWSER", "PhoneServer", "phone_of"]

log = logging.getLogger(__name__)

BROWSER = "telephony.browser"
"""The key in the ASGI scope of a request that a softphone (a phone in the browser) sends in place of Twilio. The value
has the parameters for the media stream of the call.
"""
_NO_TLS = (
    "Twilio gets addresses under {base!r}, but it opens media streams over TLS only (31922). Set PUBLIC_URL to the "
    "https address that Twilio calls, or let the proxy that ends TLS send `X-Forwarded-Proto: https`."
)


@dataclass(slots=True)
class PhoneServer:
    """The state that the routes of one application (`create_app`) share: the settings, the limits, the live calls, the
    call records and the options of calls. `phone_of` returns the `PhoneServer` of a request.
    """

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
    calls_elsewhere: CallsElsewhere
    """Reads the states of the calls of other processes from the database."""
    dialing_rules: DialingRules
    opt_outs: OptOutList
    budgets: Budgets
    outcomes: CallOutcomes
    journals: Journals
    prices: TwilioPrices
    control: PhoneControl | None
    sources: Sources
    defaults: CallOptions
    """The options that are the same for all calls."""
    display: Callable[[], Display]
    """A function that returns an object that shows one live call in the console."""
    simulation: Simulation = field(default_factory=Simulation)
    """The simulated calls of this application: the calls from the softphone, and all calls if Twilio is simulated."""
    outgoing: Mapping[str, AgentSource] = field(default_factory=dict)
    """The agents that a request to `POST /calls` may name, by name."""
    progress: ProgressBook = field(default_factory=ProgressBook)
    repeats: Repeats = field(default_factory=lambda: Repeats(log))
    root_path: str = ""
    """The path under which the application was mounted in the last request. Used for URLs that are created without a
    request.
    """
    refusals: Repeats = field(default_factory=lambda: Repeats(log))
    """Logs refused calls with a rate limit."""
    tracing: Tracing | None = None
    """Creates a trace of each call, or None if traces are switched off."""
    keypad: KeypadOptOut | None = None
    """Handles the key TELEPHONY_OPT_OUT_KEY: a person who presses this key is added to the do-not-call list."""
    numbers: LiveNumbers | None = None
    """The configured numbers, or None if no numbers are configured."""
    canaries: Canaries = field(init=False)
    """The versions of the agents, including new versions for a part of the callers (canaries)."""
    voicemails: Voicemails = field(init=False)
    campaigns: Campaigns | None = None
    """The campaigns in the database, or None if there is no database."""
    ring_back: RingBack | None = None
    """Recognises contacts of campaigns who call the application, or None if there are no campaigns."""
    ready: bool = False

    @property
    def now(self) -> float:
        """The current Unix time in seconds."""
        return self.sources.now().timestamp()

    @property
    def takes_calls(self) -> bool:
        return self.ready and self.registry.has_room and self.lag.seconds <= self.settings.telephony_max_loop_lag_s

    def addresses(self, connection: HTTPConnection) -> Addresses:
        """Returns the URLs of this process for Twilio. The base is PUBLIC_URL, or the URL of the request
        `connection`.
        """
        base = base_of(connection, self.settings.public_url)
        parts = urlsplit(base)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            self.repeats.warning("no TLS", _NO_TLS.format(base=base))
        return Addresses(base, self.instance, self.stream_admission.parameters)

    def answer(self, connection: HTTPConnection, info: CallInfo | None = None) -> tuple[AgentSource, CallOptions]:
        """Returns the agent and the options for an inbound call. `info` has the data of the call, or None if the call
        is not known yet.
        """
        form = self.outcomes.form()
        options = self.options(connection, form)
        own = self.canaries.source(self.routing.source)
        if self.numbers is None or info is None:
            return self._prepared(own, form), options
        routed = self.numbers.resumed(info.sid, info.called, info.caller, info.route, self.sources.now())
        if routed is None:
            return self._prepared(own, form), options
        agent, options = number_options(self.numbers, routed, options, self.addresses(connection))
        agent = self.canaries.source(agent, canary_of(routed), lambda it: agent_of(routed, it))
        return self._prepared(agent, form), options

    def _prepared(self, agent: AgentSource, form: ResultForm | None) -> AgentSource:
        """Returns the agent with the result tool, and with the data that campaigns have about the caller."""
        return with_form(agent if self.ring_back is None else self.ring_back.source(agent), form)

    def options(self, connection: HTTPConnection, form: ResultForm | None = None, *, agent: str = "") -> CallOptions:
        """Returns the options for the call of this connection. `form` is the result form that the agent fills in.
        `agent` is the name of the agent, or empty if the name is not known.

        A call from a softphone has no `control`, because Twilio's REST API does not know this call. Such a call is
        controlled only by TwiML.
        """
        from_browser = BROWSER in connection.scope
        observed = ObservedCall(
            form,
            agent=agent,
            display=self.display(),
            on_start=self.call_started,
            on_progress=self.call_changed,
            on_end=self.call_ended,
        )
        counted = CallMetrics(self.metrics, self.outcomes.models.speech)

        def on_latency(latency: Latency) -> None:
            observed.on_latency(latency)
            self.metrics.caller_latency(latency, observed.speaking)

        pressed = self.defaults.on_digit if self.keypad is None else self.keypad.pressed

        def on_digit(call: Call, digit: str) -> None:
            observed.on_digit()
            pressed(call, digit)

        options = replace(
            self.defaults,
            addresses=self.addresses(connection),
            on_event=(
                *self.defaults.on_event,
                counted.on_event,
                observed.on_event,
            ),
            on_start=observed.start,
            on_end=observed.end,
            on_latency=on_latency,
            on_digit=on_digit,
            on_record=observed.on_record,
            added_tools=() if form is None else (RECORD_RESULT,),
            control=None if from_browser else self.defaults.control,
            simulation=self.simulation if from_browser or self.settings.is_simulation else None,
        )

        return options if self.tracing is None else traced(options, self.tracing.call())

    def recording_source(self, call: RoutedCall) -> TwilioRest | None:
        """Returns the client of Twilio's REST API that can read the recordings of a call: that of the number's Twilio
        account. Returns None without credentials.
        """
        own = None if self.numbers is None else self.numbers.rest(call)
        return own or self._own_rest

    def warm(self, connection: HTTPConnection, info: CallInfo) -> None:
        """Begins the call of `info` before its media stream starts, and connects the model, while Twilio opens the
        media stream.
        """
        if self.settings.telephony_warm:
            self.registry.begin_warm(info, *self.answer(connection, info))

    async def refuse_call(self, call_sid: str, caller: str) -> tuple[str, Refusal] | None:
        """Returns why a new call is refused, and the answer to the call. Returns None if the call is accepted and
        counted.
        """
        is_known = self.limits.expects(call_sid) or self.registry.knows(call_sid)
        refused = self._refusal(call_sid, caller)
        if refused is None and not is_known and await self.budgets.problem(caller):
            self.limits.ended(call_sid, self.now)
            return "budget", parse_refusal(self.settings.telephony_when_limited)
        return refused

    def _refusal(self, call_sid: str, caller: str) -> tuple[str, Refusal] | None:
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

    def call_started(self, call: Call, observed: ObservedCall) -> None:
        info = call.info
        self.limits.started(call.sid, self.now)
        if self.numbers is not None:
            self.numbers.started(call.sid, self.now)
        self.metrics.call_started(info.direction)
        self.call_records.started(call)
        if self.ring_back is not None:
            self.ring_back.started(call)
        agent = observed.agent or self.routing.name(info.called)
        log.info("%s", started_line(call.sid, info.direction, info.caller, info.called, agent))

    def call_changed(self, call: Call, observed: ObservedCall) -> None:
        self.call_records.progress(call, observed.details)

    def call_ended(self, call: Call, observed: ObservedCall) -> None:
        details, duration_s = observed.details, self.limits.ended(call.sid, self.now)
        ending, agents = Ending.parse(call.ended), details.agents
        reason = "unknown" if ending is None else ending.reason.name.lower()
        self.metrics.call_ended(call.info.direction, agents[-1] if agents else "", reason, duration_s)
        failed = ending is not None and ending.reason is EndReason.FAILED
        failed = failed or any(counts["failures"] for counts in details.tools.values())
        if (version := self.canaries.ended(call.sid, failed=failed)) is not None:
            self.metrics.version_ended(str(version), failed=failed, responses_s=observed.responses_s)
        cost = self.outcomes.cost(observed.usage, observed.transcribed)
        if observed.usage.requests:
            self.metrics.model_cost(self.outcomes.models.speech, cost)
        outcome = {**self.outcomes.changes(call, observed.form, cost), "variant": str(version or "")}
        goes_on = False
        if self.numbers is not None:
            self.numbers.ended(call.sid, self.now, cost)
            goes_on = ending is not None and ending.reason is EndReason.FAILED and self.numbers.of(call.sid) is not None
        self.call_records.ended(
            call, duration_s, details, outcome, hold_s=self.outcomes.hold_s, goes_on=goes_on and call.had_stream
        )
        self.outcomes.ended(call, observed.form, details, duration_s, cost)
        journal, why = self.journals.reference(call.sid), str(call.masked(call.ended))
        log.info("%s", ended_line(call.sid, duration_s, why, observed.responses_s, cost, journal))
        if call.info.direction != OUTBOUND and (rest := self._charging(call)) is not None:
            self.prices.ended(call.sid, call.sid, rest)

    def _charging(self, call: Call) -> TwilioRest | None:
        """Returns the client of Twilio's REST API that can read the price of a call. Returns None for a call that
        Twilio does not know.
        """
        if call.simulation is not None and not self.settings.is_simulation:  # a call from a softphone on this machine
            return None
        routed = None if self.numbers is None else self.numbers.of(call.sid)
        own = None if self.numbers is None or routed is None else self.numbers.rest(routed)
        return own or self._own_rest

    @property
    def _own_rest(self) -> TwilioRest | None:
        return self.control if isinstance(self.control, TwilioRest) else None

    def placed_call_changed(self, call: PlacedCall) -> None:
        """Handles a possible change of a placed call: writes its record. When the call is over, also passes the result
        to the callback `on_end` and to the metrics.
        """
        self.call_records.placed(call)
        self.outcomes.placed(call)
        if (result := call.result) is not None:
            self.metrics.placed_call_ended(result.status, result.answered_by)
            if result.cost is not None:
                self.metrics.twilio_cost(result.cost, result.currency)
            elif call.sid is not None and call.state.answered and (rest := self._own_rest) is not None:
                self.prices.ended(call.token, call.sid, rest)

    def sample(self) -> None:
        """Sets the metrics that are computed only when Prometheus reads the metrics."""
        client = self.call_records.client
        self.metrics.capacity(self.registry.max_calls, draining=self.registry.draining)
        self.metrics.journal_queue(self.journals.waiting)
        if self.campaigns is not None and self.campaigns.dialer is not None:
            self.metrics.campaign_live(self.campaigns.dialer.live)
        self.metrics.records(client.state != "unavailable", client.waiting, client.dropped)


def phone_of(connection: HTTPConnection) -> PhoneServer:
    """Returns the phone server of the application that got this request. Also stores in the phone server the path under
    which the application is mounted, for URLs that are created later without a request.

    Raises:
        NotStarted: the application's lifespan was not run.
    """
    phone: Any = getattr(connection.app.state, "phone", None)
    if phone is None:
        raise NotStarted(
            "This application was not started: its ASGI lifespan was not run. If it is mounted in another application, "
            'the other one must run it: Starlette(routes=[Mount("/voice", phone)], '
            "lifespan=phone.router.lifespan_context), or FastAPI(lifespan=phone.router.lifespan_context) and "
            'app.mount("/voice", phone). Or start it with a server that runs the lifespan: uvicorn without '
            "`--lifespan off`, hypercorn or granian; daphne does not."
        )
    assert isinstance(phone, PhoneServer)
    phone.root_path = root_of(connection)
    return phone
