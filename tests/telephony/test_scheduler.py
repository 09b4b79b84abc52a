"""The agent's conduct on each event loop that servers run on."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Coroutine
from typing import Any

import pytest

from telephony.call.line.player import LinePlayer
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.scheduler import Scheduler
from telephony.call.recording.recorder import CallRecorder
from tests.support.phone_calls import Records

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


class Told:
    """What the conduct asked for."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()

    def note(self, timer: str) -> None:
        self.notes.append(timer)

    async def prompt(self, instructions: str) -> None: ...

    async def say_goodbye(self, instructions: str, reason: str) -> None: ...

    async def give_up(self, reason: str) -> None: ...

    async def replace_stream(self) -> None: ...


@pytest.mark.parametrize(
    "run", [asyncio.run, pytest.param(on_uvloop, marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is an extra"))]
)
def test_what_is_due_already_is_done_once(run: Any) -> None:
    """uvloop's handle of a timer that is due at once does not tell when it is due."""

    async def main() -> None:
        told = Told()
        player = LinePlayer(CallRecorder(Records()))
        conduct = Scheduler(told, player, CallPolicy(), greets=False)
        conduct.begin()
        conduct.expect_answer()
        conduct.begin(again=True)  # the answer is owed for long enough: a timer in the past
        conduct.expect_answer()
        conduct.caller_acted()
        conduct.machine_found()
        async with asyncio.timeout(5):
            while not told.notes:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert told.notes == ["answer owed: line"]
        conduct.close()
        player.close()

    run(main())
