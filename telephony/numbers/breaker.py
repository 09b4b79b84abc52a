"""A circuit breaker for a model endpoint: decides when a failing endpoint is no longer used, and when it is tried
again. Pure.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BreakerState", "CircuitBreaker"]


class BreakerState(StrEnum):
    """The states of a circuit breaker."""

    CLOSED = "closed"
    """The model endpoint works, and calls use it."""
    OPEN = "open"
    """The endpoint fails, and is not tried."""
    PROBING = "probing"
    """The endpoint has failed, and one call tries now whether it works again. Other calls do not use the endpoint."""


class CircuitBreaker:
    """A circuit breaker for one endpoint. It opens after `failures` failures in a row: calls then do not use the
    endpoint. After `open_s` seconds one call at a time may try the endpoint again. Each further failure doubles this
    time, up to `max_open_s` seconds. A success closes the breaker. `now` is in seconds on any steady clock.
    """

    def __init__(self, *, failures: int = 2, open_s: float = 15.0, max_open_s: float = 240.0) -> None:
        self._limit = failures
        self._open_s = open_s
        self._max_open_s = max_open_s
        self._failures = 0
        self._pause_s = open_s
        self._retry_at: float | None = None
        """When a call may try again. None: the breaker is closed."""
        self._probe_until = 0.0

    def state(self, now: float) -> BreakerState:
        if self._retry_at is None:
            return BreakerState.CLOSED
        return BreakerState.PROBING if now < self._probe_until else BreakerState.OPEN

    def may_try(self, now: float) -> bool:
        """Returns whether a call may use the model endpoint at the time `now`: the endpoint works, or it has failed and
        may be tried again now. Does not change the state of the breaker.
        """
        return self._retry_at is None or (now >= self._retry_at and now >= self._probe_until)

    def tries(self, now: float) -> None:
        """Reserves the endpoint for this call if the breaker is open: `may_try` returns False for other calls until the
        result of this call is known or `open_s` seconds have passed. Must be called when a call begins to use the model
        endpoint.
        """
        if self._retry_at is not None:
            self._probe_until = now + self._open_s

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._retry_at is not None:
            if now < self._retry_at:
                return  # a call that began before the breaker opened
            self._pause_s = min(2 * self._pause_s, self._max_open_s)
        if self._failures >= self._limit or self._retry_at is not None:
            self._retry_at = now + self._pause_s
            self._probe_until = 0.0

    def succeeded(self) -> None:
        self._failures = 0
        self._retry_at = None
        self._pause_s = self._open_s
        self._probe_until = 0.0
