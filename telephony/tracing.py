"""Traces for OpenTelemetry: one trace for each call, and spans for other requests to Twilio. Traces need the extra
`otel`.

The root span is the call. The child spans of the call are the agent's turns, tools, transfers, reconnects of the model
and requests to Twilio's REST API. Names and attributes follow the conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). Attributes of this package begin with `telephony.`.
The words of the conversation, and the arguments and outputs of tools, are left out unless `content` is True. Phone
numbers are always left out.

Times come from the injected `Sources` and the clock of the event loop. The parent of each span is passed explicitly,
because the callbacks of a call run in several tasks. Without a provider, no code of this module runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from realtime_core.events import RealtimeAnyEvent
from realtime_core.sources import Sources

from .call.call import Call
from .call.ending import Ending
from .call.line.latency import Latency, LatencyKind
from .call.options import CallOptions
from .errors import SettingsError
from .twilio.requests_of_call import is_request_of_call

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["CallTrace", "Tracing", "global_provider", "otlp_provider", "traced"]

MAX_SPANS = 2000
"""The maximum number of spans of one call. The number of further spans is an attribute of the call's span:
`telephony.spans_left_out`.
"""
_MAX_OPEN = 100


class Tracing:
    """Creates OpenTelemetry traces: one trace for each call of the application, and spans for other requests to Twilio.
    `provider` receives the spans, `model` is the name of the speech model, and `content` decides whether the spans
    contain the words of the conversation.
    """

    def __init__(self, provider: TracerProvider, sources: Sources, *, model: str = "", content: bool = False) -> None:
        self._tracer = provider.get_tracer("telephony")
        self._sources = sources
        self._model = model
        self._content = content

    def call(self) -> CallTrace:
        """Returns a new trace for one call. The trace begins when its method `start` is called."""
        return CallTrace(self._tracer, self._sources, model=self._model, content=self._content)

    def rest_request(self, action: str, code: str, seconds: float, *, headers: Mapping[str, str] | None = None) -> None:
        """Adds a span to the traces for a request to Twilio's REST API that has just ended. `action` is the name of the
        request, `code` is its result, and `seconds` is its duration. The parent of the span is the span that
        `traceparent` in `headers` names, or otherwise the current span of OpenTelemetry. A request of a call gets no
        span here, because `CallTrace` makes its span.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        if is_request_of_call():
            return
        now = int(self._sources.now().timestamp() * 1e9)
        span = self._tracer.start_span(
            f"twilio {action}",
            context=_context_of(headers or {}),
            kind=SpanKind.CLIENT,
            attributes={"telephony.rest.action": action, "telephony.rest.code": code},
            start_time=now - int(seconds * 1e9),
        )
        if code != "ok":
            span.set_attribute("error.type", code)
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    @contextmanager
    def parent(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Makes the trace of another program the parent of new spans during this block. `traceparent` in `headers`
        names this trace.
        """
        from opentelemetry import context

        token = context.attach(_context_of(headers))
        try:
            yield
        finally:
            context.detach(token)


class CallTrace:
    """The trace of one call. Each method adds one event of the call to the trace. The method must be called when the
    event happens, in the same step of the event loop.
    """

    def __init__(self, tracer: Tracer, sources: Sources, *, model: str, content: bool) -> None:
        self._tracer = tracer
        self._sources = sources
        self._model = model
        self._content = content
        self._clock = asyncio.get_running_loop().time
        self._call: Call | None = None
        self._root: Span | None = None
        self._context: Context | None = None
        self._base_ns, self._base_s = 0, 0.0
        self._open: dict[str, Span] = {}
        self._turn: Span | None = None
        self._turns: dict[str, Span] = {}
        self._made: list[tuple[Span, int]] = []
        """The spans of turns that the model has completed, each with the time of the completion. The caller may hear
        the turn later and interrupt the turn.
        """
        self._count = 0
        self._left_out = 0
        self._tokens = [0, 0]

    def start(self, call: Call) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._call = call
        self._base_ns, self._base_s = int(self._sources.now().timestamp() * 1e9), self._clock()
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.conversation.id": call.sid,
            "telephony.call.sid": call.sid,
            "telephony.call.direction": call.info.direction,
        }
        self._root = self._tracer.start_span(
            "call", kind=SpanKind.SERVER, attributes={**attributes, **self._of_model()}, start_time=self._base_ns
        )
        self._context = set_span_in_context(self._root)

    def end(self, call: Call) -> None:
        root = self._root
        if root is None:
            return
        now = self._now()
        self._end_made()
        for span in (*self._open.values(), *self._turns.values()):
            span.end(now)
        ending = Ending.parse(call.ended)
        root.set_attributes(
            {
                "telephony.call.ending": "unknown" if ending is None else ending.reason.name.lower(),
                "telephony.call.duration_s": round(self._clock() - self._base_s, 3),
                "gen_ai.usage.input_tokens": self._tokens[0],
                "gen_ai.usage.output_tokens": self._tokens[1],
            }
        )
        if ending is not None and ending.reason.name == "FAILED":
            self._failed(root, "failed")
        if self._left_out:
            root.set_attribute("telephony.spans_left_out", self._left_out)
        root.end(now)
        self._root = None

    # --- what happens ------------------------------------------------------------------------------------------------

    def on_event(self, event: RealtimeAnyEvent) -> None:
        match event.type:
            case "audio" | "history_updated":
                return
            case "agent_start":
                self._end_made()
                attributes = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": event.agent.name}
                attributes |= {"gen_ai.response.id": event.response_id, **self._of_model()}
                if (span := self._begin(f"chat {self._model}".strip(), attributes)) is not None:
                    if len(self._turns) >= _MAX_OPEN:
                        self._turns.pop(next(iter(self._turns))).end(self._now())
                    self._turns[event.response_id] = self._turn = span
            case "agent_end":
                if (span := self._turns.pop(event.response_id, None)) is not None:
                    span.set_attribute("gen_ai.response.finish_reasons", [event.status])
                    if event.status == "failed":
                        self._failed(span, "failed")
                    self._made.append((span, self._now()))
            case "raw_model_event" if event.data.type == "usage":
                self._used(event.data)
            case "raw_model_event" if self._content and event.data.type == "transcript_done":
                hidden = self._call is not None and (self._call.is_sealed or self._call.hides(event.data.item_id))
                if not hidden and (span := self._turns.get(event.data.response_id)) is not None:
                    span.set_attribute("gen_ai.output.messages", event.data.transcript)
            case "connection_status":
                if event.status == "reconnecting" and "reconnect" not in self._open:
                    self._keep("reconnect", self._begin("model reconnect", self._of_model()))
                elif event.status == "connected":
                    self._finish("reconnect")
            case "handoff":
                self._note("handoff", {"telephony.from": event.from_agent.name, "telephony.to": event.to_agent.name})

    def on_record(self, kind: str, at_s: float, fields: Mapping[str, Any]) -> None:
        match kind:
            case "tool.start":
                name = str(fields["name"])
                attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
                attributes |= {"gen_ai.tool.call.id": str(fields["call_id"]), "gen_ai.tool.type": "function"}
                if self._content:
                    attributes["gen_ai.tool.call.arguments"] = str(fields["arguments"])
                self._keep(f"tool {fields['call_id']}", self._begin(f"execute_tool {name}", attributes))
            case "tool.end":
                result = {"gen_ai.tool.call.result": str(fields["output"])} if self._content else {}
                self._finish(f"tool {fields['call_id']}", _error_type(fields), result)
            case "control" if fields.get("action") == "transfer":
                attributes = {"telephony.transfer.target": str(fields.get("target"))}
                span = self._begin("transfer", {**attributes, "telephony.transfer.warm": bool(fields.get("warm"))})
                self._keep(f"control {fields['id']}", span)
            case "control.end":
                self._finish(f"control {fields['id']}", _error_type(fields))
            case "rest":
                self._rest(fields)
            case "interruption":
                self._note("interruption", {"telephony.cause": str(fields["cause"])})
                if self._turn is not None:
                    self._turn.set_attribute("telephony.interrupted_by", str(fields["cause"]))

    def on_latency(self, latency: Latency) -> None:
        name = f"telephony.{latency.kind.value}_at_ear_s"
        if latency.kind is LatencyKind.RESPONSE and self._turn is not None and self._turn.is_recording():
            self._turn.set_attribute(name, round(latency.seconds, 3))
        elif self._root is not None and latency.kind is LatencyKind.FIRST_WORD:
            self._root.set_attribute(name, round(latency.seconds, 3))
        else:
            self._note(latency.kind.value, {name: round(latency.seconds, 3)})

    # -----------------------------------------------------------------------------------------------------------------

    def _end_made(self) -> None:
        for span, at_ns in self._made:
            span.end(at_ns)
        self._made.clear()

    def _now(self) -> int:
        return self._base_ns + int((self._clock() - self._base_s) * 1e9)

    def _of_model(self) -> dict[str, Any]:
        return {"gen_ai.provider.name": "openai", "gen_ai.request.model": self._model} if self._model else {}

    def _begin(self, name: str, attributes: Mapping[str, Any], start_ns: int | None = None) -> Span | None:
        """Returns a new span below the call, or None if the call has not begun, is over, or has too many spans."""
        if self._root is None:
            return None
        if self._count >= MAX_SPANS:
            self._left_out += 1
            return None
        self._count += 1
        start_ns = self._now() if start_ns is None else start_ns
        return self._tracer.start_span(name, context=self._context, attributes=dict(attributes), start_time=start_ns)

    def _keep(self, key: str, span: Span | None) -> None:
        if span is not None and len(self._open) < _MAX_OPEN:
            self._open[key] = span

    def _finish(self, key: str, error_type: str = "", attributes: Mapping[str, Any] | None = None) -> None:
        if (span := self._open.pop(key, None)) is None:
            return
        span.set_attributes(dict(attributes or {}))
        if error_type:
            self._failed(span, error_type)
        span.end(self._now())

    def _failed(self, span: Span, error_type: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("error.type", error_type)
        span.set_status(Status(StatusCode.ERROR))

    def _rest(self, fields: Mapping[str, Any]) -> None:
        now = self._now()
        attributes: dict[str, Any] = {"telephony.rest.action": str(fields["action"])}
        for name, attribute in (("http", "http.response.status_code"), ("code", "telephony.rest.code")):
            if fields.get(name) is not None:
                attributes[attribute] = fields[name]
        span = self._begin(f"twilio {fields['action']}", attributes, now - int(float(fields["ms"]) * 1e6))
        if span is not None:
            if fields["status"] != "ok":
                self._failed(span, str(fields["status"]))
            span.end(now)

    def _used(self, event: Any) -> None:
        usage = event.usage
        self._tokens[0] += usage.input_tokens
        self._tokens[1] += usage.output_tokens
        if (span := self._turns.get(event.response_id, self._turn)) is not None:
            span.set_attributes(
                {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}
            )

    def _note(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self._root is not None:
            self._root.add_event(name, dict(attributes), timestamp=self._now())


def _context_of(headers: Mapping[str, str]) -> Context:
    """Returns the context with the span that the header `traceparent` names (https://www.w3.org/TR/trace-context/), or
    the current context if there is no valid header.
    """
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(dict(headers), context.get_current())


def _error_type(fields: Mapping[str, Any]) -> str:
    """Returns the type of the error in a record (`ValueError: text`), without its text. Returns an empty text if there
    is no error.
    """
    if "error" not in fields:
        return "cancelled" if fields.get("cancelled") else ""
    return str(fields["error"]).partition(":")[0].split()[0][:100] if str(fields["error"]).strip() else "error"


def global_provider() -> TracerProvider | None:
    """Returns the provider that the application has set for OpenTelemetry, or None if no provider is set or the API is
    not installed.
    """
    try:
        from opentelemetry import trace
    except ModuleNotFoundError:
        return None
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider) else provider


def otlp_provider(endpoint: str) -> tuple[TracerProvider, Callable[[], None]]:
    """Returns a provider of OpenTelemetry that exports traces to the collector at `endpoint` (OTLP over HTTP, in a
    separate thread), and the function that closes the provider.

    Raises `SettingsError` if the extra `otel` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as Provider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise SettingsError(
            ["OTEL_EXPORTER_OTLP_ENDPOINT: traces need OpenTelemetry: pip install 'telephony-agent[otel]'"]
        ) from None

    provider = Provider(resource=Resource.create({"service.name": "telephony"}))
    address = endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    return provider, provider.shutdown


def traced(options: CallOptions, trace: CallTrace) -> CallOptions:
    """Returns a copy of the options of a call. The callbacks of the copy also write the events of the call to
    `trace`.
    """

    def on_start(call: Call) -> None:
        trace.start(call)
        options.on_start(call)

    def on_latency(latency: Latency) -> None:
        options.on_latency(latency)
        trace.on_latency(latency)

    def on_record(kind: str, at_s: float, fields: Mapping[str, Any]) -> None:
        if options.on_record is not None:
            options.on_record(kind, at_s, fields)
        trace.on_record(kind, at_s, fields)

    def on_end(call: Call) -> None:
        options.on_end(call)
        trace.end(call)

    return replace(
        options,
        on_start=on_start,
        on_event=(*options.on_event, trace.on_event),
        on_record=on_record,
        on_latency=on_latency,
        on_end=on_end,
    )
