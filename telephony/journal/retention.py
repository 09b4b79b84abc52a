"""Old journals of a running server, removed when it starts and once a day."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from realtime_core.sources import SYSTEM, Sources

from ..errors import JournalError
from .daemon import in_daemon
from .store import purge

__all__ = ["purge_daily"]

log = logging.getLogger(__name__)

_DAY_S = 86_400.0


async def purge_daily(folder: Path, days: float, sources: Sources = SYSTEM) -> None:
    """Remove what is older than `days`, now and each day. Runs until it is cancelled."""
    while True:
        try:
            gone = await in_daemon(partial(purge, folder, days=days, now=sources.now()), "old journals")
        except (JournalError, OSError) as error:
            log.warning("Old journals could not be removed: %s", error)
        else:
            if gone:
                log.info("Removed the journals of %d calls that were older than %g days.", len(gone), days)
        await asyncio.sleep(_DAY_S)
