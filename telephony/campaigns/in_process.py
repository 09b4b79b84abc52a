"""Runs one campaign to its end in this process, with the state in the database or in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from realtime_core.sources import Sources

from ..call.options import AgentSource
from ..errors import CampaignError
from ..outbound.dialer import Dialer
from .campaign import Campaign, CampaignStatus
from .contact import Contact
from .memory_store import MemoryStore
from .report import result_rows
from .runner import CampaignRunner
from .service import Campaigns, ServerSpeech, check_for

__all__ = ["in_memory", "run_in_process", "until_over"]

_LOOK_S = 0.5


async def in_memory(
    campaign: Campaign,
    contacts: Sequence[Contact],
    dialer: Dialer,
    agents: Mapping[str, AgentSource],
    sources: Sources,
) -> list[dict[str, Any]]:
    """Runs a campaign whose state is in memory. Returns a row with the results of each contact (see
    `report.result_row`). `dialer` makes the calls, and `agents` has the agents by name. Raises `CampaignError` if the
    calls cannot be made.
    """
    store = MemoryStore()
    store.add(campaign, contacts)
    speech, check = ServerSpeech(agents)(campaign), check_for(campaign)
    await CampaignRunner(store, campaign.id, dialer, speech, sources=sources, check=check).run()
    return list(result_rows(store, campaign.id))


async def run_in_process(
    campaign: Campaign, contacts: Sequence[Contact], campaigns: Campaigns, sources: Sources
) -> list[dict[str, Any]]:
    """Runs a campaign whose state is in the database, or continues the campaign with the same name. Returns a row with
    the results of each contact (see `report.result_row`).

    Raises:
        CampaignError: this process cannot make the calls, or the campaign is finished or was stopped.
    """
    if campaigns.dialer is None:
        raise CampaignError("Campaigns of real calls need DBOS: pip install 'telephony-agent[campaigns]'")
    if await campaigns.ask(lambda store: store.campaign(campaign.id)) is None:
        await campaigns.ask(lambda store: store.add(campaign, contacts))
    await campaigns.run(campaign.id, sources.now())
    await until_over(campaigns, campaign.id)
    return await campaigns.ask(lambda store: list(result_rows(store, campaign.id)))


async def until_over(campaigns: Campaigns, campaign_id: str, is_drained: Callable[[], bool] = lambda: False) -> None:
    """Waits until the campaign no longer runs (it is finished, paused or stopped) and this process has no call in
    progress. With `is_drained`, also ends the wait when this function returns True and no call is in progress.
    """
    assert campaigns.dialer is not None
    while True:
        campaign = await campaigns.existing(campaign_id)
        runs = campaign.status is CampaignStatus.RUNNING and not is_drained()
        if not runs and not campaigns.dialer.live:
            return
        await asyncio.sleep(_LOOK_S)
