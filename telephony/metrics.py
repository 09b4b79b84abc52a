"""Metrics for Prometheus. Calls, callers and numbers are never labels: the number of label values stays small."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from realtime_core.user_code import UserCode

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_DURATION_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """The metrics of one application, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._live = Gauge("telephony_calls_live", "Live calls.", registry=registry)
        self._calls = Counter("telephony_calls", "Calls that started.", registry=registry)
        self._duration = Histogram(
            "telephony_call_duration_seconds", "Duration of calls.", buckets=_DURATION_S, registry=registry
        )
        self._calls_refused = Counter(
            "telephony_calls_refused", "Incoming calls that were refused.", ["reason"], registry=registry
        )
        self._requests_refused = Counter(
            "telephony_requests_refused", "Webhooks and media streams that were refused.", ["reason"], registry=registry
        )
        self._latency = Histogram(
            "telephony_response_latency_seconds",
            "Time from the end of the caller's speech, as the model reports it, to the first audio of the answer.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._barge_ins = Counter("telephony_barge_ins", "Interruptions of the agent by a caller.", registry=registry)
        self._underruns = Counter(
            "telephony_underruns", "Times that playout had no audio in the middle of an answer.", registry=registry
        )
        self._skipped = Counter(
            "telephony_messages_skipped", "Messages of media streams that were invalid and skipped.", registry=registry
        )
        self._reconnects = Counter(
            "telephony_model_reconnects", "Connections to the model that replaced a lost one.", registry=registry
        )
        self._reattached = Counter("telephony_streams_reattached", "Media streams that replaced a lost one.",
                                   registry=registry)  # fmt: skip
        self._journals = Gauge(
            "telephony_journals_available", "1 if journals can be written, otherwise 0.", registry=registry
        )
        self._journals.set(1)
        self._records_lost = Counter(
            "telephony_journal_records_lost", "Journal records that were lost.", registry=registry
        )
        self._counted_lost = 0
        self._failures = Counter(
            "telephony_application_failures",
            "Failures of the application's own code: a tool, a hook, a guardrail or a callback.",
            ["kind"],
            registry=registry,
        )
        self._lag = Gauge("telephony_loop_lag_seconds", "Delay of the event loop.", registry=registry)

    def call_started(self) -> None:
        self._live.inc()
        self._calls.inc()

    def call_ended(self, duration_s: float) -> None:
        self._live.dec()
        self._duration.observe(duration_s)

    def call_refused(self, reason: str) -> None:
        """Count a refused call. `reason` is one of a small set of fixed words."""
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
        """Set the state of the journals. `lost` is the number of records lost since the start."""
        self._journals.set(available)
        self._records_lost.inc(lost - self._counted_lost)
        self._counted_lost = lost

    def loop_lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)
