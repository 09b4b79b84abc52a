"""Writes call records for the calls that arrived while no process of this server was running.

Twilio's fallback URL (`fallback_url`) answered these calls, so this server finds them only in Twilio's list of calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable, TwilioError
from ..records.client import RecordsClient
from ..twilio.callbacks import ENDED
from ..twilio.resources import CallResource
from ..twilio.rest import TwilioRest
from .call_records import CallRecords

__all__ = ["MissedCalls"]

log = logging.getLogger(__name__)

_FIRST_S = 5.0
"""The time in seconds before the first search, because Twilio lists a call some seconds late."""
_EVERY_S = 600.0
_LONGEST = timedelta(days=1)
_MARGIN = timedelta(minutes=5)
"""The margin before the last update of the call records. A call that began before this update may have ended after
it.
"""


class MissedCalls:
    """Finds inbound calls that Twilio received and no process answered, and records these calls. Searches after the
    start of the process, and every ten minutes, because a running process also misses calls while its network
    connection is down.

    Args:
        clients: A function that returns the clients of the accounts for Twilio's REST API.
        serves: A function that returns whether the application answers calls to a number.
    """

    def __init__(
        self,
        client: RecordsClient,
        call_records: CallRecords,
        sources: Sources,
        *,
        clients: Callable[[], Mapping[str, TwilioRest]],
        serves: Callable[[str], bool],
    ) -> None:
        self._client = client
        self._call_records = call_records
        self._sources = sources
        self._clients = clients
        self._serves = serves
        self._since: datetime | None = None

    async def begin(self) -> None:
        """Determines the time since which calls may have been missed: five minutes before the last change of a call
        record, but at most one day ago. Must be called before the process accepts calls, because each call changes a
        record.
        """
        now = self._sources.now()
        try:
            last = await self._client.query(lambda records: records.last_update())
        except (RecordsUnavailable, RecordRefused):
            last = now - _LONGEST
        self._since = max(now if last is None else last - _MARGIN, now - _LONGEST)

    async def watch(self) -> None:
        """Searches for missed calls after the start and every ten minutes. Runs until the task is cancelled."""
        wait_s = _FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = _EVERY_S
            await self.look()

    async def look(self) -> int:
        """Looks for missed calls once. Returns the number of missed calls that were recorded."""
        assert self._since is not None
        now, missed = self._sources.now(), 0
        oldest_open = now
        for name, rest in self._clients().items():
            try:
                found = await rest.inbound_calls(self._since)
            except TwilioError as error:
                log.warning("The calls of the account %s could not be listed: %s", name, error)
                return missed
            for call in found:
                if not self._serves(call.to):
                    continue
                if call.status not in ENDED:
                    oldest_open = min(oldest_open, call.created or oldest_open)
                elif await self._is_missed(call):
                    self._call_records.missed(call)
                    missed += 1
        self._since = oldest_open - _MARGIN
        if missed:
            log.warning("%d calls arrived while this server did not answer. They are in the call records now.", missed)
        return missed

    async def _is_missed(self, call: CallResource) -> bool:
        try:
            return await self._client.query(lambda records: records.call(call.sid)) is None
        except (RecordsUnavailable, RecordRefused):
            return False
