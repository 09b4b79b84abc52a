"""Completes the data of an attempt from the record of its call, because the process that made the attempt has ended.
Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from ..outbound.plan import AnsweredBy, CallResult, Status
from ..records.call_record import CallRecord
from .config import CampaignConfig
from .contact import Attempt, Outcome
from .outcomes import outcome_of

__all__ = ["completed", "ended_elsewhere"]


def ended_elsewhere(attempt: Attempt, row: CallRecord, config: CampaignConfig, now: datetime) -> Attempt:
    """Returns `attempt` with its outcome, which is decided from `row`, the record of its call. Used if the call is over
    and the process that made the attempt has ended. `config` is the configuration of the campaign.
    """
    result = CallResult[Any](
        to=attempt.number,
        status=cast(Status, row.status),
        answered_by=cast(AnsweredBy, row.answered_by),
        output=row.result,
        message_left=row.message_left,
    )
    outcome = outcome_of(
        result,
        wants_result=config.result is not None,
        opted_out=False,
        callback_at=None,
        abandoned_after_s=config.abandoned_after_s,
    )
    ended = replace(attempt, ended_at=row.ended_at or now, outcome=outcome, sid=row.sid or attempt.sid)
    return completed(ended, row, config)


def completed(ended: Attempt, row: CallRecord, config: CampaignConfig) -> Attempt:
    """Returns the ended attempt with the data that only its call record `row` has and Twilio does not know, such as the
    result. `config` is the configuration of the campaign.

    A call is abandoned if a person answered and the agent said nothing before its process ended.
    """
    outcome = ended.outcome
    if outcome is Outcome.ABANDONED and not ended.answered_by and row.turns:  # the process ended in the conversation
        is_reached = row.result is not None and config.result is not None
        outcome = Outcome.REACHED if is_reached else Outcome.INCOMPLETE
    elif outcome in (Outcome.REACHED, Outcome.INCOMPLETE) and row.turns == []:
        outcome = Outcome.ABANDONED
    return replace(
        ended,
        outcome=outcome,
        answered_by=ended.answered_by or row.answered_by,
        duration_s=ended.duration_s or row.duration_s or 0,
        cost=row.cost if ended.cost is None else ended.cost,
        currency=ended.currency or row.currency,
        result=row.result if ended.result is None and isinstance(row.result, dict) else ended.result,
        message_left=ended.message_left or row.message_left,
        error=ended.error or row.error,
    )
