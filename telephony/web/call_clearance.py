"""Checks the do-not-call list and the budgets in the database immediately before Twilio is asked to make a call."""

from __future__ import annotations

import logging

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..outbound.opt_out_list import OptOutList
from ..outbound.placed_call import PlacedCall
from ..records.client import RecordsClient
from ..records.subjects import SubjectKey
from ..twilio.phone_forms import main_form
from .budgets import Budgets

__all__ = ["CallClearance"]

log = logging.getLogger(__name__)

_LONGEST_S = 86_400.0
_MARGIN_S = 600.0
"""An additional time in seconds for which the number stays reserved. If Twilio gives no response to the request for a
call, this process searches for the call during this time.
"""


class CallClearance:
    """Checks the budgets and the do-not-call list. Reserves the called number until the call is over, so no other
    process calls the number at the same time. If the database cannot be used, a copy of the do-not-call list is
    checked, and the number is not reserved.
    """

    def __init__(
        self, budgets: Budgets, opt_outs: OptOutList, client: RecordsClient, subjects: SubjectKey, sources: Sources
    ) -> None:
        self._budgets = budgets
        self._opt_outs = opt_outs
        self._client = client
        self._subjects = subjects
        self._sources = sources

    async def problem(self, call: PlacedCall) -> str:
        if problem := await self._budgets.problem(call.to) or await self._opt_outs.problem(call.to):
            return problem
        subject, process, now = self._subject(call), self._client.process, self._sources.now()
        ttl_s = (_LONGEST_S if call.plan.max_s is None else call.plan.max_s) + call.plan.ring_s + _MARGIN_S
        try:
            is_ours = await self._client.ask(
                lambda records: records.number_claims.hold(subject, call.token, process=process, ttl_s=ttl_s, now=now)
            )
        except (RecordsUnavailable, RecordRefused):
            return ""  # the client has logged why
        return "" if is_ours else f"{call.to} is being called already"

    async def over(self, call: PlacedCall) -> None:
        subject = self._subject(call)
        try:
            await self._client.ask(lambda records: records.number_claims.let_go(subject, call.token))
        except (RecordsUnavailable, RecordRefused) as error:
            log.warning("The claim of the number of a call stays until it expires: %s", error)

    def _subject(self, call: PlacedCall) -> str:
        """Returns the hash of the called phone, which is the same for all forms of its number."""
        return self._subjects.of(main_form(call.to))
