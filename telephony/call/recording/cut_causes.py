"""Why the agent is being cut off, as far as the code that does it says so."""

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
    """What is cut in this block, in this task, is cut for this cause."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


class CutCauses:
    """Sees each event of a session, in the step that caused it."""

    def __init__(self) -> None:
        self._tripped = False

    def of(self, event: RealtimeAnyEvent) -> CutCause | None:
        """The cause of an `audio_interrupted`; None for other events. A guardrail cuts in the step in which it trips:
        the cut is the next event."""
        if event.type == "raw_model_event":
            return None
        tripped, self._tripped = self._tripped, event.type == "guardrail_tripped"
        if event.type != "audio_interrupted":
            return None
        return CutCause.GUARDRAIL if tripped else _cause.get() or CutCause.CALLER
