"""`telephony demo`: the server, the model and the caller are separate processes, connected by sockets of this
machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from telephony.audio.files import read_ulaw
from telephony.env_file import environment
from telephony.errors import DemoFailed
from telephony.journal.format import Record
from telephony.journal.reader import parse_line

from .environment import child_environment
from .live_call import LiveCall
from .plan import DEMO_AGENT, DemoCall, Plan
from .processes import Child, child
from .view import View

__all__ = ["JournalTail", "call_over_sockets"]

_OF_THE_MODEL = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TELEPHONY_MODEL_NAME")
_CALL_S, _TOOL_S = 300.0, 30.0
"""The maximum duration of a demo call, and the additional time for each tool, in seconds."""
_SETTLE_S = 5.0
_SHOW_EVERY_S = 0.08
_MAX_LOOP_LAG_S = 10.0
"""The maximum event loop lag in seconds. The value is high, because a busy machine must not refuse the demo call."""
_BEHIND_MS = 400.0
"""The delay of the view in milliseconds. The journal is flushed every quarter of a second."""


def call_over_sockets(plan: Plan, view: View) -> DemoCall:
    """Makes a demo call in real time, with several processes and real sockets. `plan` has the options of the call, such
    as the agent. `view` shows the call while it runs. Returns the call when all processes have ended. Raises
    `DemoFailed` if a process fails, and `KeyboardInterrupt` after Ctrl-C or SIGTERM.
    """
    return asyncio.run(_ring(plan, view))


async def _ring(plan: Plan, view: View) -> DemoCall:
    _end_on_signals()
    try:
        async with AsyncExitStack() as stack:
            heard = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "heard.wav"
            server = await stack.enter_async_context(_server(plan))
            address = (await server.ready())["listening"]
            arguments = f"-m telephony.simulator ring {address}/incoming-call --json".split()
            arguments += ["--heard", str(heard), "--caller", plan.caller]
            ringing = child("caller", arguments, child_environment(environment()), verbose=plan.verbose)
            journal, events = await _follow(plan, view, await stack.enter_async_context(ringing))
            return DemoCall(journal, events, read_ulaw(heard), server.last_error)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _end_on_signals() -> None:
    """Installs signal handlers. The first signal ends the call in order. Later signals are ignored, so no process is
    left running.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)


@asynccontextmanager
async def _server(plan: Plan) -> AsyncIterator[Child]:
    """Runs the real server, and the embedded model to which the server connects, during this block."""
    serve = ["-m", "telephony", "serve", plan.agent or DEMO_AGENT, "--port", "0", "--json"]
    serve += ["--stub-tools"] * plan.stub_tools + ["-v"] * plan.verbose
    variables_of_call = {
        "TELEPHONY_JOURNAL_DIR": str(plan.folder.resolve()),
        "TELEPHONY_MAX_LOOP_LAG_S": str(_MAX_LOOP_LAG_S),
        "TELEPHONY_DATA_DIR": "off",
        "LOG_LEVEL": "info" if plan.verbose else "warning",
    }
    async with AsyncExitStack() as stack:
        if plan.live:
            variables_of_call["TELEPHONY_MODEL"] = "openai"
            variables = child_environment(environment(), variables_of_call, keep=_OF_THE_MODEL)
        else:
            script = ["--script", plan.model_script] if plan.model_script else []
            arguments = ["-m", "realtime_core.local", *script]
            model = child("model", arguments, child_environment(environment()), verbose=plan.verbose)
            ready = await (await stack.enter_async_context(model)).ready()
            variables_of_call |= {"OPENAI_BASE_URL": ready["base_url"], "OPENAI_API_KEY": "none"}
            variables = child_environment(environment(), variables_of_call)
        yield await stack.enter_async_context(child("server", serve, variables, verbose=plan.verbose))


async def _follow(plan: Plan, view: View, caller: Child) -> tuple[Path, list[Mapping[str, Any]]]:
    """Shows the call while it runs. Returns the path of its journal, and the caller's events."""
    started = await caller.ready()
    journal = plan.folder / started["call_sid"] / "journal.jsonl"
    events: list[Mapping[str, Any]] = [started]
    call = LiveCall()
    show = asyncio.create_task(_show(call, JournalTail(journal), view, started["clock"]))
    limit_s = _CALL_S + _TOOL_S * plan.tools
    try:
        async with asyncio.timeout(limit_s):
            events += [event async for event in caller.lines()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await show
    except TimeoutError:
        raise DemoFailed(f"The call did not end within {limit_s:.0f} s.") from None
    finally:
        show.cancel()
        await asyncio.wait([show])
    if not journal.exists():
        raise DemoFailed(f"The server wrote no journal at {journal}.")
    return journal, events


async def _show(call: LiveCall, tail: JournalTail, view: View, clock: float) -> None:
    """Shows the call until the end of its journal. `clock` is the monotonic clock at the start of the stream."""
    with contextlib.closing(tail):
        while not call.over:
            for record in tail.read():
                call.feed(record)
            view.show(call, (time.monotonic() - clock) * 1000 - _BEHIND_MS)
            await asyncio.sleep(_SHOW_EVERY_S)


class JournalTail:
    """Reads the journal at `path` while it is being written. The file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None
        self._rest = b""

    def read(self) -> list[Record]:
        """Returns the records that were written to the journal since the last call of this method. Lines that are not
        records are ignored.
        """
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [record for line in lines if (record := _parsed(line)) is not None]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _parsed(line: bytes) -> Record | None:
    try:
        return parse_line(line)
    except ValueError:
        return None
