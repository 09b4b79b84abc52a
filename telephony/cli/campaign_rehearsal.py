"""Implements `telephony campaign run --simulate`: runs a campaign on simulated phones (a rehearsal), and shows its
progress.
"""

from __future__ import annotations

from datetime import datetime

from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact_list import ContactList
from telephony.campaigns.memory_store import MemoryStore
from telephony.outbound.dialing_rules import DialingRules
from telephony.rehearsal.rehearsal import START, rehearse
from telephony.settings import Settings

from .campaign_options import loaded_check, speech_of
from .campaign_progress import CampaignProgress

__all__ = ["rehearse_campaign"]

CAMPAIGN_ID = "rehearsal"


def rehearse_campaign(
    config: CampaignConfig,
    found: ContactList,
    settings: Settings,
    rules: DialingRules,
    *,
    name: str,
    seed: int,
    start: datetime | None,
    fast: bool,
) -> tuple[MemoryStore, Campaign]:
    """Runs a campaign with the contacts `found` on simulated phones, and shows its progress on standard error. Returns
    the store of the campaign in memory, and the campaign at its end. `name` is the name of the campaign. `start` is the
    time at which the campaign begins (None: a fixed time). `seed` is the random seed of the callees. With `fast`, the
    campaign runs in virtual time.
    """
    begins = START if start is None else start
    store, campaign = MemoryStore(), Campaign(CAMPAIGN_ID, config, begins, name, CampaignStatus.CREATED)
    with CampaignProgress(len(found.contacts), len(found.invalid)) as progress:
        rehearse(
            campaign,
            found.contacts,
            speech_of(config),
            settings=settings,
            rules=rules,
            seed=seed,
            start=begins,
            check=loaded_check(config, fast=fast),
            on_change=progress.changed,
            fast=fast,
            store=store,
        )
    ended = store.campaign(CAMPAIGN_ID)
    assert ended is not None
    return store, ended
