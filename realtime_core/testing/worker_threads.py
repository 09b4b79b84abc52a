"""Worker threads under virtual time. At any time either the event loop runs, or one worker thread.

A worker thread runs when nothing else is ready in the loop. Threads run in the order in which their jobs were
submitted. The loop continues when the thread ends, when the thread declares virtual time (`spend`), or when the thread
waits for the loop (`run_coroutine_threadsafe(...).result()`, `anyio.from_thread.run`). In this module, the permission
to run is called `control`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..daemon_threads import DaemonThreads
from ..errors import WatchdogExpired

__all__ = ["Threads", "Worker", "current_worker", "patched", "spend"]

_local = threading.local()


def current_worker() -> Worker | None:
    """Returns the `Worker` that runs in this thread, or None if this thread runs no job under virtual time. A job is a
    function that was passed to `loop.run_in_executor`.
    """
    return getattr(_local, "worker", None)


def spend(seconds: float) -> None:
    """Declares, in a worker thread, that the job takes `seconds` seconds. In virtual time, other work runs during this
    time. In real time, the thread sleeps. Without this call a job takes no virtual time.
    """
    worker = current_worker()
    if worker is not None:
        worker.give_back(_Sleep(seconds))
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        time.sleep(seconds)
    else:
        raise RuntimeError("spend() is for worker threads: in the event loop's thread, await asyncio.sleep().")


@dataclass(frozen=True, slots=True)
class _Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Wait:
    future: concurrent.futures.Future[Any]
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class _Finished:
    result: Any = None
    error: BaseException | None = None


class _Abandoned(BaseException):
    """Ends a thread whose loop was closed."""


class Worker:
    """One job and its thread. A job is a function that was passed to `loop.run_in_executor` of a loop with virtual
    time.
    """

    def __init__(
        self, threads: Threads, executor: concurrent.futures.Executor | None, call: Callable[[], Any], name: str
    ) -> None:
        self.name = name
        self.executor = executor
        self.future: asyncio.Future[Any] = threads.loop.create_future()
        self.read_loop_time = False
        self.abandoned = False
        self.started = False
        self.waits_for = ""
        self.request: _Sleep | _Wait | _Finished = _Finished()
        self.threads = threads
        self._call = call
        self._go = threading.Semaphore(0)

    def go(self) -> None:
        """Lets this worker thread run until the thread ends or lets the event loop run again. Must be called in the
        thread of the event loop.
        """
        if not self.started:
            self.started = True
            threading.Thread(target=self._work, name=f"virtual-time {self.name}", daemon=True).start()
        self._go.release()

    def give_back(self, request: _Sleep | _Wait) -> None:
        """Lets the event loop run until `request` is fulfilled: until a time has passed, or until a future is done.
        Must be called in this worker thread. Returns when the thread may run again.
        """
        if self.abandoned:
            raise _Abandoned
        self.request = request
        self.threads.control.release()
        self._take()

    def _take(self) -> None:
        self._go.acquire()
        if self.abandoned:
            raise _Abandoned

    def _work(self) -> None:
        try:
            self._take()
            self.request = self._outcome()
        except _Abandoned:
            return
        if not self.abandoned:
            self.threads.control.release()

    def _outcome(self) -> _Finished:
        try:
            if self.executor is None:
                return _Finished(self._as_worker())
            if isinstance(self.executor, (concurrent.futures.ThreadPoolExecutor, DaemonThreads)):
                return _Finished(self.executor.submit(self._as_worker).result())
            return _Finished(self.executor.submit(self._call).result())
        except _Abandoned:
            raise
        except StopIteration as error:  # a future cannot hold this exception
            failure = RuntimeError("the job raised StopIteration")
            failure.__cause__ = error
            return _Finished(error=failure)
        except BaseException as error:  # noqa: BLE001 - as in every executor, the exception is the job's outcome
            return _Finished(error=error)

    def _as_worker(self) -> Any:
        _local.worker = self
        try:
            return self._call()
        finally:
            del _local.worker


class Threads:
    """Runs jobs in worker threads, one job at a time, for an event loop that has virtual time. A job is a function that
    was passed to `loop.run_in_executor`. All methods of this class must be called in the thread of the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, watchdog_s: float) -> None:
        self.loop = loop
        self.control = threading.Semaphore(0)
        self.current: Worker | None = None
        self.unfinished: dict[Worker, None] = {}
        self._watchdog_s = watchdog_s
        self._queued: deque[Worker] = deque()
        self._runnable: deque[Worker] = deque()
        self._all_done: asyncio.Future[None] | None = None

    def submit(
        self, executor: concurrent.futures.Executor | None, call: Callable[[], Any], name: str
    ) -> asyncio.Future[Any]:
        worker = Worker(self, executor, call, name)
        self.unfinished[worker] = None
        self._queued.append(worker)
        return worker.future

    def run_one(self) -> bool:
        """Runs one waiting job until the job ends or returns control to the loop. Returns False if no job is ready to
        run. Raises `WatchdogExpired` if the job does not return control within `watchdog_s` seconds of real time.
        """
        worker = self._next()
        if worker is None:
            return False
        self.current = worker
        try:
            worker.go()
            if not self.control.acquire(timeout=self._watchdog_s):
                raise WatchdogExpired(
                    f"The thread of {worker.name} did not return within {self._watchdog_s:g} s of real time. Does it "
                    "sleep (use virtual_time.spend), or wait for something that only the event loop can do?"
                )
        except BaseException:
            self._abandon(worker)
            raise
        finally:
            self.current = None
        self._grant(worker)
        return True

    async def finished(self) -> None:
        """Waits until all jobs have ended."""
        while self.unfinished:
            self._all_done = self._all_done or self.loop.create_future()
            await self._all_done

    def abandon_all(self) -> None:
        for worker in list(self.unfinished):
            self._abandon(worker)
            if worker.started:
                worker._go.release()

    def _next(self) -> Worker | None:
        if self._runnable:
            return self._runnable.popleft()
        for worker in list(self._queued):
            if worker.future.cancelled():
                self._queued.remove(worker)
                self._forget(worker)
            elif not self._is_full(worker.executor):
                self._queued.remove(worker)
                return worker
        return None

    def _is_full(self, executor: concurrent.futures.Executor | None) -> bool:
        # A user's thread pool has a size that the user may rely on. The size of the default pool depends on the
        # machine.
        size = getattr(executor, "_max_workers", None)
        return size is not None and sum(w.started and w.executor is executor for w in self.unfinished) >= size

    def _grant(self, worker: Worker) -> None:
        request = worker.request
        if isinstance(request, _Finished):
            self._forget(worker)
            if not worker.future.cancelled():
                if request.error is not None:
                    worker.future.set_exception(request.error)
                else:
                    worker.future.set_result(request.result)
            return
        woken = False

        def wake(_: object = None) -> None:
            nonlocal woken
            if not woken:
                woken = True
                self._runnable.append(worker)

        if isinstance(request, _Sleep):
            worker.waits_for = f"{request.seconds:g} s"
            self.loop.call_later(max(0.0, request.seconds), wake)
        else:
            worker.waits_for = "a result from the loop"
            if request.timeout_s is not None:
                self.loop.call_later(request.timeout_s, wake)
            request.future.add_done_callback(wake)

    def _forget(self, worker: Worker) -> None:
        self.unfinished.pop(worker, None)
        if not self.unfinished and self._all_done is not None:
            if not self._all_done.done():
                self._all_done.set_result(None)
            self._all_done = None

    def _abandon(self, worker: Worker) -> None:
        worker.abandoned = True
        self._forget(worker)


_original_result = concurrent.futures.Future.result
_patches_lock = threading.Lock()
_patches: list[Callable[[], None]] = []
"""The functions that undo the patches, one for each running loop."""


@contextlib.contextmanager
def patched(counts: Callable[[object], bool]) -> Iterator[None]:
    """Changes `concurrent.futures.Future.result` and the worker threads of `anyio` during this block, in which an event
    loop with virtual time runs. A worker thread that waits for the result of a future then lets the loop continue. The
    work of `anyio`'s worker threads is done by the worker threads of this module. `counts` returns whether an event
    loop is a loop with virtual time. Other loops and their threads keep the original behaviour.
    """
    with _patches_lock:
        _patches.append(_patches[-1] if _patches else _patch(counts))
    try:
        yield
    finally:
        with _patches_lock:
            restore = _patches.pop()
            if not _patches:
                restore()


def _patch(counts: Callable[[object], bool]) -> Callable[[], None]:
    concurrent.futures.Future.result = _result  # type: ignore[method-assign]
    restore_anyio = _patch_anyio(counts)

    def restore() -> None:
        concurrent.futures.Future.result = _original_result  # type: ignore[method-assign]
        restore_anyio()

    return restore


def _result(self: concurrent.futures.Future[Any], timeout: float | None = None) -> Any:
    worker = current_worker()
    if worker is None or not worker.read_loop_time or self.done():
        return _original_result(self, timeout)
    worker.read_loop_time = False
    worker.give_back(_Wait(self, timeout))
    return _original_result(self, 0)


def _patch_anyio(counts: Callable[[object], bool]) -> Callable[[], None]:
    try:
        from anyio._backends import _asyncio as backend
    except ImportError:
        return lambda: None
    original = backend.WorkerThread

    class CountedWorkerThread(original):  # type: ignore[misc,valid-type]
        """Replaces an anyio worker thread and never starts a thread. Each item of its queue becomes a job that runs
        anyio's code for one item.
        """

        def start(self) -> None:
            if not counts(self.loop):
                super().start()
            else:
                self.queue = _ItemsAsJobs(self)

    backend.WorkerThread = CountedWorkerThread  # type: ignore[misc]

    def restore() -> None:
        backend.WorkerThread = original  # type: ignore[misc]

    return restore


class _ItemsAsJobs:
    """Replaces the queue of one anyio worker thread. `None` is anyio's command to stop."""

    def __init__(self, thread: Any) -> None:
        self._thread = thread
        self._items: deque[Any] = deque()

    def put_nowait(self, item: Any) -> None:
        if item is not None:
            self._items += (item, None)
            _, func, *_ = item
            self._thread.loop.run_in_executor(None, functools.wraps(func)(lambda: self._thread.run()))

    def get(self) -> Any:
        return self._items.popleft()

    def task_done(self) -> None:
        pass
