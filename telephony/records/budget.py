"""The budget of minutes and cost of a day, and how much of it is used. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .call_record import CallRecord

__all__ = ["DOLLARS", "Budget", "BudgetUsage", "SharedLimits", "day_of", "usage_of"]

DOLLARS = "USD"


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """How much of a budget some calls have used so far, for example all calls of one day: their length in seconds and
    their cost.
    """

    seconds: float = 0.0
    cost: float = 0.0
    """The known cost of models and of Twilio in US dollars. The cost of a call becomes known after the call."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits for all calls of a day together. 0 means no limit."""

    minutes: float = 0.0
    cost: float = 0.0

    @property
    def is_set(self) -> bool:
        return self.minutes > 0 or self.cost > 0

    def is_used_up(self, spent: BudgetUsage) -> bool:
        return (self.minutes > 0 and spent.seconds >= self.minutes * 60) or (self.cost > 0 and spent.cost >= self.cost)


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """The limits for the calls to one phone number of the application (or to one pattern of numbers), in all processes
    together.
    """

    max_calls: int = 0
    """The maximum number of calls at the same time. 0 means no limit."""
    budget: Budget = Budget()

    @property
    def are_set(self) -> bool:
        return self.max_calls > 0 or self.budget.is_set

    def allow(self, live: int, spent: BudgetUsage) -> bool:
        """Returns whether another call may begin while `live` calls are in progress and the calls of the day have used
        `spent`.
        """
        return (self.max_calls == 0 or live < self.max_calls) and not self.budget.is_used_up(spent)


def day_of(now: datetime) -> datetime:
    """Returns the start of the day of `now`, in UTC. A call belongs to the day on which the call began."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def usage_of(rows: Iterable[CallRecord], now: datetime) -> BudgetUsage:
    """Returns the sum of the minutes and costs of these calls until the time `now`."""
    seconds = cost = 0.0
    for row in rows:
        seconds += _seconds(row, now)
        cost += (row.model_cost or 0.0) + ((row.cost or 0.0) if row.currency in ("", DOLLARS) else 0.0)
    return BudgetUsage(seconds, cost)


def _seconds(row: CallRecord, now: datetime) -> float:
    if row.duration_s is not None:
        return row.duration_s
    if row.answered_at is None:
        return 0.0
    return max(0.0, ((row.ended_at or now) - row.answered_at).total_seconds())
