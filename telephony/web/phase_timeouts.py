"""Limits how long an HTTP or WebSocket connection may be in one phase, for example how long the server waits for the
body of a request. Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

__all__ = ["HTTP_LIMITS_S", "WEBSOCKET_LIMITS_S", "Phase", "PhaseTimeouts"]


class Phase(Enum):
    """The phases of a connection. The value is the name of the event for which the connection waits."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    IDLE = "the next request"
    OURS = "our own answer, or nothing"
    HANDSHAKE = "our answer to an upgrade"
    UNREAD = "the peer, which does not read"
    CLOSING = "the end of a connection that we have closed"


HTTP_LIMITS_S: Mapping[Phase, float] = {
    Phase.HEAD: 10.0,
    Phase.BODY: 20.0,
    Phase.IDLE: 30.0,
    Phase.UNREAD: 10.0,
    Phase.CLOSING: 5.0,
}
"""The timeout of each phase in seconds. The application refuses a slow body earlier (`forms.BODY_S`). uvicorn closes an
idle connection earlier (`timeout_keep_alive`, 5 s).
"""
WEBSOCKET_LIMITS_S: Mapping[Phase, float] = {Phase.HANDSHAKE: 10.0, Phase.UNREAD: 10.0, Phase.CLOSING: 5.0}


class PhaseTimeouts:
    """Decides whether one connection has been in its current phase, such as waiting for the body of a request, for too
    long. `limits_s` has the limit of each phase in seconds. A phase without a limit may last for any time. `now` is in
    seconds on any steady clock.
    """

    def __init__(self, limits_s: Mapping[Phase, float]) -> None:
        self._limits_s = limits_s
        self._in: tuple[Phase, int] | None = None
        self._since = 0.0

    def is_over(self, phase: Phase, request: int, now: float) -> bool:
        """Returns whether the connection is in this phase for longer than the timeout of the phase. The time counts
        from the first call of this method with this phase and this request. `request` is the number of the request on
        the connection.
        """
        if self._in != (phase, request):
            self._in, self._since = (phase, request), now
        limit_s = self._limits_s.get(phase)
        return limit_s is not None and now - self._since > limit_s
