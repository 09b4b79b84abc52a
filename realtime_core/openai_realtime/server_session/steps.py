"""Runs the steps of a server session one after the other. A step is one input with all its effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ...errors import UserError

__all__ = ["Steps"]

_MAX_WAITING = 256


class Steps:
    """Runs the steps of a server session one at a time. A step handles one input, such as a message of the server, with
    all its effects. `now` is the time of the current step, in seconds on any steady clock. It is given with the step's
    input.

    The effects of a step run in order during the step. A listener that gets an event may give another input. This input
    waits for the end of the current step, so no input is handled while the state is only partly changed.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.running = False
        self._waiting: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()

    def run(self, now: float, step: Callable[..., None], *args: Any) -> None:
        """Calls `step(*args)`, which handles one input with all its effects, and sets `now`, the time of the input. If
        another step is running, the call waits until that step and all steps that wait before it have ended.

        Raises `UserError` if too many steps wait, because a listener answers each event with an input that causes the
        next event.
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
