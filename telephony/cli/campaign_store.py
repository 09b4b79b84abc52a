"""Implements those commands of `telephony campaign` that work on the campaigns in the database: create, status, pause,
resume, stop, export and retry.
"""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from realtime_core.sources import SYSTEM
from telephony.campaigns.campaign import Campaign, CampaignStatus, PauseReason
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import DoneReason
from telephony.campaigns.database_store import DatabaseStore
from telephony.campaigns.hold_status import HoldStatus, hold_status
from telephony.campaigns.report import campaign_json, funnel_lines
from telephony.campaigns.store import CampaignStore
from telephony.records.database import DatabaseRecords
from telephony.records.opening import open_records
from telephony.records.subjects import subject_key
from telephony.settings import Settings, load_settings

from .auditing import audit_change
from .campaign_options import read_contacts, rules_of, speech_of
from .campaigns import export as write_results
from .campaigns import report_file, status_words
from .errors import USAGE, CliError

__all__ = ["change", "create", "export", "named", "opened_store", "retry", "status"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_RETRIED = (DoneReason.REACHED, DoneReason.OPTED_OUT, DoneReason.DO_NOT_CALL, DoneReason.RANG_BACK)


@contextmanager
def opened_store(settings: Settings) -> Iterator[DatabaseStore]:
    """Opens the configured database during this block, and yields the store of the campaigns in it. Raises `CliError`
    if no database is configured.
    """
    records = open_records(settings)
    if not isinstance(records, DatabaseRecords):
        raise CliError("Campaigns need a database.", "Set DATABASE_URL or TELEPHONY_DATA_DIR, or use --simulate.")
    with closing(records):
        yield DatabaseStore(
            records.transaction,
            subject_key(settings).of,
            announces=settings.telephony_webhook_url is not None,
            shows_numbers=settings.telephony_record_numbers,
        )


def named(store: CampaignStore, name: str) -> Campaign:
    """Returns the campaign with this name. Raises `CliError` if there is no such campaign."""
    if (campaign := store.campaign(name)) is None:
        known = ", ".join(each.id for each in store.campaigns()[:10]) or "none yet"
        raise CliError(f"There is no campaign {name!r}.", f"There are: {known}.")
    return campaign


def create(
    store: CampaignStore, settings: Settings, people: Path, config: CampaignConfig, *, name: str, group: bool
) -> Campaign:
    """Stores a campaign with the contacts of the CSV file `people`, and returns the campaign. `name` is the name of the
    campaign, by default the name of the file. With `group`, all lines with the same number get one call. Raises
    `CliError` if the name is invalid or the agent cannot be loaded.
    """
    name = name or people.stem
    if not _NAME.fullmatch(name):
        raise CliError(f"--name {name!r}: write letters, digits, dots, _ and -, 64 at most.", code=USAGE)
    speech_of(config)  # an agent that cannot be loaded is an error now
    found = read_contacts(people, settings, rules_of(settings, simulate=False), group=group)
    report_file(people, found, quiet=False)
    campaign = Campaign(name, config, SYSTEM.now(), name)
    store.add(campaign, found.contacts)
    audit_change(f"campaign {name}: created with {len(found.contacts)} contacts")
    return campaign


def status(name: str | None, *, json: bool) -> None:
    """Prints the status and the counts of the campaign `name`. With None, prints one line for each campaign. With
    `json`, prints JSON.
    """
    settings = load_settings()
    with opened_store(settings) as store:
        if name is None:
            campaigns = store.campaigns()
            if json:
                rows = [campaign_json(each, store.funnel(each.id), _held(store, each, settings)) for each in campaigns]
                typer.echo(jsonlib.dumps(rows, ensure_ascii=False))
                return
            for each in campaigns:
                counts = store.funnel(each.id)
                done = sum(counts.reasons.values())
                line = f"{each.id:<24}  {status_words(each):<40}  {done} of {counts.contacts} contacts done"
                typer.echo(line + _held_words(", held: ", store, each, settings))
            if not campaigns:
                typer.echo("There are no campaigns.")
            return
        _show(store, named(store, name), settings, json=json)


def _held(store: CampaignStore, campaign: Campaign, settings: Settings) -> HoldStatus | None:
    return hold_status(store, campaign, SYSTEM.now(), rules_of(settings, simulate=False))


def _held_words(before: str, store: CampaignStore, campaign: Campaign, settings: Settings) -> str:
    """Returns why a running campaign starts no call now, or an empty text."""
    held = _held(store, campaign, settings) if campaign.status is CampaignStatus.RUNNING else None
    return "" if held is None else f"{before}{held}"


def _show(store: CampaignStore, campaign: Campaign, settings: Settings, *, json: bool) -> None:
    funnel = store.funnel(campaign.id)
    if json:
        document = campaign_json(campaign, funnel, _held(store, campaign, settings))
        typer.echo(jsonlib.dumps(document, ensure_ascii=False))
        return
    typer.echo(f"Campaign {campaign.id}: {status_words(campaign)}")
    if words := _held_words("held: ", store, campaign, settings):
        typer.echo(words)
    for line in funnel_lines(funnel):
        typer.echo(line)
    if (at := store.next_due(campaign.id)) is not None:
        typer.echo(f"next attempt {at:%Y-%m-%d %H:%M} UTC")


def change(name: str, to: CampaignStatus, *, json: bool) -> None:
    """Sets the status of the campaign `name` to `to`: pauses, resumes or stops the campaign. Then prints the campaign,
    with `json` as JSON. Each process applies the change before it starts the next call of the campaign. Raises
    `CliError` for a finished campaign, which can only be stopped.
    """
    reason = PauseReason.USER if to is CampaignStatus.PAUSED else None
    settings = load_settings()
    with opened_store(settings) as store:
        before = named(store, name)
        if before.status is CampaignStatus.FINISHED and to is not CampaignStatus.STOPPED:
            raise CliError(f"The campaign {name} is finished.", f"telephony campaign retry {name} calls some again.")
        audit_change(f"campaign {name}: {to.value}")
        _show(store, store.set_status(name, to, SYSTEM.now(), reason=reason), settings, json=json)


def export(name: str, output: Path) -> None:
    settings = load_settings()
    with opened_store(settings) as store:
        write_results(store, named(store, name), settings, output)


def retry(name: str, reasons: Sequence[str]) -> None:
    """Sets contacts of the campaign `name` back to pending, so they are called again. `reasons` selects contacts that
    ended with these reasons. If it is empty, all contacts that were not reached are selected.
    """
    try:
        wanted = [DoneReason(each) for each in reasons]
    except ValueError:
        known = ", ".join(each.value for each in DoneReason if each not in _NOT_RETRIED)
        raise CliError(f"{', '.join(reasons)}: choose from {known}.", code=USAGE) from None
    if never := [each.value for each in wanted if each in _NOT_RETRIED]:
        raise CliError(f"Contacts with {', '.join(never)} are not called again.", code=USAGE)
    wanted = wanted or [each for each in DoneReason if each not in _NOT_RETRIED]
    with opened_store(load_settings()) as store:
        if named(store, name).status is CampaignStatus.STOPPED:
            raise CliError(f"The campaign {name} was stopped.", "Create another one for the contacts of an export.")
        audit_change(f"campaign {name}: retry {', '.join(each.value for each in wanted)}")
        count = store.retry(name, wanted, SYSTEM.now())
    typer.echo(f"{count} contacts of {name} are called again, once it runs.")
