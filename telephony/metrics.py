"""Figures for Prometheus. No call, caller or number is ever a label: what may grow without bound is for the journal."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from realtime_core.user_code import UserCode

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_DURATION_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """What the parts of the phone report. One for each application, with a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._live = Gauge("telephony_calls_live", "Calls that go on now.", registry=registry)
        self._calls = Counter("telephony_calls", "Calls that were begun.", registry=registry)
        self._duration = Histogram(
            "telephony_call_duration_seconds", "How long calls took.", buckets=_DURATION_S, registry=registry
        )
        self._calls_refused = Counter(
            "telephony_calls_refused", "Calls that were not taken.", ["reason"], registry=registry
        )
        self._requests_refused = Counter(
            "telephony_requests_refused", "Webhooks and streams that were not let in.", ["reason"], registry=registry
        )
        self._latency = Histogram(
            "telephony_response_latency_seconds",
            "From the model's word that the caller has stopped to the first audio of its answer.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._barge_ins = Counter("telephony_barge_ins", "How often a caller cut the agent short.", registry=registry)
        self._underruns = Counter(
            "telephony_underruns", "How often playout ran dry in the middle of an answer.", registry=registry
        )
        self._skipped = Counter(
            "telephony_messages_skipped", "Messages of a media stream that could not be used.", registry=registry
        )
        self._reconnects = Counter(
            "telephony_model_reconnects", "Connections to the model that had to be made anew.", registry=registry
        )
        self._reattached = Counter("telephony_streams_reattached", "Streams that took a lost one's place.",
                                   registry=registry)  # fmt: skip
        self._journals = Gauge(
            "telephony_journals_available", "Whether journals can be written (1) or not (0).", registry=registry
        )
        self._journals.set(1)
        self._records_lost = Counter(
            "telephony_journal_records_lost", "Records that are in no journal.", registry=registry
        )
        self._told_lost = 0
        self._failures = Counter(
            "telephony_application_failures",
            "How often the application's own code failed: a tool, a hook, a guardrail, a callback.",
            ["kind"],
            registry=registry,
        )
        self._lag = Gauge("telephony_loop_lag_seconds", "How late the event loop is.", registry=registry)

    def call_started(self) -> None:
        self._live.inc()
        self._calls.inc()

    def call_ended(self, duration_s: float) -> None:
        self._live.dec()
        self._duration.observe(duration_s)

    def call_refused(self, reason: str) -> None:
        """`reason` is one of a few words of ours."""
        self._calls_refused.labels(reason).inc()

    def request_refused(self, reason: str) -> None:
        self._requests_refused.labels(reason).inc()

    def response_latency(self, seconds: float) -> None:
        self._latency.observe(seconds)

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

    def journals(self, available: bool, lost: int) -> None:
        """`lost`: how many records are in no journal since the start."""
        self._journals.set(available)
        self._records_lost.inc(lost - self._told_lost)
        self._told_lost = lost

    def loop_lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)
