"""Users' code may do anything: each place where it is called, with each misbehaviour.

The session lives, each tool call has exactly one answer, and the log has the traceback.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.extent import pairs
from realtime_core import (
    Handoff,
    InputGuardrail,
    OutputGuardrail,
    RealtimeAgent,
    RealtimeAgentHooks,
    RealtimeRunner,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    UserError,
    function_tool,
    realtime_handoff,
    user_code,
)
from realtime_core.daemon_threads import DaemonThreads
from realtime_core.errors import ConnectFailed, UserCodeError
from realtime_core.model_events import RealtimeModelInputAudioTranscriptionCompletedEvent
from realtime_core.openai_realtime.endpoint import resolve_endpoint
from realtime_core.testing import virtual_time
from realtime_core.tools import FailedResult, tool_output_text
from realtime_core.user_code import UserCode, call_now
from tests.support.misbehaviour import RAISING, Hostile, cancels_itself, hostile
from tests.support.session_kit import Kit, call, ended, opened, said, settle, started

pytestmark = pytest.mark.virtual_time

FAILED = "An error occurred while running the tool."

Function = Callable[..., Any]


@function_tool
async def echo(text: str = "x") -> str:
    return text


def ran() -> str:
    return "ran"


def broken_tool(function: Function) -> Function:
    return lambda: function()


class Case:
    """A session in which users' code is called at one place. `tool` means that a call of the tool `t` gets there."""

    def __init__(self, kind: UserCode, *, tool: bool = True, run: dict[str, Any] | None = None, **agent: Any) -> None:
        self.kind = kind
        self.tool = tool
        self.run: Any = run or {}
        self.agent = RealtimeAgent(name="Desk", **{**agent, "tools": [echo, *agent.get("tools", ())]})


def tool(kind: UserCode, function: Function = ran, **options: Any) -> Case:
    return Case(kind, tools=[function_tool(function, name_override="t", **options)])


class Hooks(RealtimeAgentHooks[Any]):
    def __init__(self, function: Function) -> None:
        self.on_tool_start = self.on_tool_end = self.on_start = self.on_end = function  # type: ignore[method-assign]


def fails() -> None:
    raise ValueError("the tool")


async def waits() -> None:
    await asyncio.sleep(60)


def target(function: Function) -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Target", instructions=lambda context, agent: function())


def handed_off(function: Function) -> Case:
    handoff = realtime_handoff(RealtimeAgent(name="Target"), tool_name_override="t", on_handoff=lambda ctx: function())
    return Case(UserCode.HANDOFF, handoffs=[handoff])


def handed_off_to(function: Function) -> Case:
    return Case(UserCode.HANDOFF, handoffs=[realtime_handoff(target(function), tool_name_override="t")])


PLACES: dict[str, Callable[[Function], Case]] = {
    "tool": lambda f: tool(UserCode.TOOL, broken_tool(f)),
    "tool without words": lambda f: tool(UserCode.TOOL, broken_tool(f), failure_error_function=None),
    "failure_error_function": lambda f: tool(UserCode.TOOL, fails, failure_error_function=lambda c, e: f()),
    "timeout_error_function": lambda f: tool(
        UserCode.ERROR_TEXT, waits, timeout=1, timeout_error_function=lambda c, e: f()
    ),
    "needs_approval": lambda f: tool(UserCode.APPROVAL, needs_approval=lambda c, a, i: f()),
    "tool input guardrail": lambda f: tool(
        UserCode.GUARDRAIL, tool_input_guardrails=[ToolInputGuardrail(lambda data: f(), "g")]
    ),
    "tool output guardrail": lambda f: tool(
        UserCode.GUARDRAIL, tool_output_guardrails=[ToolOutputGuardrail(lambda data: f(), "g")]
    ),
    "on_handoff": handed_off,
    "instructions of the target": handed_off_to,
    "hooks of the agent": lambda f: Case(
        UserCode.HOOK, tools=[function_tool(ran, name_override="t")], hooks=Hooks(lambda *args: f())
    ),
    "filler": lambda f: Case(
        UserCode.FILLER,
        tools=[function_tool(waits, name_override="t", timeout=2)],
        run={"tool_execution": {"filler": lambda ctx: f(), "filler_after_seconds": 1}},
    ),
    "output guardrail": lambda f: Case(
        UserCode.GUARDRAIL, tool=False, output_guardrails=[OutputGuardrail(lambda c, a, text: f(), "g")]
    ),
    "input guardrail": lambda f: Case(
        UserCode.GUARDRAIL, tool=False, input_guardrails=[InputGuardrail(lambda c, a, text: f(), "g")]
    ),
}
"""Each makes a session in which `function()` is called there."""


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def failures() -> Iterator[list[logging.LogRecord]]:
    """Yields the log records of failures of users' code. The test also checks that the log can print them."""
    handler = Records()
    logger = logging.getLogger("realtime_core.user_code")
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)
    for record in handler.records:
        assert record.exc_info
        assert record.exc_info[2] is not None, record.getMessage()
        logging.Formatter().format(record)


async def provoke(case: Case, kit: Kit) -> None:
    if case.tool:
        kit.emit(call("t", call_id="1"))
    else:
        kit.emit(started(), said("Hello. " * 30), ended())
        kit.emit(RealtimeModelInputAudioTranscriptionCompletedEvent("item_u", "hello"))
    await settle(5)


async def lives(kit: Kit, before: int) -> None:
    """The session works: a tool call is answered."""
    kit.emit(call("echo", '{"text": "lives"}', call_id="2"))
    await settle(5)
    assert kit.outputs[before:] == [("lives", True)]
    assert kit.session.status == "connected"


@pytest.mark.parametrize(("behaviour", "place"), pairs(RAISING, PLACES))
async def test_any_exception_of_users_code_is_reported_and_the_session_continues(
    behaviour: str, place: str, failures: list[logging.LogRecord]
) -> None:
    case = PLACES[place](RAISING[behaviour])
    async with opened(case.agent, run_config=case.run) as kit:
        await provoke(case, kit)
        assert len(kit.outputs) == case.tool
        assert [record for record in failures if "of session" in record.getMessage()]
        reported = [event.source for event in kit.of("error")]
        assert set(reported) <= {case.kind}
        assert reported or any(event.error for event in kit.of("tool_end"))
        await lives(kit, int(case.tool))


@pytest.mark.parametrize("place", [place for place in PLACES if "hooks" not in place and place != "on_handoff"])
async def test_a_result_that_can_be_neither_printed_nor_compared(place: str, failures: list[logging.LogRecord]) -> None:
    case = PLACES[place](hostile)
    async with opened(case.agent, run_config=case.run) as kit:
        await provoke(case, kit)
        assert len(kit.outputs) == case.tool
        await lives(kit, int(case.tool))


@pytest.mark.parametrize("place", PLACES)
async def test_code_that_cancels_its_own_task(place: str) -> None:
    case = PLACES[place](cancels_itself)
    async with opened(case.agent, run_config=case.run) as kit:
        await provoke(case, kit)
        assert len(kit.outputs) == case.tool
        await lives(kit, int(case.tool))


@pytest.mark.parametrize("behaviour", RAISING)
async def test_a_rule_is_enabled_that_raises(behaviour: str, failures: list[logging.LogRecord]) -> None:
    broken = False

    def rule(context: Any, agent: Any) -> Any:
        return RAISING[behaviour]() if broken else True

    case = tool(UserCode.IS_ENABLED, is_enabled=rule)
    async with opened(case.agent) as kit:
        broken = True
        kit.emit(call("t", call_id="1"))
        await settle()
        assert kit.outputs == [(FAILED, True)]
        assert [event.source for event in kit.of("error")] == [UserCode.IS_ENABLED]


@pytest.mark.parametrize("behaviour", RAISING)
async def test_instructions_that_raise_when_the_session_begins(behaviour: str) -> None:
    """The one who enters the session gets an `Exception`, which does not end the event loop."""
    agent = RealtimeAgent(name="Desk", instructions=lambda context, agent: RAISING[behaviour]())
    with pytest.raises(Exception):  # noqa: B017 - any but a BaseException
        async with opened(agent):
            pass


@pytest.mark.parametrize("behaviour", [name for name in RAISING if "coroutine" not in name])
async def test_an_event_handler_that_raises(behaviour: str, failures: list[logging.LogRecord]) -> None:
    async with opened(RealtimeAgent(name="Desk", tools=[echo])) as kit:
        kit.session.add_handler(RAISING[behaviour])
        await lives(kit, 0)
        assert any("tool_end" in record.getMessage() for record in failures)


async def test_a_coroutine_function_is_no_event_handler() -> None:
    async def handler(event: Any) -> None: ...

    async with opened(RealtimeAgent(name="Desk", tools=[echo])) as kit:
        with pytest.raises(UserError, match="plain function"):
            kit.session.add_handler(handler)  # type: ignore[arg-type]
        kit.session.add_handler(lambda event: handler(event))  # type: ignore[arg-type]
        await lives(kit, 0)


# What a tool returns


def logged(function: Function) -> Function:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Later:
    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "later"


async def later() -> str:
    await asyncio.sleep(0)
    return "later"


async def nested() -> Any:
    return later()


async def several_later() -> Any:
    yield "a"
    await asyncio.sleep(0)
    yield "b"


def several() -> Any:
    yield "a"
    yield "b"


def endless() -> Any:
    while True:
        yield "a"


async def a_future() -> Any:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(1, future.set_result, "later")
    return future


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (later, "later"),
        (logged(later), "later"),
        (lambda: later(), "later"),
        (functools.partial(later), "later"),
        (lambda: Later(), "later"),
        (nested, "later"),
        (a_future, "later"),
        (several, '["a", "b"]'),
        (several_later, '["a", "b"]'),
        (logged(several), '["a", "b"]'),
        (logged(several_later), '["a", "b"]'),
        (lambda: (x for x in "ab"), '["a", "b"]'),
        (lambda: map(str.lower, "AB"), '["a", "b"]'),
        (endless, FAILED),
        (lambda: {"a": 1}.keys(), '["a"]'),
        (lambda: "\ud800 lone", "? lone"),
        (lambda: {"text": "\ud800"}, '{"text": "?"}'),
        (hostile, "<Hostile>"),
        (lambda: [Hostile()], "<list>"),
        (lambda: float("nan"), "NaN"),
    ],
)
async def test_whatever_is_returned_becomes_text(function: Function, output: str) -> None:
    desk = RealtimeAgent(name="Desk", tools=[function_tool(function, name_override="t"), echo])
    async with opened(desk) as kit:
        kit.emit(call("t", call_id="1"))
        await settle(5)
        assert kit.outputs == [(output, True)]
        await lives(kit, 1)


@pytest.mark.parametrize("result", ["x" * 10_000_000, ["x" * 1000] * 10_000, list(range(1_000_000))])
def test_a_huge_result_is_cut(result: Any) -> None:
    text = tool_output_text(result)
    assert 100_000 < len(text) < 100_100
    assert text.endswith("… (cut: it was longer)")


class Endless(list[Any]):
    def __iter__(self) -> Any:
        return iter(int, 1)


def test_a_result_that_holds_itself_becomes_text() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert tool_output_text(circle) == "[[...]]"


# Failures are shown


async def test_a_failure_is_reported_with_the_end_of_the_tool(failures: list[logging.LogRecord]) -> None:
    async with opened(tool(UserCode.TOOL, fails).agent) as kit:
        kit.emit(call("t"))
        await settle()
        (end,) = kit.of("tool_end")
        assert isinstance(end.error, ValueError)
        assert kit.outputs == [(end.output, True)]
        assert kit.of("error") == []  # the model was told
        (record,) = failures
        assert "The tool 't' of session" in record.getMessage()
        assert "of Desk failed: ValueError: the tool" in record.getMessage()


async def test_a_tool_that_was_not_allowed_has_not_failed() -> None:
    async with opened(tool(UserCode.TOOL, needs_approval=True).agent) as kit:
        kit.emit(call("t"))
        await settle()
        await kit.session.reject_tool_call("call_1")
        await settle()
        assert [event.error for event in kit.of("tool_end")] == [None]


async def test_failures_of_a_tool_take_no_places() -> None:
    desk = tool(UserCode.TOOL, RAISING["raises StopIteration"]).agent
    async with opened(desk) as kit:
        kit.emit(*[call("t", call_id=f"c{n}") for n in range(20)])
        await settle(1)
        assert kit.outputs == [(FAILED, True)] * 20
        await lives(kit, 20)


def test_a_failed_result_is_its_text() -> None:
    error = ValueError("x")
    made = FailedResult("told", error)
    assert (made, made.error, type(tool_output_text(made))) == ("told", error, str)


# Code that does not end


async def deaf_to_cancellation() -> str:
    for _ in range(100):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    return "late"


async def test_a_tool_that_does_not_heed_its_time_limit_is_left() -> None:
    desk = tool(UserCode.TOOL, deaf_to_cancellation, timeout=1).agent
    async with opened(desk) as kit:
        kit.emit(call("t", call_id="1"))
        await settle(2)
        assert kit.outputs == [("Tool 't' timed out after 1 seconds.", True)]
        await lives(kit, 1)


@pytest.mark.parametrize("function", [deaf_to_cancellation, waits, lambda: virtual_time.spend(100)])
async def test_a_tool_that_never_returns_does_not_stop_the_closing(function: Function) -> None:
    loop = asyncio.get_running_loop()
    async with opened(tool(UserCode.TOOL, function).agent) as kit:
        kit.emit(call("t", call_id="1"))
        await settle()
        began = loop.time()
    assert loop.time() - began <= 1
    assert kit.session.status == "closed"


async def test_a_cancelled_tool_runs_no_further() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async with opened(tool(UserCode.TOOL, waits).agent) as kit:
        kit.emit(call("t", call_id="1"))
        await settle()
    assert ended == ["ended"]
    assert kit.outputs == []


def test_what_is_called_at_once_answers_at_once() -> None:
    async def function() -> None: ...

    with pytest.raises(UserCodeError, match="plain function"):
        call_now(function)


HANGS = """
import asyncio, time
from realtime_core.user_code import in_thread

async def main():
    work = asyncio.create_task(in_thread(time.sleep, [3600], {}))
    await asyncio.sleep(0.01)
    work.cancel()

asyncio.run(main())
print("over")
"""


def test_a_thread_that_never_ends_does_not_keep_the_process_alive() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "over\n"


def test_threads_are_made_as_they_are_needed_and_used_again() -> None:
    threads = DaemonThreads(2, "t")
    barrier = threading.Barrier(2)
    both = [threads.submit(barrier.wait, 30) for _ in range(2)]
    assert sorted(each.result(30) for each in both) == [0, 1]
    names = {threads.submit(lambda: threading.current_thread().name).result(30) for _ in range(20)}
    assert names <= {"t_1", "t_2"}
    with pytest.raises(SystemExit):
        threads.submit(sys.exit, 3).result(30)
    assert threads.submit(int, "7").result(30) == 7


def test_a_job_that_was_cancelled_before_it_began_does_not_run() -> None:
    threads, blocked = DaemonThreads(1, "t"), threading.Event()
    first = threads.submit(blocked.wait, 30)
    second = threads.submit(blocked.wait, 30)
    assert second.cancel()
    blocked.set()
    assert first.result(30) is True
    assert threads.submit(int, "7").result(30) == 7


# Places that need more than a call of a tool


@pytest.mark.parametrize("behaviour", RAISING)
async def test_the_words_of_a_rejection_that_raise(behaviour: str, failures: list[logging.LogRecord]) -> None:
    desk = tool(UserCode.TOOL, needs_approval=True).agent
    run: Any = {"tool_error_formatter": lambda args: RAISING[behaviour]()}
    async with opened(desk, run_config=run) as kit:
        kit.emit(call("t", call_id="1"))
        await settle()
        await kit.session.reject_tool_call("1")
        await settle(1)
        assert kit.outputs == [("Tool execution was not approved.", True)]
        assert [event.source for event in kit.of("error")] == [UserCode.ERROR_TEXT]
        await lives(kit, 1)


class McpServer:
    """Its one tool does what `function` does."""

    def __init__(self, function: Function) -> None:
        self.function = function

    async def list_tools(self) -> Any:
        return [SimpleNamespace(name="t", description="", inputSchema={"type": "object", "properties": {}})]

    async def call_tool(self, name: str, arguments: Any) -> Any:
        value = self.function()
        return await value if asyncio.iscoroutine(value) else value


@pytest.mark.parametrize("behaviour", RAISING)
async def test_a_tool_of_an_mcp_server_that_raises(behaviour: str, failures: list[logging.LogRecord]) -> None:
    desk = RealtimeAgent(name="Desk", tools=[echo], mcp_servers=[McpServer(RAISING[behaviour])])
    async with opened(desk) as kit:
        kit.emit(call("t", call_id="1"))
        await settle(1)
        assert len(kit.outputs) == 1
        assert kit.of("tool_end")[0].error is not None
        await lives(kit, 1)


@pytest.mark.parametrize("behaviour", RAISING)
async def test_a_function_for_the_key_that_raises(behaviour: str) -> None:
    with pytest.raises(ConnectFailed, match="api_key"):
        await resolve_endpoint({"api_key": RAISING[behaviour]}, None, "m", {})


@pytest.mark.parametrize("behaviour", [name for name in RAISING if "coroutine" not in name])
async def test_a_function_for_the_model_that_raises(behaviour: str) -> None:
    with pytest.raises(Exception):  # noqa: B017 - any but a BaseException
        await RealtimeRunner(RealtimeAgent(name="Desk"), model=RAISING[behaviour]).run()


async def test_a_function_for_the_model_that_returns_none() -> None:
    with pytest.raises(UserError, match="must return a RealtimeModel"):
        await RealtimeRunner(RealtimeAgent(name="Desk"), model=lambda: None).run()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("behaviour", RAISING)
async def test_a_handoff_of_the_users_own_that_raises(behaviour: str, failures: list[logging.LogRecord]) -> None:
    own = Handoff("t", "", {"type": "object", "properties": {}}, lambda ctx, arguments: RAISING[behaviour](), "Target")
    async with opened(RealtimeAgent(name="Desk", tools=[echo], handoffs=[own])) as kit:
        kit.emit(call("t", call_id="1"))
        await settle(1)
        assert kit.outputs == [(FAILED, True)]
        assert [event.source for event in kit.of("error")] == [UserCode.HANDOFF]
        await lives(kit, 1)


@pytest.mark.parametrize("target", [None, "Target", 3])
async def test_a_handoff_to_what_is_no_agent(target: Any, failures: list[logging.LogRecord]) -> None:
    own = Handoff("t", "", {"type": "object", "properties": {}}, lambda ctx, arguments: target, "Target")
    async with opened(desk := RealtimeAgent(name="Desk", tools=[echo], handoffs=[own])) as kit:
        kit.emit(call("t", call_id="1"))
        await settle(1)
        assert kit.outputs == [(FAILED, True)]
        assert kit.session.current_agent is desk
        await lives(kit, 1)


def _in_a_thread() -> int:
    async def run() -> int:
        found: int = await asyncio.wait_for(user_code.in_thread(lambda: 7, (), {}), 5)
        return found

    return asyncio.run(run())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_runs_tools_in_its_own_threads() -> None:
    """The threads of the parent are not in its copy, which would wait for them for ever."""
    assert _in_a_thread() == 7
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(_in_a_thread).result(30) == 7
