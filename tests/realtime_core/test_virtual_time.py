"""The virtual-time loop itself: its order, its threads, and each way in which it refuses to go on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio.from_thread
import anyio.to_thread
import pytest

from realtime_core.errors import Deadlock, WatchdogExpired
from realtime_core.testing import virtual_time
from realtime_core.testing.virtual_time import VirtualTimeLoop, spend


def now() -> float:
    return asyncio.get_running_loop().time()


def the_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def test_ten_minutes_of_timers_take_no_time() -> None:
    async def main() -> tuple[int, float]:
        ticks = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(600))
            while now() < 599.99:
                await asyncio.sleep(0.02)
                ticks += 1
        return ticks, round(now(), 6)

    started = time.process_time()
    assert virtual_time.run(main) == (30000, 600.0)
    assert time.process_time() - started < 60


def test_time_starts_at_zero_and_a_timer_fires_exactly_when_it_is_due() -> None:
    async def main() -> list[float]:
        times = [now()]
        for delay in (0.1, 0.0, 1e-6, 12345.678):
            await asyncio.sleep(delay)
            times.append(now())
        return times

    assert virtual_time.run(main()) == [0.0, 0.1, 0.1, 0.1 + 1e-6, 0.1 + 1e-6 + 12345.678]


def test_code_that_computes_takes_no_time_and_a_stall_makes_timers_late() -> None:
    async def main() -> list[tuple[str, float]]:
        fired: list[tuple[str, float]] = []
        loop = the_loop()
        for at in (1.0, 2.0, 4.0):
            loop.call_at(at, lambda due: fired.append((f"due {due}", now())), at)
        sum(range(100_000))
        assert now() == 0.0
        await asyncio.sleep(0.5)
        loop.stall(2.5)
        await asyncio.sleep(2)
        return fired

    assert virtual_time.run(main) == [("due 1.0", 3.0), ("due 2.0", 3.0), ("due 4.0", 4.0)]


def test_a_time_out_fires_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return now()

    assert virtual_time.run(main) == 2.5


# Threads

InThread = Callable[[Callable[..., Any]], Any]


async def in_executor(func: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, func)


THREADS: dict[str, InThread] = {
    "to_thread": asyncio.to_thread,
    "run_in_executor": in_executor,
    "anyio": anyio.to_thread.run_sync,
}


@pytest.fixture(params=THREADS)
def in_thread(request: pytest.FixtureRequest) -> InThread:
    return THREADS[request.param]


def six_tools(in_thread: InThread, compute: Callable[[int], None]) -> list[tuple[float, str]]:
    """Runs six tools in threads beside a ticking loop. Returns the events with their times."""

    async def main() -> list[tuple[float, str]]:
        happened: list[tuple[float, str]] = []

        def tool(number: int) -> int:
            happened.append((-1.0, f"starts {number}"))
            compute(number)
            return number

        async def call(number: int) -> None:
            result = await in_thread(lambda: tool(number))
            happened.append((now(), f"ends {result}"))

        async def tick() -> None:
            for _ in range(4):
                happened.append((now(), "tick"))
                await asyncio.sleep(0.25)

        async with asyncio.TaskGroup() as group:
            group.create_task(tick())
            for number in range(6):
                group.create_task(call(number))
        return happened

    return virtual_time.run(main)


def test_six_tools_in_threads_take_no_time_and_end_in_the_order_of_submission(in_thread: InThread) -> None:
    real = random.Random(3)

    def compute(number: int) -> None:
        time.sleep(real.uniform(0, 0.005))

    happened = six_tools(in_thread, compute)
    assert [what for t, what in happened if t == -1.0] == [f"starts {n}" for n in range(6)]
    assert [(t, what) for t, what in happened if "ends" in what] == [(0.0, f"ends {n}") for n in range(6)]


def test_tools_that_declare_time_run_side_by_side(in_thread: InThread) -> None:
    happened = six_tools(in_thread, lambda number: spend(0.6 - 0.1 * number))
    ends = [(round(t, 6), what) for t, what in happened if "ends" in what]
    assert ends == [
        (0.1, "ends 5"),
        (0.2, "ends 4"),
        (0.3, "ends 3"),
        (0.4, "ends 2"),
        (0.5, "ends 1"),
        (0.6, "ends 0"),
    ]


def test_the_same_happens_in_each_of_thirty_runs(in_thread: InThread) -> None:
    pauses = random.Random(5)

    def compute(number: int) -> None:
        for _ in range(number % 3):
            time.sleep(pauses.uniform(0, 0.0005))
            spend(0.1)

    first = six_tools(in_thread, compute)
    assert len(first) == 16
    assert all(six_tools(in_thread, compute) == first for _ in range(29))


def test_one_thread_runs_at_a_time_and_none_beside_the_loop() -> None:
    running = 0
    most = 0
    loop_saw: list[int] = []

    def tool() -> None:
        nonlocal running, most
        for _ in range(3):
            running += 1
            most = max(most, running)
            time.sleep(0.0005)
            running -= 1
            spend(0.01)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(asyncio.to_thread(tool))
            for _ in range(10):
                await asyncio.sleep(0.005)
                loop_saw.append(running)

    virtual_time.run(main)
    assert most == 1
    assert loop_saw == [0] * 10


def test_a_tool_past_its_time_out_ends_later_and_the_run_waits_for_it(in_thread: InThread) -> None:
    ended: list[str] = []

    def tool() -> None:
        spend(5)
        ended.append("tool")

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                if in_thread is anyio.to_thread.run_sync:
                    await anyio.to_thread.run_sync(tool, abandon_on_cancel=True)
                else:
                    await in_thread(tool)
        ended.append("time-out")
        return now()

    assert virtual_time.run(main) == 1.0
    assert ended == ["time-out", "tool"]


def test_exceptions_of_a_thread_reach_the_awaiting_code(in_thread: InThread) -> None:
    def fail() -> None:
        spend(1)
        raise LookupError("the tool's own")

    async def main() -> float:
        with pytest.raises(LookupError, match="the tool's own"):
            await in_thread(fail)
        return now()

    assert virtual_time.run(main) == 1.0


def test_a_thread_may_ask_the_loop_and_wait_for_the_answer() -> None:
    async def slow(number: int) -> int:
        await asyncio.sleep(number)
        return number

    def tool(loop: asyncio.AbstractEventLoop) -> list[int]:
        return [asyncio.run_coroutine_threadsafe(slow(n), loop).result() for n in (1, 2)]

    def anyio_tool() -> int:
        return anyio.from_thread.run(slow, 3) + round(anyio.from_thread.run_sync(now))

    def impatient(loop: asyncio.AbstractEventLoop) -> str:
        try:
            asyncio.run_coroutine_threadsafe(slow(100), loop).result(timeout=4)
        except TimeoutError:
            return "timed out"
        return "answered"

    async def main() -> tuple[Any, ...]:
        loop = asyncio.get_running_loop()
        first = await asyncio.gather(asyncio.to_thread(tool, loop), anyio.to_thread.run_sync(anyio_tool))
        at = now()
        return first, at, await asyncio.to_thread(impatient, loop), now()

    assert virtual_time.run(main) == ([[1, 2], 6], 3.0, "timed out", 7.0)


def test_a_given_pool_keeps_its_size_and_its_threads() -> None:
    names: set[str] = set()

    def tool() -> None:
        names.add(threading.current_thread().name.rpartition("_")[0])
        spend(1)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, tool) for _ in range(5)))
        return now()

    assert virtual_time.run(main) == 3.0
    assert names == {"mine"}


def test_a_job_cancelled_before_it_starts_never_runs() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().run_in_executor(None, pytest.fail, "it ran")
        future.cancel()
        await asyncio.sleep(1)

    virtual_time.run(main)


def test_a_default_executor_of_the_users_is_shut_down_as_work() -> None:
    ended: list[float] = []

    async def main() -> None:
        loop = the_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        first = loop.run_in_executor(None, spend, 1)
        loop.run_in_executor(None, spend, 2).add_done_callback(lambda _: ended.append(loop.time()))
        await first

    virtual_time.run(main)
    assert ended == [3.0]


def test_a_thread_that_the_loop_does_not_know_may_not_call_into_it() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        said: list[str] = []

        def stranger() -> None:
            try:
                loop.call_soon_threadsafe(said.append, "it got in")
            except RuntimeError as error:
                said.append(str(error))

        thread = threading.Thread(target=stranger)
        thread.start()
        thread.join()
        await asyncio.sleep(0)
        return said[0]

    assert "unknown to virtual time" in virtual_time.run(main)


def test_in_real_time_threads_are_as_they_were() -> None:
    async def main() -> tuple[str, int]:
        started = time.monotonic()
        await asyncio.to_thread(spend, 0.01)
        assert time.monotonic() - started >= 0.01
        answer = await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01, "answer"), loop).result()
        )
        return answer, await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(lambda: 7))

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        assert runner.run(main()) == ("answer", 7)


def test_spend_is_refused_in_the_loops_own_thread() -> None:
    async def main() -> None:
        spend(1)

    with pytest.raises(RuntimeError, match="worker threads"):
        virtual_time.run(main)


# Order


def test_a_task_group_cancels_its_tasks_in_the_order_of_their_creation() -> None:
    async def main() -> list[str]:
        cancelled: list[str] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                cancelled.append(f"{number}")

        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(wait(number))
                await asyncio.sleep(1)
                raise LookupError
        return cancelled

    first = virtual_time.run(main)
    assert sorted(first, key=int) == [f"{n}" for n in range(50)]
    assert all(virtual_time.run(main) == first for _ in range(5))


def test_task_names_start_afresh_in_each_run() -> None:
    async def main() -> list[str]:
        tasks = [asyncio.create_task(asyncio.sleep(0), name=name) for name in (None, "mine", None)]
        await asyncio.gather(*tasks)
        return [task.get_name() for task in tasks]

    assert virtual_time.run(main) == virtual_time.run(main) == ["Task-2", "mine", "Task-4"]


def test_a_seed_makes_the_random_module_repeat_and_leaves_it_as_it_was() -> None:
    async def draw() -> float:
        return random.random()

    before = random.getstate()
    assert virtual_time.run(draw, seed=5) == virtual_time.run(draw, seed=5) != virtual_time.run(draw, seed=6)
    assert random.getstate() == before


# Refusals


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def wait_for_godot() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(3)
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_godot(), name="vladimir")
            group.create_task(wait_for_godot(), name="estragon")

    with pytest.raises(Deadlock) as caught:
        virtual_time.run(main)
    message = str(caught.value)
    assert message.startswith("At 3 s all tasks and threads wait")
    assert message.index("vladimir: Event.wait (") < message.index("estragon: Event.wait (")


def test_a_deadlock_that_swallows_its_cancellation_is_still_reported() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="At 0 s"):
        virtual_time.run(stubborn)


def test_a_thread_that_waits_for_the_loop_for_ever_is_in_the_report() -> None:
    def tool(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.Event().wait(), loop).result()

    async def main() -> None:
        await asyncio.to_thread(tool, asyncio.get_running_loop())

    with pytest.raises(Deadlock, match=r"thread of .*tool: waits for a result from the loop"):
        virtual_time.run(main)


def test_the_watchdog_ends_a_hung_thread(in_thread: InThread) -> None:
    hung = threading.Event()

    async def main() -> None:
        await in_thread(hung.wait)

    started = time.monotonic()
    with pytest.raises(WatchdogExpired, match=r"Event\.wait did not return"):
        virtual_time.run(main, watchdog_s=0.05)
    assert time.monotonic() - started < 2
    hung.set()


def test_the_watchdog_ends_a_loop_that_never_rests() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(0)

    with pytest.raises(WatchdogExpired, match="polls"):
        virtual_time.run(main, watchdog_s=0.05)


def test_real_sockets_servers_and_processes_are_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for attempt in (
            lambda: asyncio.open_connection("127.0.0.1", 9),
            lambda: asyncio.start_server(lambda r, w: None, "127.0.0.1", 0),
            lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)),
            lambda: asyncio.create_subprocess_exec("true"),
            lambda: asyncio.create_subprocess_shell("true"),
        ):
            with pytest.raises(RuntimeError, match="do not work in virtual time"):
                await attempt()
        with pytest.raises(RuntimeError, match="do not work in virtual time"):
            loop.add_reader(0, print)
        with pytest.raises(RuntimeError, match="do not work in virtual time"):
            loop.add_signal_handler(2, print)

    virtual_time.run(main)


def test_an_exception_of_main_comes_out_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise LookupError("main's own")

    with pytest.raises(LookupError, match="main's own"):
        virtual_time.run(main())
