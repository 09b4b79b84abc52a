"""The parts of `telephony demo` by themselves: environment, child processes, stubs, live view."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from realtime_core import RealtimeAgent, function_tool
from telephony.demo.environment import child_environment
from telephony.demo.live_call import LiveCall
from telephony.demo.processes import child
from telephony.demo.stubs import STUB_RESULT, stubbed
from telephony.demo.view import LiveView, PlainView, View
from telephony.errors import DemoFailed
from telephony.journal.reader import read_journal
from tests.support.synthetic_call import GREETING, restaurant_call


def test_children_know_nothing_of_production() -> None:
    production = {
        "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "x", "TWILIO_AUTH_TOKEN": "x", "PUBLIC_URL": "x",
        "DATABASE_URL": "x", "PORT": "x", "host": "x",
        "https_proxy": "http://10.0.0.1", "TELEPHONY_MODEL": "openai", "LOG_LEVEL": "x",
    }  # fmt: skip
    ours = {"PATH": "/bin", "HOME": "/root", "BOOKINGS_DB": "x"}
    assert child_environment(production | ours, {"PORT": "0"}).items() >= (ours | {"PORT": "0"}).items()
    assert not child_environment(production).keys() & production.keys()
    assert child_environment(production, keep=("OPENAI_API_KEY",))["OPENAI_API_KEY"] == "sk-x"


def run_child(program: str, then: Any) -> None:
    async def main() -> None:
        async with child("helper", ["-c", program], os.environ, verbose=False) as helper:
            await then(helper)

    asyncio.run(main())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_says_when_it_is_ready_and_is_ended() -> None:
    seen: dict[str, Any] = {}

    async def then(helper: Any) -> None:
        seen.update(await helper.ready())
        assert is_alive(seen["pid"])

    program = (
        "import os, json, time; print('noise'); print(json.dumps({'pid': os.getpid()}), flush=True); time.sleep(60)"
    )
    run_child(program, then)
    assert not is_alive(seen["pid"])


@pytest.mark.parametrize("fail", [KeyboardInterrupt, asyncio.CancelledError, RuntimeError])
def test_a_child_is_ended_whatever_happens(fail: type[BaseException]) -> None:
    pids: list[int] = []

    async def then(helper: Any) -> None:
        pids.append((await helper.ready())["pid"])
        raise fail

    stubborn = "import os, json, time, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    program = stubborn + "print(json.dumps({'pid': os.getpid()}), flush=True); time.sleep(60)"
    monkey = pytest.MonkeyPatch()
    monkey.setattr("telephony.demo.processes._STOP_S", 0.2)
    with monkey.context(), pytest.raises(fail):
        run_child(program, then)
    monkey.undo()
    assert pids and not is_alive(pids[0])


def test_a_child_that_fails_is_reported_with_its_last_words() -> None:
    async def ready(helper: Any) -> None:
        with pytest.raises(DemoFailed, match=r"The helper did not start\. It said: no such thing"):
            await helper.ready()

    async def lines(helper: Any) -> None:
        lines = helper.lines()
        assert await anext(lines) == {"n": 1}
        with pytest.raises(DemoFailed, match=r"The helper failed \(exit code 3\)\. It said: no such thing"):
            await anext(lines)

    run_child("import sys; sys.exit('no such thing')", ready)
    run_child("import sys; print('{\"n\": 1}'); sys.stderr.write('no such thing\\n'); sys.exit(3)", lines)


def run(work: Any) -> Any:
    async def main() -> Any:
        return await work

    return asyncio.run(main())


@function_tool
async def charge(amount: int) -> str:
    """Charge a card."""
    raise AssertionError("a real tool ran")


def test_stubs_answer_for_every_tool_of_every_agent() -> None:
    kitchen: RealtimeAgent[Any] = RealtimeAgent(name="Kitchen", tools=[charge])
    hosted = {"type": "mcp", "server_label": "shop"}
    desk: RealtimeAgent[Any] = RealtimeAgent(name="Desk", tools=[charge, hosted], handoffs=[kitchen])
    kitchen.handoffs = [desk]
    stub = stubbed(desk)
    assert isinstance(stub, RealtimeAgent)
    other = stub.handoffs[0]
    assert isinstance(other, RealtimeAgent) and other.handoffs[0] is stub
    for agent in (stub, other):
        (tool,) = agent.tools
        assert (tool.name, tool.params_json_schema) == (charge.name, charge.params_json_schema)
        assert run(tool.on_invoke_tool(None, "{}")) == STUB_RESULT
    assert desk.tools == [charge, hosted]

    async def pick(info: Any) -> RealtimeAgent[Any]:
        return desk

    picked = stubbed(pick)
    assert not isinstance(picked, RealtimeAgent)
    assert run(picked(None)).tools[0] is not charge


def watched(tmp_path: Path, view: View, until_s: float = 1e9, step_ms: float = 250.0) -> LiveCall:
    call, shown_ms = LiveCall(), 0.0
    for record in read_journal(restaurant_call().write(tmp_path / "journal.jsonl")):
        if record.t > until_s:
            break
        call.feed(record)
        if call.now_ms > shown_ms + step_ms:
            shown_ms = call.now_ms
            view.show(call, shown_ms - 100)
    return call


def test_lines_are_printed_as_they_are_complete(tmp_path: Path) -> None:
    printed = io.StringIO()
    view = PlainView(Console(width=60, file=printed))
    watched(tmp_path, view)
    view.close()
    lines = printed.getvalue().splitlines()
    assert lines[0] == f"0:00.4  Agent   {GREETING}"
    assert [line.split()[1] for line in lines] == [
        "Agent", "Caller", "tool", "Agent", "Caller", "interrupted:", "Agent", "Caller", "Agent", "Caller", "Agent",
    ]  # fmt: skip
    assert "[not heard: " in lines[3] and "truncated at 4110 ms" in lines[5]


@pytest.mark.parametrize(("width", "height"), [(120, 40), (40, 12), (20, 5)])
def test_the_live_view_fits_the_terminal(tmp_path: Path, width: int, height: int) -> None:
    with open(os.devnull, "w") as nowhere:
        console = Console(width=width, height=height, force_terminal=True, file=nowhere)
        view = LiveView(console)
        call = watched(tmp_path, view, until_s=13.0)
        caller, agent = call.levels(12_900)
        assert (caller, agent > 0) == (0, True)
        frame = console.render_lines(view._frame, pad=False)
        assert len(frame) <= max(height, 8)
        view.close()


def test_what_was_heard_goes_on_with_the_voice(tmp_path: Path) -> None:
    class Nothing:
        def show(self, call: LiveCall, ms: float) -> None: ...
        def close(self) -> None: ...

    call = watched(tmp_path, Nothing())
    greeting = call.lines[0]
    lengths = [len(greeting.heard(ms)) for ms in range(0, 8000, 100)]
    assert lengths == sorted(lengths) and lengths[0] == 0 and lengths[-1] == len(GREETING)
