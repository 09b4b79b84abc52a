"""Implements `telephony campaign run` without `--simulate`: makes the calls of a stored campaign in this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import typer

from realtime_core.sources import SYSTEM
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Contact
from telephony.campaigns.in_process import until_over
from telephony.campaigns.interrupts import drained_by_ctrl_c
from telephony.env_file import environment
from telephony.settings import Settings, load_settings
from telephony.telephony import Telephony

from .campaign_options import loaded_check, speech_of
from .campaign_progress import CampaignProgress
from .campaign_store import create, named, opened_store
from .campaigns import export, print_results
from .errors import INTERRUPTED, USAGE, CliError

__all__ = ["run_campaign"]

_NO_ENGINE = "Campaigns of real calls need DBOS."


def run_campaign(
    source: str, config: CampaignConfig, *, name: str, group: bool, output: Path | None, json: bool
) -> int:
    """Runs a campaign until it is finished, paused or stopped, and prints its results, with `json` as JSON. `source` is
    the name of a stored campaign, or a CSV file. For a file, creates a campaign, or continues the campaign that was
    created from the file before. Returns the exit code of the command.

    `name` is the name of the new campaign, by default the name of the file. With `group`, all lines with the same
    number get one call. With `output`, also writes the results to this CSV or JSON file.
    """
    if environment().get("TELEPHONY_SERVER"):
        raise CliError("A campaign is run by this process, not by TELEPHONY_SERVER.", "Unset it.", code=USAGE)
    settings = load_settings()
    campaign = _stored(source, config, settings, name=name, group=group)
    speech = speech_of(campaign.config)
    loaded_check(campaign.config)
    assert speech.agent is not None
    phone = Telephony.from_env(outgoing={campaign.config.agent: speech.agent})
    run = _Run(campaign.id)
    with CampaignProgress(*_counts(settings, campaign.id)) as progress:
        asyncio.run(run.until_over(phone, progress))
    with opened_store(settings) as store:
        ended = named(store, campaign.id)
        if output is not None:
            export(store, ended, settings, output)
        print_results(store, ended, json=json)
    if run.drained:
        return INTERRUPTED
    return 0 if ended.status is CampaignStatus.FINISHED else 1


def _stored(source: str, config: CampaignConfig, settings: Settings, *, name: str, group: bool) -> Campaign:
    """Returns the campaign with this name, or the campaign of this file. A campaign that does not exist is created."""
    people = Path(source)
    with opened_store(settings) as store:
        if not people.is_file():
            if config != CampaignConfig():
                raise CliError("These options belong to the file of a new campaign.", "Leave them out.", code=USAGE)
            return named(store, source)
        if (known := store.campaign(name or people.stem)) is not None:
            typer.echo(f"The campaign {known.id} exists and is continued. --name makes another one.", err=True)
            return known
        return create(store, settings, people, config, name=name, group=group)


def _counts(settings: Settings, campaign_id: str) -> tuple[int, int]:
    with opened_store(settings) as store:
        funnel = store.funnel(campaign_id)
    return funnel.contacts, sum(count for state, count in funnel.states.items() if state.value in ("done", "invalid"))


@dataclass(slots=True)
class _Run:
    """One run of a campaign in the terminal, with its progress and its results."""

    campaign_id: str
    drained: bool = False

    async def until_over(self, phone: Telephony, progress: CampaignProgress) -> None:
        async with phone:
            campaigns = phone.campaigns
            if campaigns is None:
                raise CliError("A campaign of real calls needs a database.", "For simulated calls use --simulate.")
            if (dialer := campaigns.dialer) is None:
                raise CliError(_NO_ENGINE, "pip install 'telephony-agent[campaigns]'")

            def changed(campaign: Campaign, attempt: Attempt | None, contact: Contact | None) -> None:
                if contact is not None and campaign.id == self.campaign_id:
                    progress.changed(contact, attempt)

            def drain() -> None:
                self.drained = True
                dialer.drain()

            async def hang_up() -> None:
                await asyncio.gather(*(call.hang_up() for call in phone.dialer.live))

            dialer.on_change = changed
            await campaigns.run(self.campaign_id, SYSTEM.now())
            with drained_by_ctrl_c(drain, hang_up):
                await until_over(campaigns, self.campaign_id, lambda: self.drained)
