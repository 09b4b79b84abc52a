"""How long a call may last. Pure."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["CallLength", "LengthAction"]


class LengthAction(Enum):
    WARN = auto()
    """Tell the caller that the call will end soon."""
    END = auto()
    """Say goodbye, and hang up."""


class CallLength:
    """The call ends `max_s` after `begin`, and the caller is warned `warning_s` before, if there is as much."""

    def __init__(self, max_s: float, warning_s: float = 60.0) -> None:
        self._max_s = max_s
        self._warning_s = warning_s
        self._begun: float | None = None
        self._warned = warning_s >= max_s
        self._ended = False

    def begin(self, now: float) -> None:
        if self._begun is None:
            self._begun = now

    @property
    def deadline(self) -> float | None:
        if self._begun is None or self._ended:
            return None
        return self._begun + self._max_s - (0.0 if self._warned else self._warning_s)

    def on_time(self, now: float) -> LengthAction | None:
        if self.deadline is None or now < self.deadline:
            return None
        if not self._warned:
            self._warned = True
            return LengthAction.WARN
        self._ended = True
        return LengthAction.END
