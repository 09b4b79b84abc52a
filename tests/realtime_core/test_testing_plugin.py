"""The pytest plugin, used as its users use it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.sources import Sources
from realtime_core.testing.virtual_time import VirtualTimeLoop

pytest_plugins = ["pytester"]


@pytest.mark.virtual_time
async def test_a_coroutine_runs_in_virtual_time(sources: Sources) -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    await asyncio.sleep(600)
    assert sources.seed == 0
    assert f"{sources.now():%H:%M:%S}" == "00:10:00"


@pytest.mark.virtual_time(seed=7)
async def test_the_seed_reaches_the_sources_and_the_random_module(sources: Sources) -> None:
    assert sources.token() == Sources(7).token()
    assert random.random() == random.Random(7).random()


@pytest.mark.real_time
async def test_a_coroutine_runs_in_real_time() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


def test_a_plain_test_runs_virtual_time_itself(run_virtual: Callable[..., Any]) -> None:
    async def main() -> float:
        await asyncio.sleep(3)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3


@pytest.mark.virtual_time
@given(st.integers(0, 1000))
async def test_hypothesis_drives_coroutines(delay: int) -> None:
    await asyncio.sleep(delay)
    assert asyncio.get_running_loop().time() == delay


def test_failures_are_failures_and_misuse_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, hypothesis, pytest

        @pytest.mark.virtual_time
        @hypothesis.settings(database=None)
        @hypothesis.given(hypothesis.strategies.integers(0, 1000))
        async def test_is_falsified(delay):
            await asyncio.sleep(delay)
            assert asyncio.get_running_loop().time() < 500

        @pytest.mark.virtual_time
        async def test_fails():
            await asyncio.sleep(1)
            assert False, "it failed"

        @pytest.mark.virtual_time
        async def test_deadlocks():
            await asyncio.Event().wait()

        @pytest.mark.virtual_time
        @pytest.mark.real_time
        async def test_both(): ...

        @pytest.mark.virtual_time(speed=2)
        async def test_unknown(): ...

        @pytest.mark.virtual_time
        def test_plain(): ...
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--strict-markers")
    result.assert_outcomes(failed=5, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_is_falsified(*",
            "*delay=500*",
            "*it failed*",
            "*Deadlock: At 0 s all tasks and threads wait*",
            "*cannot have both markers*",
            "*takes only the key*",
        ]
    )
