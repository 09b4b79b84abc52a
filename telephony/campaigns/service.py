"""The campaigns of one server: their store, the dialer, and what both need of the application."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from realtime_core.sources import Sources

from ..call.options import AgentSource
from ..errors import CampaignError
from ..outbound.dialler import Dialler
from ..outbound.opt_out_list import OptOutList
from ..records.client import RecordsClient
from ..records.database import DatabaseRecords
from ..settings import Settings
from .attempt_call import Speech
from .campaign import Campaign
from .database_store import DatabaseStore
from .dialer import CampaignDialer
from .durable_queue import DurableQueue
from .runner import Check
from .wanted import check_of

__all__ = ["Campaigns", "ServerSpeech", "campaigns_of", "engine_url"]

log = logging.getLogger(__name__)

ENGINE_FILE = "campaigns.db"


@dataclass(slots=True)
class Campaigns:
    """The campaigns of a server. `dialer` is None where this process makes no calls."""

    store: DatabaseStore
    client: RecordsClient
    speech: Callable[[Campaign], Speech]
    dialer: CampaignDialer | None = None

    def changed(self) -> None:
        """A campaign was changed here: look for due contacts now."""
        if self.dialer is not None:
            self.dialer.look_now()


class ServerSpeech:
    """Who speaks in the campaigns of a server: `agents` by their names (`create_app(outgoing=...)`), or the server's
    own agent. A campaign may name a result and a check only of a module that the server has imported itself."""

    def __init__(self, agents: Mapping[str, AgentSource]) -> None:
        self._agents = agents

    def __call__(self, campaign: Campaign) -> Speech:
        """Raises `CampaignError`."""
        config = campaign.config
        if config.agent and config.agent not in self._agents:
            known = ", ".join(sorted(self._agents)) or "none"
            raise CampaignError(
                f"this server has no agent {config.agent!r}; it has: {known} (--outgoing {config.agent})"
            )
        return Speech(
            self._agents[config.agent] if config.agent else None,
            None if config.result is None else imported(config.result),
        )


def imported(name: str) -> Any:
    """The attribute `module:attribute` of a module that is imported already. Raises `CampaignError`."""
    module, _, attribute = name.partition(":")
    found = getattr(sys.modules.get(module), attribute, None) if attribute else None
    if found is None:
        raise CampaignError(f"{name!r} is not in a module that this server uses: write module:attribute")
    return found


def campaigns_of(
    settings: Settings, client: RecordsClient, subject_of: Callable[[str], str], agents: Mapping[str, AgentSource]
) -> Campaigns | None:
    """The campaigns in the records of a server. None: its records are in memory."""
    if not isinstance(client.database, DatabaseRecords):
        return None
    store = DatabaseStore(
        client.database.transaction,
        subject_of,
        announces=client.announces,
        shows_numbers=client.shows_numbers,
    )
    return Campaigns(store, client, ServerSpeech(agents))


@asynccontextmanager
async def dialing(
    campaigns: Campaigns,
    dialler: Dialler,
    opt_outs: OptOutList,
    settings: Settings,
    *,
    room: Callable[[], int],
    executor: str,
    sources: Sources,
    at_once: int,
) -> AsyncIterator[CampaignDialer | None]:
    """Make the calls of the campaigns in this process; `start` begins. Enter it before `dialler`, which hangs up.
    Yields None where DBOS is not installed."""
    yield None


def engine_url(settings: Settings) -> str:
    """The database of DBOS: the one of the records if it is PostgreSQL, or a file beside that of the records."""
    url = settings.records_url
    assert url is not None
    if not url.startswith("sqlite"):
        return url
    folder, _, _ = url.rpartition("/")
    return f"{folder}/{ENGINE_FILE}"
