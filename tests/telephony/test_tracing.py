"""One trace for each call: its spans, exported by OTLP to a receiver, without content."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

from realtime_core import RealtimeAgent, function_tool
from realtime_core.local import Call, Reply, Script, Trouble, Turn
from telephony import DialingRules, create_app, hang_up, load_settings, transfer
from telephony.cli.app import app as cli
from telephony.errors import SettingsError
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.tracing import MAX_SPANS, CallTrace, Tracing
from telephony.web.server import listening
from tests.support.call_processes import listener
from tests.support.office import PUBLIC, office, talks

SECRET_WORDS = ("Margherita", "Thank you", "Ada Lovelace", "+1415555")
KITCHEN = "+14155550123"
EPOCH_2026_NS = 1_767_225_600_000_000_000


@function_tool
async def look_up(name: str) -> str:
    """Look up a name."""
    if name == "Bob":
        raise ValueError("Ada Lovelace is not Bob")
    return "Margherita"


def calls(*names: str) -> list[Call]:
    return [Call("look_up", json.dumps({"name": each})) for each in names]


SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(say="Thank you."), calls=calls("Ada Lovelace", "Bob"))],
    otherwise=Reply(say="Yes."),
)


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """A receiver of OTLP over HTTP on this machine."""
    received: list[Span] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            received.extend(
                span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def remembering() -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, memory = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return provider, memory


async def traced(script: Script = SCRIPT, caller: Any = talks, *, tools: Any = (look_up,), **given: Any) -> list[Any]:
    provider, memory = remembering()
    agent = RealtimeAgent[Any](name="Desk", tools=list(tools))
    async with office(script, agent=agent, tracer_provider=provider, given=given) as (twilio, _):
        twilio.callees[KITCHEN] = callees.busy()
        await twilio.ring(caller=caller, from_="+14155550100")
    return list(memory.get_finished_spans())


def attributes(span: Span) -> Mapping[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.mark.virtual_time
async def test_a_trace_reaches_a_collector_with_its_spans_and_without_content() -> None:
    spans = await traced()
    with collector() as (address, received):
        exporter = OTLPSpanExporter(endpoint=f"{address}/v1/traces")
        assert exporter.export(spans).name == "SUCCESS"
        exporter.shutdown()  # type: ignore[no-untyped-call]
    (root,) = [span for span in received if not span.parent_span_id]
    assert {span.trace_id for span in received} == {root.trace_id}
    assert {span.parent_span_id for span in received if span is not root} == {root.span_id}
    names = [span.name for span in received]
    assert root.name == "call"
    assert names.count("execute_tool look_up") == 2
    assert names.count("chat") >= 2
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano for span in received)
    assert root.start_time_unix_nano >= EPOCH_2026_NS, "times come from the sources"
    text = b"".join(span.SerializeToString() for span in received)
    assert not [words for words in SECRET_WORDS if words.encode() in text]

    call = attributes(root)
    assert (call["gen_ai.operation.name"], call["telephony.call.ending"]) == ("invoke_agent", "hung_up")
    assert call["telephony.first_word_at_ear_s"] > 0
    tools = [span for span in received if span.name.startswith("execute_tool")]
    assert [attributes(span).get("error.type") for span in tools] == [None, "ValueError"]
    assert [span.status.code for span in tools] == [0, 2]
    answers = [attributes(span) for span in received if span.name == "chat"]
    assert any(each.get("telephony.response_at_ear_s", 0) > 0 for each in answers)
    assert all(each["gen_ai.agent.name"] == "Desk" for each in answers)


@pytest.mark.virtual_time
async def test_content_is_in_a_trace_only_on_request() -> None:
    spans = await traced(telephony_trace_content=True)
    (arguments, _) = [each.attributes["gen_ai.tool.call.arguments"] for each in spans if "execute_tool" in each.name]
    assert arguments == '{"name": "Ada Lovelace"}'


@pytest.mark.virtual_time
async def test_transfers_and_requests_to_twilio_are_spans() -> None:
    async def asks(phone: Handset) -> None:
        await talks(phone)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="I am sorry."), filler="One moment.", calls=[Call("transfer", '{"target": "kitchen"}')])],
        otherwise=Reply(say="Yes."),
    )
    spans = await traced(script, asks, tools=[transfer(kitchen=KITCHEN)])
    by_name = {each.name: each for each in spans}
    assert by_name["transfer"].attributes["telephony.transfer.target"] == "kitchen"
    assert by_name["twilio redirect"].attributes["telephony.rest.action"] == "redirect"
    assert KITCHEN not in str([each.to_json() for each in spans])


@pytest.mark.virtual_time
async def test_a_reconnect_of_the_model_is_a_span() -> None:
    async def waits(phone: Handset) -> None:
        await talks(phone)
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(2.0)

    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Thank you.", trouble=Trouble("close", at_s=0.4)))],
        otherwise=Reply(say="Yes."),
    )
    reconnect, *_ = [each for each in await traced(script, waits) if each.name == "model reconnect"]
    assert reconnect.end_time > reconnect.start_time


@pytest.mark.virtual_time
async def test_the_spans_of_a_call_are_bounded() -> None:
    from types import SimpleNamespace

    from realtime_core.sources import Sources

    provider, memory = remembering()
    trace: CallTrace = Tracing(provider, Sources(1)).call()
    call: Any = SimpleNamespace(sid="CA1", info=SimpleNamespace(direction="inbound"), ended="hung up")
    trace.start(call)
    for n in range(MAX_SPANS + 500):
        trace.on_record("rest", 1.0, {"action": "hang_up", "status": "ok", "ms": 1.0, "n": n})
    trace.end(call)
    spans = memory.get_finished_spans()
    assert len(spans) == MAX_SPANS + 1
    assert spans[-1].attributes is not None
    assert spans[-1].attributes["telephony.spans_left_out"] == 500


@pytest.mark.virtual_time
async def test_without_a_provider_a_call_has_no_hooks_for_traces() -> None:
    async with office(SCRIPT) as (twilio, app):
        assert app.state.phone.tracing is None
        await twilio.ring(caller=talks)


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import asyncio
from realtime_core import RealtimeAgent
from telephony import create_app
from telephony.settings import Settings
async def main(**given):
    app = create_app(RealtimeAgent(name="Desk"), settings=Settings(**given))
    async with app.router.lifespan_context(app):
        return app.state.phone.tracing
print(asyncio.run(main()))
try:
    asyncio.run(main(otel_exporter_otlp_endpoint="http://127.0.0.1:9"))
except BaseException as error:
    print(type(error).__name__, error)
"""


def test_without_opentelemetry_calls_run_and_a_collector_is_refused_with_the_cure() -> None:
    environment = {**os.environ, "TELEPHONY_DATA_DIR": "off"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "None"
    assert second.startswith(SettingsError.__name__) and "telephony-agent[otel]" in second


# --- requests to Twilio that belong to no call -----------------------------------------------------------------------

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


def parents(spans: Iterable[Any]) -> dict[str, tuple[str, str] | None]:
    """The trace and the parent of each span of a request to Twilio. None: it has no parent."""
    return {
        span.name: None if span.parent is None else (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}")
        for span in spans
        if span.name.startswith("twilio ")
    }


@pytest.mark.real_time
async def test_placing_a_call_and_looking_at_its_status_are_spans() -> None:
    provider, memory = remembering()
    async with SimulatedTwilio() as twilio:
        twilio.default_callee = callees.person(listener, after_s=0.05)
        settings = load_settings(
            twilio_account_sid=twilio.account_sid, twilio_auth_token=twilio.auth_token, telephony_model="scripted",
            twilio_phone_number="+14155550199", telephony_twilio_api_url=twilio.base_url, public_url=PUBLIC,
            telephony_api_token="api-token",
        )  # fmt: skip
        app = create_app(RealtimeAgent(name="Desk"), greeting="Greet.", settings=settings, tracer_provider=provider)
        async with listening(app) as address:
            twilio.webhooks.reach[PUBLIC] = address
            app.state.dialer.rules = DialingRules.none()
            headers = {"Authorization": "Bearer api-token", "traceparent": TRACEPARENT}
            request = urllib.request.Request(f"{address}/calls", json.dumps({"to": KITCHEN}).encode(), headers)

            def place() -> str:
                with urllib.request.urlopen(request) as response:
                    return str(json.load(response)["id"])

            assert await asyncio.to_thread(place)
            async with asyncio.timeout(60):
                while "twilio call" not in parents(memory.get_finished_spans()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    spans = memory.get_finished_spans()
    known = (TRACE_ID, PARENT_ID)
    assert parents(spans) == {"twilio create_call": known, "twilio call": known}
    assert KITCHEN not in str([each.to_json() for each in spans])


@pytest.mark.virtual_time
async def test_a_request_of_a_call_has_one_span_below_the_call() -> None:
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Bye."), calls=[Call("hang_up", "{}")])],
        otherwise=Reply(say="Yes."),
    )
    spans = await traced(script, tools=[hang_up()])
    (root,) = [span for span in spans if span.name == "call"]
    requests = [span for span in spans if span.name.startswith("twilio ")]
    assert [span.name for span in requests] == ["twilio hang_up"]
    assert requests[0].parent.span_id == root.context.span_id


@pytest.mark.virtual_time
async def test_a_failed_request_is_a_span_with_the_code_of_twilio() -> None:
    from realtime_core.sources import Sources

    provider, memory = remembering()
    tracing = Tracing(provider, Sources(1))
    with tracing.parent({"traceparent": "nonsense"}):
        tracing.rest_request("create_call", "21211", 0.25)
    (span,) = memory.get_finished_spans()
    assert span.parent is None
    assert span.attributes is not None and span.attributes["error.type"] == "21211" and not span.status.is_ok
    assert (span.end_time or 0) - (span.start_time or 0) == 250_000_000


@pytest.mark.real_time
@pytest.mark.parametrize("traceparent", [TRACEPARENT, None])
async def test_the_requests_of_a_command_reach_the_collector(traceparent: str | None) -> None:
    async with SimulatedTwilio(auth_token="secret", numbers=()) as twilio:
        twilio.add_number("+14155550199", voice_url="https://old.example.com")
        with collector() as (address, received):
            environment = {
                "TWILIO_ACCOUNT_SID": twilio.account_sid, "TWILIO_AUTH_TOKEN": "secret", "TRACEPARENT": traceparent,
                "TELEPHONY_TWILIO_API_URL": twilio.base_url, "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            }  # fmt: skip
            done = await asyncio.to_thread(CliRunner().invoke, cli, ["number", "list"], env=environment)
    assert done.exit_code == 0 and "+14155550199" in done.output, done.output
    (span,) = received
    assert (span.name, attributes(span)["telephony.rest.code"]) == ("twilio phone_numbers", "ok")
    assert span.parent_span_id.hex() == (PARENT_ID if traceparent else "")
    assert not traceparent or span.trace_id.hex() == TRACE_ID
