"""Closes connections whose peers take too long."""

from __future__ import annotations

import asyncio

from ..logs import Repeats
from .phase_timeouts import Phase, PhaseTimeouts

__all__ = ["TimeLimitedConnection"]

TICK_S = 1.0


class TimeLimitedConnection:
    """A server's HTTP or WebSocket connection that is closed if its client takes too long in a phase, for example to
    send the head of a request. The connection is checked once a second.
    """

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _repeats: Repeats
    _timeouts: PhaseTimeouts

    def _watch(self) -> None:
        self.loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        if self._is_lost or not self._is_serving:
            return
        phase, request = self._phase()
        if self._timeouts.is_over(phase, request, self.loop.time()):
            self._repeats.warning(phase.name, f"Cut off a connection that waited too long for {phase.value}.")
            self.transport.abort()
        else:
            self._watch()

    @property
    def _is_serving(self) -> bool:
        """Whether the connection still uses HTTP. False after an upgrade, because the connection then has another
        protocol.
        """
        protocol: object = self.transport.get_protocol()
        return protocol is self

    @property
    def _is_lost(self) -> bool:
        raise NotImplementedError

    def _phase(self) -> tuple[Phase, int]:
        """Returns the phase of the connection, and the number of its current request."""
        raise NotImplementedError
