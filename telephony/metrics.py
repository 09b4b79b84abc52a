"""Metrics for Prometheus. Calls, callers and phone numbers are never labels, so the number of label values stays
small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from realtime_core.usage import ModalityTokens, Usage
from realtime_core.user_code import UserCode

from .call.line.latency import Latency, LatencyKind
from .journal.uploads import Upload
from .records.outbox import Waiting

__all__ = ["CONTENT_TYPE", "Bounded", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SHORT_S = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0)
_DURATION_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_TOOL_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MAX_VALUES = 50
"""The maximum number of values of one label. Further values are counted as `other`."""


class Bounded:
    """Limits the values of a label that the application or a peer chooses. After `MAX_VALUES` values, other values
    become `other`.
    """

    def __init__(self, limit: int = MAX_VALUES) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        value = value[:100] or "unknown"
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return "other"
        self._known.add(value)
        return value


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._agents, self._tools, self._codes, self._models = Bounded(), Bounded(), Bounded(), Bounded()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"telephony_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"telephony_{name}", meaning, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"telephony_{name}", meaning, labels, buckets=buckets, registry=registry)

        self._live = gauge("calls_live", "Live calls.")
        self._limit = gauge("calls_limit", "The maximum number of live calls.")
        self._draining = gauge("draining", "1 while the process takes no new calls because it stops, otherwise 0.")
        self._calls = counter("calls", "Calls that started.", "direction")
        self._ended = counter("calls_ended", "Calls that ended, by why they ended.", "direction", "agent", "reason")
        self._duration = histogram("call_duration_seconds", "Duration of calls.", _DURATION_S, "direction")
        self._outgoing = counter("outgoing_calls", "Placed calls that are over.", "status", "answered_by")
        self._calls_refused = counter("calls_refused", "Incoming calls that were refused.", "reason")
        self._requests_refused = counter("requests_refused", "Webhooks and media streams that were refused.", "reason")
        self._latency = histogram(
            "response_latency_seconds",
            "Time from the end of the caller's speech, as the model reports it, to the first audio of the answer.",
            _LATENCY_S,
        )
        self._caller_latency = {
            LatencyKind.FIRST_WORD: histogram(
                "first_word_at_ear_seconds",
                "Time from the start of the media stream to the first sound that the caller heard.",
                _LATENCY_S,
                "agent",
            ),
            LatencyKind.RESPONSE: histogram(
                "response_latency_at_ear_seconds",
                "Time from the end of the caller's voice to the first sound of the answer, as the caller heard it.",
                _LATENCY_S,
                "agent",
            ),
            LatencyKind.BARGE_IN: histogram(
                "barge_in_latency_at_ear_seconds",
                "Time from the start of the caller's voice to the silence of the agent, as the caller heard it.",
                _SHORT_S,
                "agent",
            ),
        }
        self._barge_ins = counter("barge_ins", "Interruptions of the agent by a caller.")
        self._underruns = counter("underruns", "Times that playout had no audio in the middle of an answer.")
        self._skipped = counter("messages_skipped", "Messages of media streams that were invalid and skipped.")
        self._reconnects = counter("model_reconnects", "Connections to the model that replaced a lost one.")
        self._reattached = counter("streams_reattached", "Media streams that replaced a lost one.")
        self._tool_calls = counter("tool_calls", "Calls of tools.", "tool", "outcome")
        self._tool_s = histogram("tool_duration_seconds", "Duration of tool calls.", _TOOL_S, "tool")
        self._tokens = counter("tokens", "Tokens of the model that speaks.", "model", "direction", "modality")
        self._cost = counter("model_cost_usd", "Cost of the models of ended calls whose prices are known.", "model")
        self._unknown_cost = counter("calls_of_unknown_cost", "Ended calls for which a price was not known.", "model")
        self._twilio_cost = counter("twilio_cost", "Cost of ended calls that Twilio has reported.", "currency")
        self._rest = counter(
            "rest_requests", "Requests to Twilio's REST API. `code`: `ok`, or the code of the error.", "action", "code"
        )
        self._rest_s = histogram(
            "rest_duration_seconds", "Duration of requests to Twilio's REST API.", _TOOL_S, "action"
        )
        self._journals = gauge("journals_available", "1 if journals can be written, otherwise 0.")
        self._journals.set(1)
        self._journal_queue = gauge("journal_queue_characters", "Characters that wait to be written to journals.")
        self._records_lost = counter("journal_records_lost", "Journal records that were lost.")
        self._counted_lost = 0
        self._uploads = counter("journal_uploads", "Attempts to copy a journal to object storage.", "outcome")
        for result in Upload:
            self._uploads.labels(result.value)
        self._unsent = gauge("journals_unsent", "Calls whose journals wait to be copied to object storage.")
        self._unsent_age = gauge("journal_oldest_unsent_seconds", "How long the oldest of these calls waits; 0: none.")
        self._records = gauge("records_available", "1 if the database can be used, otherwise 0.")
        self._records.set(1)
        self._records_waiting = gauge("records_waiting", "Updates of call records that wait to be written.")
        self._records_dropped = counter("records_dropped", "Updates of call records that were dropped.")
        self._counted_dropped = 0
        self._webhook_attempts = counter("webhook_attempts", "Attempts to deliver a webhook.", "outcome")
        for outcome in ("delivered", "failed", "dead"):
            self._webhook_attempts.labels(outcome)
        self._webhooks_pending = gauge("webhooks_pending", "Webhooks in the outbox that are not delivered yet.")
        self._webhooks_dead = gauge("webhooks_dead", "Webhooks in the outbox that were given up.")
        self._webhook_age = gauge("webhook_oldest_pending_seconds", "Age of the oldest webhook that waits; 0: none.")
        self._campaign_attempts = counter("campaign_attempts", "Attempts of campaigns that ended here.", "outcome")
        self._campaign_contacts = counter("campaign_contacts_done", "Contacts of campaigns that are done.", "reason")
        self._campaign_live = gauge("campaign_attempts_live", "Attempts of campaigns that this process makes now.")
        self._failures = counter(
            "application_failures",
            "Failures of the application's own code: a tool, a hook, a guardrail or a callback.",
            "kind",
        )
        self._version_calls = counter(
            "version_calls",
            "Ended calls by the version of the agent. `outcome`: `ok` or `failed`.",
            "version",
            "outcome",
        )
        self._version_latency = histogram(
            "version_response_latency_at_ear_seconds",
            "Response latency as the caller heard it, by the version of the agent.",
            _LATENCY_S,
            "version",
        )
        self._versions = Bounded()
        self._lag = gauge("loop_lag_seconds", "Delay of the event loop.")

    # --- calls -----------------------------------------------------------------------------------------------------

    def call_started(self, direction: str) -> None:
        self._live.inc()
        self._calls.labels(direction).inc()

    def call_ended(self, direction: str, agent: str, reason: str, duration_s: float) -> None:
        """Counts an ended call by its direction, its agent and its reason, and its length in seconds. `reason` is the
        code of an ending, from a small set.
        """
        self._live.dec()
        self._duration.labels(direction).observe(duration_s)
        self._ended.labels(direction, self._agents(agent), reason).inc()

    def version_ended(self, version: str, *, failed: bool, responses_s: Sequence[float]) -> None:
        """Counts an ended call by the version of its agent. `failed` is True if the call failed. `responses_s` has the
        latencies of its answers in seconds.
        """
        version = self._versions(version)
        self._version_calls.labels(version, "failed" if failed else "ok").inc()
        for seconds in responses_s:
            self._version_latency.labels(version).observe(seconds)

    def placed_call_ended(self, status: str, answered_by: str) -> None:
        self._outgoing.labels(status, answered_by or "none").inc()

    def twilio_cost(self, cost: float, currency: str) -> None:
        """Counts the price of a call that Twilio has reported: the amount `cost` in `currency`."""
        if cost > 0:
            self._twilio_cost.labels(currency[:3] or "unknown").inc(cost)

    def call_refused(self, reason: str) -> None:
        """Counts a refused call. `reason` is one word from a small fixed set."""
        self._calls_refused.labels(reason).inc()

    def request_refused(self, reason: str) -> None:
        self._requests_refused.labels(reason).inc()

    def response_latency(self, seconds: float) -> None:
        self._latency.observe(seconds)

    def caller_latency(self, latency: Latency, agent: str) -> None:
        """Counts a latency as the caller experienced the latency, for example until the first sound of an answer.
        `agent` is the name of the agent.
        """
        self._caller_latency[latency.kind].labels(self._agents(agent)).observe(latency.seconds)

    def barge_in(self) -> None:
        self._barge_ins.inc()

    def underruns(self, count: int = 1) -> None:
        self._underruns.inc(count)

    def messages_skipped(self, count: int = 1) -> None:
        self._skipped.inc(count)

    def application_failed(self, kind: UserCode) -> None:
        self._failures.labels(kind.value).inc()

    def model_reconnected(self) -> None:
        self._reconnects.inc()

    def stream_reattached(self) -> None:
        self._reattached.inc()

    def tool_called(self, tool: str, seconds: float, *, failed: bool) -> None:
        tool = self._tools(tool)
        self._tool_calls.labels(tool, "error" if failed else "ok").inc()
        self._tool_s.labels(tool).observe(seconds)

    def tokens(self, model: str, usage: Usage) -> None:
        """Counts the tokens of one response of the model with this name."""
        model = self._models(model)
        for direction, details, total in (
            ("input", usage.input_tokens_details, usage.input_tokens),
            ("output", usage.output_tokens_details, usage.output_tokens),
        ):
            for modality, count in _by_modality(details, total).items():
                if count > 0:
                    self._tokens.labels(model, direction, modality).inc(count)

    def model_cost(self, model: str, cost: float | None) -> None:
        """Counts the cost in US dollars of the model with this name in an ended call. With None, the cost is
        unknown.
        """
        if cost is None:
            self._unknown_cost.labels(self._models(model)).inc()
        else:
            self._cost.labels(self._models(model)).inc(cost)

    def rest_request(self, action: str, code: str, seconds: float) -> None:
        self._rest.labels(action, self._codes(code)).inc()
        self._rest_s.labels(action).observe(seconds)

    # --- the process -------------------------------------------------------------------------------------------------

    def capacity(self, limit: int, *, draining: bool) -> None:
        self._limit.set(limit)
        self._draining.set(draining)

    def journals(self, available: bool, lost: int) -> None:
        """Sets whether journals can be written now (`available`). `lost` is the number of journal records that were
        lost since the start of this process.
        """
        self._journals.set(available)
        self._records_lost.inc(lost - self._counted_lost)
        self._counted_lost = lost

    def journal_upload(self, outcome: Upload) -> None:
        self._uploads.labels(outcome.value).inc()

    def journals_unsent(self, calls: int, oldest_s: float) -> None:
        self._unsent.set(calls)
        self._unsent_age.set(oldest_s)

    def journal_queue(self, characters: int) -> None:
        self._journal_queue.set(characters)

    def records(self, available: bool, waiting: int, dropped: int) -> None:
        """Sets whether call records can be written to the database now (`available`), and the number of updates that
        wait (`waiting`). `dropped` is the number of updates that were dropped since the start of this process.
        """
        self._records.set(available)
        self._records_waiting.set(waiting)
        self._records_dropped.inc(dropped - self._counted_dropped)
        self._counted_dropped = dropped

    def webhook_attempt(self, outcome: str) -> None:
        """Counts an attempt to deliver a webhook. `outcome` is `delivered`, `failed` or `dead`."""
        self._webhook_attempts.labels(outcome).inc()

    def webhooks(self, waiting: Waiting, now: datetime) -> None:
        self._webhooks_pending.set(waiting.pending)
        self._webhooks_dead.set(waiting.dead)
        self._webhook_age.set(0 if waiting.oldest is None else max(0.0, (now - waiting.oldest).total_seconds()))

    def campaign_attempt(self, outcome: str) -> None:
        """Counts an ended attempt of a campaign. `outcome` is one word from a small fixed set, such as `abandoned`."""
        self._campaign_attempts.labels(outcome).inc()

    def campaign_contact_done(self, reason: str) -> None:
        """Counts a contact for which no further attempt is made. `reason` is one word from a small fixed set."""
        self._campaign_contacts.labels(reason).inc()

    def campaign_live(self, attempts: int) -> None:
        self._campaign_live.set(attempts)

    def loop_lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    def render(self) -> bytes:
        """Returns all metrics as the text that Prometheus reads. The content type of the text is `CONTENT_TYPE`."""
        return generate_latest(self.registry)


def _by_modality(details: ModalityTokens, total: int) -> Mapping[str, int]:
    """Returns the token counts by modality. Each token is counted once. Cached tokens have a kind of their own. Tokens
    without a modality are `unknown`.
    """
    cached = max(details.cached_tokens, details.cached_text + details.cached_audio + details.cached_image)
    counts = {
        "text": details.text - details.cached_text,
        "audio": details.audio - details.cached_audio,
        "image": details.image - details.cached_image,
        "cached": cached,
    }
    return {**counts, "unknown": total - sum(counts.values())}
