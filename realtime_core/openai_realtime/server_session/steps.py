"""Runs the steps of a server session. A step is one input and everything that it causes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ...errors import UserError

__all__ = ["Steps"]

_MAX_WAITING = 256


class Steps:
    """Runs one step at a time. `now` is the time of the current step; it was given with the step's input.

    The effects of a step run in order, while it runs. A listener that gets an event may give another input in return.
    That input waits for the end of the current step, so no input meets a state that is half changed.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.running = False
        self._waiting: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()

    def run(self, now: float, step: Callable[..., None], *args: Any) -> None:
        """Runs a step: now, or after the current step and those that wait already.

        Raises `UserError` where too many steps wait, because a listener answers each event with an input that causes
        the next event.
        """
        if self.running:
            if len(self._waiting) >= _MAX_WAITING:
                raise UserError(
                    f"{_MAX_WAITING} inputs wait for the end of one step of the model: a listener must not answer each "
                    "event with an input that causes another event."
                )
            self._waiting.append((now, step, args))
            return
        self.running = True
        try:
            self.now = now
            step(*args)
            while self._waiting:
                self.now, step, args = self._waiting.popleft()
                step(*args)
        finally:
            self.running = False
            self._waiting.clear()
