"""The pacing scheduler on each event loop that servers run on."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime_core.capabilities import ModelCapabilities
from realtime_core.events import (
    RealtimeEventInfo,
    RealtimeRawModelEvent,
    RealtimeSpeechStarted,
    RealtimeSpeechStopped,
)
from realtime_core.model_events import RealtimeModelInputAudioCommittedEvent
from realtime_core.run_context import RunContextWrapper
from telephony.call.ending import EndReason
from telephony.call.lifetime import Lifetime
from telephony.call.line.player import LinePlayer
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.scheduler import Scheduler
from telephony.call.recording.recorder import CallRecorder
from telephony.call.wording import Wording
from telephony.locales.locale import english
from tests.support.phone_calls import Records

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


POLICY = CallPolicy(answer_line_s=2.0, stalled_s=None)


class Commands:
    """Takes the scheduler's commands, and does nothing."""

    async def prompt(self, instructions: str) -> None: ...

    async def say_goodbye(self, instructions: str, reason: EndReason) -> None: ...

    async def give_up(self, reason: str) -> None: ...


@pytest.mark.parametrize(
    "run", [asyncio.run, pytest.param(on_uvloop, marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is an extra"))]
)
def test_what_is_due_already_is_done_once(run: Any) -> None:
    """uvloop's handle of a timer that is already due does not have its due time."""

    async def main() -> None:
        records = Records()
        recorder = CallRecorder(records)
        player = LinePlayer(recorder)
        scheduler = Scheduler(Lifetime(lambda: None), recorder, player, CallPolicy(), Wording(english()), greets=False)
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


@pytest.mark.virtual_time
@pytest.mark.parametrize(("full_duplex", "fills"), [(False, ["pending answer: line"]), (True, [])])
async def test_the_end_of_a_turn_requests_an_answer_only_of_a_model_that_takes_turns(
    full_duplex: bool, fills: list[str]
) -> None:
    records = Records()
    recorder = CallRecorder(records)
    player = LinePlayer(recorder)
    scheduler = Scheduler(
        Lifetime(lambda: None),
        recorder,
        player,
        CallPolicy(answer_line_s=2.0, stalled_s=None),
        Wording(english()),
        greets=False,
    )
    scheduler.call = Commands()
    scheduler.begin()
    scheduler.go_live(ModelCapabilities(full_duplex=full_duplex))
    info = RealtimeEventInfo(RunContextWrapper(None))
    scheduler.on_event(RealtimeSpeechStarted(info, "item_u", 0))
    scheduler.on_event(RealtimeSpeechStopped(info, "item_u", 500))
    scheduler.on_event(RealtimeRawModelEvent(RealtimeModelInputAudioCommittedEvent("item_u", None), info))
    await asyncio.sleep(3)
    assert [record["name"] for _, record in records.of("timer")][:1] == fills
    scheduler.close()
    player.close()


@pytest.mark.virtual_time
async def test_speech_takes_back_a_pending_answer_only_from_a_model_that_takes_turns() -> None:
    for full_duplex in (False, True):
        records = Records()
        recorder = CallRecorder(records)
        player = LinePlayer(recorder)
        scheduler = Scheduler(
            Lifetime(lambda: None),
            recorder,
            player,
            CallPolicy(answer_line_s=2.0, stalled_s=None),
            Wording(english()),
            greets=False,
        )
        scheduler.call = Commands()
        scheduler.begin()
        scheduler.go_live(ModelCapabilities(full_duplex=full_duplex))
        scheduler.expect_answer()
        info = RealtimeEventInfo(RunContextWrapper(None))
        scheduler.on_event(RealtimeSpeechStarted(info, "item_u", 0))
        scheduler.on_event(RealtimeSpeechStopped(info, "item_u", 500))
        await asyncio.sleep(2.5)
        assert bool(records.of("timer")) is full_duplex
        scheduler.close()
        player.close()
