"""The pacing scheduler on each event loop that servers run on."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Coroutine
from typing import Any

import pytest

from telephony.call.ending import EndReason
from telephony.call.lifetime import Lifetime
from telephony.call.line.player import LinePlayer
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.scheduler import Scheduler
from telephony.call.recording.recorder import CallRecorder
from tests.support.phone_calls import Records

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


class Commands:
    """Takes the scheduler's commands, and does nothing."""

    async def prompt(self, instructions: str) -> None: ...

    async def say_goodbye(self, instructions: str, reason: EndReason) -> None: ...

    async def give_up(self, reason: str) -> None: ...


@pytest.mark.parametrize(
    "run", [asyncio.run, pytest.param(on_uvloop, marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is an extra"))]
)
def test_what_is_due_already_is_done_once(run: Any) -> None:
    """uvloop's handle of a timer that is due at once does not tell when it is due."""

    async def main() -> None:
        records = Records()
        recorder = CallRecorder(records)
        player = LinePlayer(recorder)
        scheduler = Scheduler(Lifetime(lambda: None), recorder, player, CallPolicy(), greets=False)
        scheduler.call = Commands()
        scheduler.begin()
        scheduler.expect_answer()
        scheduler.begin(again=True)  # the answer is pending for long enough: a timer in the past
        scheduler.expect_answer()
        scheduler.caller_acted()
        scheduler.machine_found()
        async with asyncio.timeout(5):
            while not records.of("timer"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [record["name"] for _, record in records.of("timer")] == ["pending answer: line"]
        scheduler.close()
        player.close()

    run(main())
