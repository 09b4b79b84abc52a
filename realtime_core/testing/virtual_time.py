"""An event loop with virtual time: the clock moves only when nothing is ready to run.

```python
from realtime_core.testing import virtual_time

async def call() -> float:
    await asyncio.sleep(600)
    return asyncio.get_running_loop().time()

assert virtual_time.run(call) == 600.0        # at once
```

When nothing is ready, the clock jumps to the next timer. So only sleeping takes time, and the same program always runs
in the same order:

- Callbacks take no time. `loop.stall(seconds)` simulates a blocked loop.
- The clock stands still while a worker thread runs (`run_in_executor`, `asyncio.to_thread`, `anyio.to_thread`, the
  default executor's shutdown). Worker threads run one at a time, in the order of submission, when nothing else is
  ready. They take only the virtual time that they declare with `spend(seconds)`. Other threads may not call into the
  loop.
- Real sockets, pipes, subprocesses and signal handlers are refused, because their timing is not known. Use
  `realtime_core.connection.memory`.
- Tasks hash by number, not by address. So a `TaskGroup` always cancels its tasks in the same order, and `asyncio.wait`
  always returns them in the same order.
- If tasks wait, nothing is ready and no timer runs, the loop raises `Deadlock` with the waiting tasks and their places.
  A watchdog in real time ends a thread that does not return and a loop that never pauses: `WatchdogExpired`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import random
import selectors
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NoReturn, TypeVar

from ..errors import Deadlock, VirtualTimeError, WatchdogExpired
from .worker_threads import Threads, current_worker, patched, spend

__all__ = ["VirtualTimeLoop", "is_running", "run", "spend"]

T = TypeVar("T")
_LIVELOCK_CHECK_TURNS = 4096


class _Task(asyncio.Task[Any]):
    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, **kwargs: Any) -> None:
        self.number = number
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self.number


class _Selector(selectors.BaseSelector):
    """A selector that waits only for the loop's own threads and timers. Accepts the loop's wake-up pipe and refuses
    everything else.
    """

    def __init__(self) -> None:
        self.loop: VirtualTimeLoop | None = None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self._keys:
            _refuse("Real sockets and pipes")
        key = selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        self.loop._rest(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when nothing is ready to run, so sleeping takes no real time. `time` starts
    at 0.0.
    """

    def __init__(self, *, watchdog_s: float = 60.0) -> None:
        selector = _Selector()
        self._now = 0.0
        self._watchdog_s = watchdog_s
        self._turns = 0
        self._rested_at = time.monotonic()
        self._tasks_made = 0
        self._owner: int | None = None
        super().__init__(selector)
        selector.loop = self
        self._threads = Threads(self, watchdog_s)

    def time(self) -> float:
        return self._now

    def stall(self, seconds: float) -> None:
        """Blocks the loop: `seconds` seconds pass immediately, as if a callback had taken this time."""
        self._now += seconds

    # Called by the selector

    def _rest(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            self._check_livelock()
            return
        self._turns = 0
        if self._threads.run_one():
            return
        if timeout is None:
            raise self._deadlock()
        self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]

    def _check_livelock(self) -> None:
        self._turns += 1
        if self._turns == 1:
            self._rested_at = time.monotonic()
        elif self._turns % _LIVELOCK_CHECK_TURNS == 0 and time.monotonic() - self._rested_at > self._watchdog_s:
            raise WatchdogExpired(
                f"At {self._now:g} s the event loop ran {self._turns} times in {self._watchdog_s:g} s of "
                "real time without a pause. Some code polls instead of waiting."
            )

    def _deadlock(self) -> Deadlock:
        tasks = sorted((task for task in asyncio.all_tasks(self) if isinstance(task, _Task)), key=lambda t: t.number)
        waiting = [f"  {task.get_name()}: {_where(task)}" for task in tasks]
        waiting += [f"  thread of {worker.name}: waits for {worker.waits_for}" for worker in self._threads.unfinished]
        return Deadlock(f"At {self._now:g} s all tasks and threads wait, and no timer runs:\n" + "\n".join(waiting))

    # Tasks

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **kwargs: Any
    ) -> asyncio.Task[Any]:
        if self.get_task_factory() is not None:
            return super().create_task(coro, name=name, context=context, **kwargs)
        self._check_closed()  # type: ignore[attr-defined]
        self._tasks_made += 1
        number = self._tasks_made
        return _Task(coro, number=number, loop=self, name=name or f"Task-{number}", context=context, **kwargs)

    # Threads

    def run_forever(self) -> None:
        self._owner = threading.get_ident()
        try:
            with patched(lambda loop: isinstance(loop, VirtualTimeLoop)):
                super().run_forever()
        finally:
            self._owner = None

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._check_closed()  # type: ignore[attr-defined]
        if executor is None:
            self._check_default_executor()  # type: ignore[attr-defined]
            executor = self._default_executor  # type: ignore[attr-defined]
        return self._threads.submit(executor, functools.partial(func, *args), _name(func))

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        worker = current_worker()
        if worker is not None and worker is self._threads.current:
            worker.read_loop_time = True
        elif self._owner not in (None, threading.get_ident()):
            raise RuntimeError(
                "A thread unknown to virtual time called into the event loop. Its timing is random. Start it "
                "with asyncio.to_thread, loop.run_in_executor or anyio.to_thread."
            )
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own
        """Waits in virtual time until all jobs of worker threads have ended, for at most `timeout` seconds (None:
        without a limit). Warns if jobs are left.
        """
        self._executor_shutdown_called = True
        try:
            async with asyncio.timeout(timeout):
                await self._threads.finished()
        except TimeoutError:
            warnings.warn(f"Worker threads did not end within {timeout} s.", RuntimeWarning, stacklevel=2)
        if self._default_executor is not None:  # type: ignore[attr-defined]
            self._default_executor.shutdown(wait=not self._threads.unfinished)  # type: ignore[attr-defined]

    def close(self) -> None:
        if not self.is_closed() and not self.is_running():
            self._threads.abandon_all()
        super().close()

    # Not available in virtual time

    async def create_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("Real connections")

    async def create_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("Real servers")

    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("Real sockets")

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("Subprocesses")

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("Subprocesses")

    def add_signal_handler(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        _refuse("Signal handlers")


def run(
    main: Coroutine[Any, Any, T] | Callable[[], Awaitable[T]], *, seed: int | None = None, watchdog_s: float = 60.0
) -> T:
    """Runs a coroutine or a coroutine function in virtual time, as `asyncio.run` does in real time.

    With a `seed`, the generator of the `random` module starts from the seed and is restored at the end. The seed is for
    users' code that uses this module. This package uses `realtime_core.sources.Sources`.

    `watchdog_s` is a time limit in seconds of the real clock: for each worker thread, and for callbacks of the event
    loop that run without the virtual clock moving. Raises `WatchdogExpired` after this time, and `Deadlock` if no task
    can continue.
    """

    async def call() -> T:
        return await (main() if callable(main) else main)

    state = random.getstate()
    if seed is not None:
        random.seed(seed)
    runner = asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(watchdog_s=watchdog_s))
    try:
        result = runner.run(call())
    except VirtualTimeError:
        try:
            runner.close()
        except VirtualTimeError:
            pass  # code that hung also hangs when cancelled; the first report is the useful one
        raise
    finally:
        random.setstate(state)
        runner.close()
    return result


def is_running() -> bool:
    """Returns whether the running event loop is a virtual-time loop."""
    try:
        return isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    except RuntimeError:
        return False


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"{what} do not work in virtual time, because their timing is not known. Use an in-memory connection "
        "(realtime_core.connection.memory), or run in real time."
    )


def _name(func: Any) -> str:
    while isinstance(func, functools.partial):
        # asyncio.to_thread wraps the function into partial(context.run, function, ...).
        func = func.args[0] if getattr(func.func, "__name__", "") == "run" and func.args else func.func
    return getattr(func, "__qualname__", None) or repr(func)


def _where(task: asyncio.Task[Any]) -> str:
    """Returns the innermost frame in which a task waits."""
    awaited: Any = task.get_coro()
    frame = None
    while awaited is not None:
        frame = next(
            (f for name in ("cr_frame", "gi_frame", "ag_frame") if (f := getattr(awaited, name, None)) is not None),
            frame,
        )
        awaited = next(
            (
                inner
                for name in ("cr_await", "gi_yieldfrom", "ag_await")
                if (inner := getattr(awaited, name, None)) is not None
            ),
            None,
        )
    if frame is None:
        return "not started"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
