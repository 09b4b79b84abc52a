"""The lease of a process that makes the calls of campaigns. A process with a valid lease counts as alive. When the
lease expires, other processes take over the attempts of the process.
"""

from __future__ import annotations

import asyncio
import logging
import math

from realtime_core.sources import Sources

from ..errors import RecordRefused, RecordsUnavailable
from ..records.client import RecordsClient

__all__ = ["Lease"]

log = logging.getLogger(__name__)

LEASE_S = 20.0
"""The time in seconds for which a process counts as alive after it renewed its lease."""
_RENEW_S = 4.0
_SAFE_S = 3.0
"""The last seconds of a lease in which the process does not ask Twilio for a call."""


class Lease:
    """The lease of this process for making the calls of campaigns. While the lease is valid, this process counts as
    alive. The lease and its end time are stored in the shared database. After the lease has expired, other processes
    take over the calls of this process. `owner` is the random name of this process in the database.
    """

    def __init__(self, client: RecordsClient, sources: Sources) -> None:
        self.owner = f"dialer-{sources.token(8)}"
        self._client = client
        self._sources = sources
        self._held_until = -math.inf
        self._renew_at = -math.inf

    @property
    def is_held(self) -> bool:
        """Whether the lease of this process is valid for long enough to ask Twilio for a call."""
        return asyncio.get_running_loop().time() < self._held_until - _SAFE_S

    async def renew(self) -> None:
        """Extends the lease of this process, which shows other processes that this process is alive, to 20 seconds from
        now. The lease is stored in the shared database. Does nothing if the lease was extended less than 4 seconds ago.

        The 20 seconds count from the time before the query to the database. So this process never relies on a lease
        that other processes consider expired.
        """
        began = asyncio.get_running_loop().time()
        if began < self._renew_at:
            return
        now = self._sources.now()
        await self._client.ask(lambda records: records.renew(self.owner, ttl_s=LEASE_S, now=now))
        self._held_until, self._renew_at = began + LEASE_S, began + _RENEW_S

    async def leave(self) -> None:
        """Gives up the lease, so other processes do not have to wait until it expires. If the database cannot be used,
        the lease expires later.
        """
        try:
            await self._client.ask(lambda records: records.leave(self.owner))
        except (RecordsUnavailable, RecordRefused):
            log.info("The lease of the dialer expires later, because the database cannot be used.")
