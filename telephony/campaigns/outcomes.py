"""Decides the outcome of an attempt from the result of its call. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..outbound.plan import CallResult
from .contact import Outcome

__all__ = ["outcome_of"]

_UNANSWERED = {
    "busy": Outcome.BUSY,
    "no-answer": Outcome.NO_ANSWER,
    "failed": Outcome.FAILED,
    "canceled": Outcome.CANCELED,
    "refused": Outcome.REFUSED,
}
_ANSWERED_BY = {"machine": Outcome.MACHINE, "screening": Outcome.SCREENING, "fax": Outcome.FAX}


def outcome_of(
    result: CallResult[Any],
    *,
    wants_result: bool,
    opted_out: bool,
    callback_at: datetime | None,
    abandoned_after_s: float,
) -> Outcome:
    """Returns the outcome of an attempt whose call had this result.

    `wants_result` is True if the campaign asks for a structured result. `opted_out` is True if the callee asked not to
    be called again. `callback_at` is the time that the callee named for another call, or None. A call in which the
    callee waited more than `abandoned_after_s` seconds for the first words of the agent counts as abandoned.
    """
    if opted_out:
        return Outcome.OPTED_OUT
    if result.status != "completed":
        return _UNANSWERED[result.status]
    if (machine := _ANSWERED_BY.get(result.answered_by)) is not None:
        return machine
    if not result.answered_by or (result.silence_s is not None and result.silence_s > abandoned_after_s):
        return Outcome.ABANDONED  # without a name for who answered, no stream came, so nothing was said
    if callback_at is not None:
        return Outcome.CALLBACK
    return Outcome.INCOMPLETE if wants_result and result.output is None else Outcome.REACHED
