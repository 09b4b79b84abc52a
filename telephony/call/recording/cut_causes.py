"""Finds out why the agent was interrupted. The interrupting code sets the cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from realtime_core.events import RealtimeAnyEvent

from ...journal.cuts import CutCause

__all__ = ["CutCauses", "cutting"]

_cause: ContextVar[CutCause | None] = ContextVar("telephony_cut_cause", default=None)


@contextmanager
def cutting(cause: CutCause) -> Iterator[None]:
    """Sets the cause of the interruptions in this block, for this task."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


class CutCauses:
    """Finds the causes of interruptions. `of` gets each event of a session in its order."""

    def __init__(self) -> None:
        self._tripped = False

    def of(self, event: RealtimeAnyEvent) -> CutCause | None:
        """Returns the cause of an `audio_interrupted` event. None for other events. A guardrail interrupts in the step
        in which it trips, so its interruption is the next event.
        """
        if event.type == "raw_model_event":
            return None
        tripped, self._tripped = self._tripped, event.type == "guardrail_tripped"
        if event.type != "audio_interrupted":
            return None
        return CutCause.GUARDRAIL if tripped else _cause.get() or CutCause.CALLER
