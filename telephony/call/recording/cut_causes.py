"""Determines why the agent was interrupted. The code that interrupts the agent sets the cause."""

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
    """Sets the cause that is reported for each interruption of the agent's speech by this task during this block.
    Outside of such a block, the caller counts as the cause.
    """
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


class CutCauses:
    """Determines why the agent was interrupted, for example by the caller or by a guardrail. `of` must be called with
    each event of a session, in order, and returns the cause if the event is an interruption.
    """

    def __init__(self) -> None:
        self._tripped = False

    def of(self, event: RealtimeAnyEvent) -> CutCause | None:
        """Returns the cause of the interruption if `event` is `audio_interrupted`, or None for any other event. If the
        event before it was `guardrail_tripped`, the cause is the guardrail, because a guardrail interrupts the agent at
        once. In all other cases the interrupting code has set the cause (see `cutting`). The default is the caller.
        """
        if event.type == "raw_model_event":
            return None
        tripped, self._tripped = self._tripped, event.type == "guardrail_tripped"
        if event.type != "audio_interrupted":
            return None
        return CutCause.GUARDRAIL if tripped else _cause.get() or CutCause.CALLER
