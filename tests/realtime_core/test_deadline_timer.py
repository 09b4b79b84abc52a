"""The timer with a deadline that moves, on the loops that run calls."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.testing import virtual_time

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

Run = Callable[[Coroutine[Any, Any, None]], None]
RUNS: dict[str, Run] = {"virtual": virtual_time.run, "asyncio": asyncio.run}
if uvloop is not None:
    RUNS["uvloop"] = uvloop.run
run_on = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@run_on
def test_the_machine_is_called_once_and_not_before_its_deadline(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay_s in (0.0005, 0.0014, 0.0116):
            deadline = loop.time() + delay_s
            calls: list[float] = []
            timer = DeadlineTimer(calls.append)
            timer.set(deadline)
            await _until(lambda calls=calls: bool(calls))  # type: ignore[misc]
            await asyncio.sleep(0.003)
            assert len(calls) == 1 and calls[0] >= deadline

    run(main())


@run_on
@pytest.mark.parametrize("late_s", [0.0, 1.0])
def test_a_deadline_that_is_due_already_can_be_set_again_and_moved(run: Run, late_s: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        calls: list[float] = []
        timer = DeadlineTimer(calls.append)
        past = loop.time() - late_s
        timer.set(past)
        timer.set(past)
        timer.set(past - 1)
        await _until(lambda: bool(calls))
        await asyncio.sleep(0.003)
        assert len(calls) == 1

    run(main())


@run_on
@pytest.mark.parametrize("at", [None, math.inf])
def test_a_deadline_can_be_taken_back(run: Run, at: float | None) -> None:
    async def main() -> None:
        calls: list[float] = []
        timer = DeadlineTimer(calls.append)
        timer.set(asyncio.get_running_loop().time() + 0.001)
        timer.set(at)
        await asyncio.sleep(0.005)
        assert not calls

    run(main())


@run_on
def test_the_next_deadline_may_be_set_while_the_timer_calls(run: Run) -> None:
    async def main() -> None:
        calls: list[float] = []

        def again(now: float) -> None:
            calls.append(now)
            timer.set(now if len(calls) < 3 else None)

        timer = DeadlineTimer(again)
        timer.set(asyncio.get_running_loop().time())
        await _until(lambda: len(calls) == 3)

    run(main())
