"""Drains a server: refuses new calls, and lets the live calls finish before the process stops.

`telephony serve` drains in its own server class. With `uvicorn desk:app`, uvicorn handles the signal, and uvicorn would
close every WebSocket with code 1012 before the end of the application's lifespan. Therefore the lifespan installs its
own signal handler, which drains and then calls uvicorn's handler. ASGI has no event for a stop signal, and the handlers
of other servers cannot be found.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from ..call.registry import Registry

if TYPE_CHECKING:
    from .phone_server import PhoneServer

__all__ = ["DRAINS_ITSELF", "drain", "drain_calls", "drained_by_signals"]

log = logging.getLogger(__name__)

DRAINS_ITSELF: ContextVar[bool] = ContextVar("telephony_drains_itself", default=False)
"""Whether the server that runs the application handles stop signals itself (drains the calls)."""
Handler = Callable[[int, FrameType | None], object]
OnPoll = Callable[[], Awaitable[object]]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.1
_EXPECTED_S = 5.0
"""The maximum time in seconds from the webhook of a call to its media stream, during a drain."""
_LAST_CALLBACKS_S = 1.0
"""The time in seconds for which the process still accepts status callbacks after the end of the last call."""


async def drain(phone: PhoneServer, *, stop_now: Callable[[], bool], on_poll: OnPoll | None = None) -> None:
    """Lets the live calls of a phone server end (drains the server) as its settings say, before the process stops.
    Returns early if `stop_now()` returns True. `on_poll` is called ten times a second. Then accepts the last status
    callbacks of Twilio for a short time.
    """
    settings = phone.settings
    drained = await drain_calls(
        phone.registry,
        within_s=settings.telephony_drain_s,
        farewell_s=settings.telephony_farewell_s,
        expected=lambda: phone.limits.expected(phone.now - _EXPECTED_S),
        stop_now=stop_now,
        on_poll=on_poll,
    )
    if drained and not stop_now():
        await asyncio.sleep(_LAST_CALLBACKS_S)


async def drain_calls(
    registry: Registry,
    *,
    within_s: float,
    farewell_s: float,
    expected: Callable[[], int] = lambda: 0,
    stop_now: Callable[[], bool] = lambda: False,
    on_poll: OnPoll | None = None,
) -> bool:
    """Refuses new calls, and waits `within_s` seconds for live calls to end. Then the agent says goodbye in the
    remaining calls, which takes at most `farewell_s` seconds. `expected` returns the number of calls whose media stream
    has not started. Returns early if `stop_now()` returns True. `on_poll` is called ten times a second. Returns whether
    there were calls.
    """
    clock = asyncio.get_running_loop().time

    async def empty(within_s: float) -> bool:
        deadline = clock() + within_s
        while len(registry) or expected():
            if stop_now() or clock() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
            if on_poll is not None:
                await on_poll()
        return True

    registry.draining = True
    if await empty(0):
        return False
    log.warning(
        "Draining: %d calls may continue for %g s; new calls are refused. A second signal ends them.",
        len(registry),
        within_s,
    )
    if not await empty(within_s) and not stop_now():
        log.warning("%d calls are still live. They say goodbye now.", len(registry))
        async with asyncio.TaskGroup() as group:
            farewell = group.create_task(registry.farewell(), name="farewell")
            await empty(farewell_s)
            farewell.cancel()
    return True


@contextmanager
def drained_by_signals(phone: PhoneServer) -> Iterator[None]:
    """In this block, the signals SIGTERM and SIGINT first drain the calls and then reach uvicorn. If this is
    impossible, logs a warning.
    """
    if DRAINS_ITSELF.get():
        yield
        return
    before = _uvicorns_handlers()
    if not before:
        log.log(
            logging.WARNING if phone.settings.can_be_rung else logging.INFO,
            "This server cannot be drained: live calls are cut off when it stops. `telephony serve`, and uvicorn in "
            "the main thread of a process, let them finish.",
        )
        yield
        return
    chain = _SignalChain(phone, before)
    try:
        yield
    finally:
        chain.close()


def _uvicorns_handlers() -> dict[int, Handler]:
    """Returns the signal handlers of uvicorn, or of another application that uvicorn serves. Returns an empty mapping
    if there are no such handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}  # signals reach only the main thread
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    owned: dict[int, Handler] = {
        number: handler
        for number, handler in found.items()
        if callable(handler) and isinstance(getattr(handler, "__self__", None), uvicorn.Server | _SignalChain)
    }
    return owned if len(owned) == len(_SIGNALS) else {}


class _SignalChain:
    """Signal handlers that run before uvicorn's signal handlers."""

    def __init__(self, phone: PhoneServer, before: dict[int, Handler]) -> None:
        self._phone = phone
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._signals = 0
        self._draining: asyncio.Task[None] | None = None
        for number in before:
            signal.signal(number, self._on_signal)

    def close(self) -> None:
        """Restores uvicorn's signal handlers."""
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._start, number)

    def _start(self, number: int) -> None:
        self._signals += 1
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain(number), name="drain")

    async def _drain(self, number: int) -> None:
        try:
            await drain(self._phone, stop_now=lambda: self._signals > 1)
        finally:
            self.close()
            self._before[number](number, None)
