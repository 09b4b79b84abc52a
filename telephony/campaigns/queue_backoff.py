"""Decides when the queue of a campaign's call attempts is used again after an error of the queue. Pure."""

from __future__ import annotations

import math

__all__ = ["QueueBackoff"]

_FIRST_S = 1.0
_MAX_S = 30.0


class QueueBackoff:
    """The error of the queue of call attempts, and the time of the next try. Times are in seconds of the event loop.
    The pause doubles with each error in a row, from 1 second up to 30 seconds.
    """

    def __init__(self) -> None:
        self.error = ""
        """The error. Empty if the queue can be used."""
        self._pause_s = _FIRST_S
        self._retry_at = -math.inf

    def is_due(self, now: float) -> bool:
        """Returns whether the pause after the last error is over at the time `now`, so the queue may be tried again.
        Without an error, the queue may always be used.
        """
        return now >= self._retry_at

    def failed(self, now: float, error: str) -> bool:
        """Begins a pause in which the queue is not used, because the queue has failed. The pause doubles with each
        error in a row. `error` is the reason. Returns whether this is the first error after a success.
        """
        is_first = not self.error
        self.error, self._retry_at = error, now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_S)
        return is_first

    def succeeded(self) -> bool:
        """Clears `error`, because the queue was used without an error. The pause after the next error is again the
        shortest one. Returns whether there was an error before.
        """
        had_error = bool(self.error)
        self.error, self._pause_s = "", _FIRST_S
        return had_error
