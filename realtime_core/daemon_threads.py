"""An executor with daemon threads, for functions that may never return."""

from __future__ import annotations

import concurrent.futures
import functools
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple["concurrent.futures.Future[Any]", Callable[[], Any]]


class DaemonThreads(concurrent.futures.Executor):
    """An executor with at most `max_workers` daemon threads. Unlike with a `ThreadPoolExecutor`, a busy thread does not
    prevent the exit of the process.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self._max_workers = max_workers
        self._name = name
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._waiting = 0
        """The number of jobs that wait for a thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            self._waiting += 1
            if needed := self._waiting > self._idle and self._threads < self._max_workers:
                self._threads += 1
                name = f"{self._name}_{self._threads}"
        self._jobs.put((future, functools.partial(fn, *args, **kwargs)))
        if needed:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            future, job = self._jobs.get()
            with self._lock:
                self._idle -= 1
                self._waiting -= 1
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - as in every executor, the exception is the job's outcome
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, job  # an idle thread must not keep objects alive
