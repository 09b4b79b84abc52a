"""What traces cost: the spans of one call, and the CPU time of one span. `python -m benchmarks.tracing`

The call is one of the simulator's, in virtual time. The spans are made by the SDK of OpenTelemetry and queued for their
export, as in production. The export runs in a thread of its own and is not counted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.session import CallOptions, run_call
from telephony.demo.agent import agent
from telephony.simulator import Line, MediaPeer, callers
from telephony.tracing import MAX_SPANS, Tracing

CALLS = 20


@dataclass
class Traced:
    """One call and its trace."""

    memory: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    call_s: float = 0.0

    async def run(self) -> None:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.memory))
        sources = Sources(1)
        trace = Tracing(provider, sources, model="gpt-realtime-2.1").call()
        ours, theirs = memory_pair()
        peer = MediaPeer(theirs, line=Line(seed=1), sources=Sources(1))
        async with LocalRealtimeServer("trattoria", in_memory=True, sources=sources) as server:
            options = CallOptions(
                model_config=server.model_config,
                greeting="Greet the caller.",
                sources=sources,
                on_start=trace.start,
                on_event=(trace.on_event,),
                on_record=trace.on_record,
                on_latency=trace.on_latency,
                on_end=trace.end,
            )

            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(ours, agent, options))
                await peer.run(callers.find("demo"))
        self.call_s = peer.now


async def _microseconds_per_span() -> float:
    """CPU time of a span for a tool: two records, a start and an end."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter(), max_queue_size=1_000_000))
    call: Any = SimpleNamespace(sid="CA1", info=SimpleNamespace(direction="inbound"), ended="hung up")
    spent = 0.0
    for _ in range(CALLS):
        trace = Tracing(provider, Sources(1)).call()
        trace.start(call)
        began = time.thread_time()
        for n in range(MAX_SPANS):
            trace.on_record("tool.start", 1.0, {"call_id": n, "name": "book_table", "arguments": "{}"})
            trace.on_record("tool.end", 1.0, {"call_id": n, "name": "book_table", "output": "4711"})
        spent += time.thread_time() - began
        trace.end(call)
    provider.shutdown()
    return spent * 1e6 / (CALLS * MAX_SPANS)


def main() -> None:
    traced = Traced()
    virtual_time.run(traced.run, seed=1)
    spans = len(traced.memory.get_finished_spans())
    each_us = virtual_time.run(_microseconds_per_span, seed=1)
    share = spans * each_us / traced.call_s / 1e4
    print(
        f"{spans} spans in a call of {traced.call_s:.0f} s, {each_us:.0f} us of CPU time each: "
        f"{spans * each_us / 1000:.2f} ms per call, {share:.4f} % of a core"
    )


if __name__ == "__main__":
    main()
