"""The budgets of call minutes and cost, for all processes that share a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..records.budget import Budget, day_of
from ..records.client import RecordsClient
from ..settings import Settings
from ..twilio.phone_forms import subjects_of_phone

__all__ = ["Budgets"]


class Budgets:
    """Decides whether the budgets allow another call. A day begins at midnight UTC. If the database cannot be read,
    calls are allowed, and only the limits of this process apply (`Limits`).
    """

    def __init__(
        self, settings: Settings, client: RecordsClient, subject_of: Callable[[str], str], sources: Sources
    ) -> None:
        self._client = client
        self._subject_of = subject_of
        self._sources = sources
        self._of_all = Budget(settings.telephony_minutes_per_day, settings.telephony_cost_per_day)
        self._of_number = Budget(settings.telephony_number_minutes_per_day, settings.telephony_number_cost_per_day)
        if not settings.can_be_rung:  # calls from this machine alone cost nothing
            self._of_all = self._of_number = Budget()

    async def problem(self, number: str) -> str:
        """Returns the reason why no call with this number may begin now, as text with the names of the settings. The
        text is empty if a call may begin.
        """
        try:
            if self._of_all.is_set and await self._is_used_up(self._of_all):
                return (
                    "the budget of all calls for this day is used up (TELEPHONY_MINUTES_PER_DAY, "
                    "TELEPHONY_COST_PER_DAY)"
                )
            subjects = subjects_of_phone(number, self._subject_of) if self._of_number.is_set else []
            if any(subjects) and await self._is_used_up(self._of_number, subjects):
                return (
                    "the budget of this number for this day is used up (TELEPHONY_NUMBER_MINUTES_PER_DAY, "
                    "TELEPHONY_NUMBER_COST_PER_DAY)"
                )
        except (RecordsUnavailable, RecordRefused):
            return ""  # the client has logged why
        return ""

    async def _is_used_up(self, budget: Budget, subjects: Sequence[str] = ()) -> bool:
        now = self._sources.now()
        return budget.is_used_up(await self._client.spent(day_of(now), now, subjects))
