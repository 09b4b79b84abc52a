"""What the commands of `telephony campaign` do, such as trying a campaign on simulated phones, showing its status or
exporting its results. `campaign_app` declares the commands and their options.
"""

from __future__ import annotations

import json as jsonlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from realtime_core.sources import SYSTEM
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact_list import ContactList
from telephony.campaigns.forecast import forecast
from telephony.campaigns.hold_status import pause_words
from telephony.campaigns.report import CSV_COLUMNS, campaign_json, csv_row, funnel_lines, result_rows
from telephony.campaigns.store import CampaignStore
from telephony.outbound.dialing_rules import DialingRules
from telephony.settings import Settings, load_settings

from .call_list import csv_of, opened_records, write_private
from .campaign_options import read_contacts, rules_of
from .errors import USAGE, CliError

__all__ = ["dry_run", "export", "print_results", "rehearse", "report_file"]

_SHOWN_PROBLEMS = 20


def rehearse(
    people: Path,
    config: CampaignConfig,
    *,
    name: str,
    group: bool,
    seed: int,
    start: str | None,
    fast: bool,
    output: Path | None,
    json: bool,
) -> bool:
    """Creates a campaign from the CSV file `people`, runs the campaign on simulated phones, and prints its results.
    With `output`, also writes the results to this CSV or JSON file. Returns whether the campaign came to its end.

    `name` is the name of the campaign, by default the name of the file. With `group`, all lines with the same number
    get one call. `start` is the time at which the campaign begins, such as `2026-12-01T09:00Z`. `seed` is the random
    seed of the callees. With `fast`, the campaign runs in virtual time. With `json`, the results are printed as JSON.
    """
    from .campaign_rehearsal import rehearse_campaign

    settings = load_settings()
    rules = with_listed(rules_of(settings, simulate=True), settings)
    found = read_contacts(people, settings, rules, group=group)
    report_file(people, found, quiet=json)
    store, campaign = rehearse_campaign(
        config, found, settings, rules, name=name or people.stem, seed=seed, start=_time(start), fast=fast
    )
    if output is not None:
        export(store, campaign, settings, output)
    print_results(store, campaign, json=json)
    return campaign.status is CampaignStatus.FINISHED


def dry_run(
    people: Path, config: CampaignConfig, *, group: bool, simulate: bool, start: str | None, json: bool
) -> None:
    """Prints the first time at which each contact of the CSV file `people` may be called, with `json` as JSON. Nothing
    is stored, and no call is made.

    `start` is the time at which the campaign begins, such as `2026-12-01T09:00Z`, by default now. With `group`, all
    lines with the same number get one call. With `simulate`, all countries may be called if the settings have neither a
    phone number of the application nor allowed countries.
    """
    settings = load_settings()
    rules = with_listed(rules_of(settings, simulate=simulate), settings)
    found = read_contacts(people, settings, rules, group=group)
    now = _time(start) or SYSTEM.now()
    rows = list(forecast(Campaign("dry-run", config, now), found.contacts, rules, now))
    if json:
        merged = [{"line": line, "equals": other} for line, other in found.merged]
        typer.echo(jsonlib.dumps({"contacts": rows, "merged": merged}, ensure_ascii=False))
        return
    report_file(people, found, quiet=False)
    for row in rows:
        when = f"first call {row['first_call_at']} ({row['local_time']})" if row["first_call_at"] else "no call"
        typer.echo("  ".join(filter(None, [f"{row['id']:<16}", f"{row['state']:<12}", when, row["problem"]])))
    typer.echo(f"{sum(bool(row['first_call_at']) for row in rows)} of {len(rows)} contacts would be called.")


def report_file(people: Path, found: ContactList, *, quiet: bool) -> None:
    """Prints on standard error which lines of the CSV file `people` are invalid, and which lines are equal to an
    earlier line and are merged with it. With `quiet`, prints only the counts.
    """
    invalid = found.invalid
    for contact in [] if quiet else invalid[:_SHOWN_PROBLEMS]:
        typer.echo(f"{people}, line {contact.lines[0]}: {contact.problem}", err=True)
    for line, other in [] if quiet else found.merged[:_SHOWN_PROBLEMS]:
        typer.echo(f"{people}, line {line}: equals line {other}, and is merged with it", err=True)
    counts = [f"{len(found.contacts)} contacts"]
    counts += [f"{len(invalid)} of them invalid"] if invalid else []
    counts += [f"{len(found.merged)} lines merged"] if found.merged else []
    typer.echo(f"{people}: {', '.join(counts)}.", err=True)


def print_results(store: CampaignStore, campaign: Campaign, *, json: bool) -> None:
    """Prints the counts of the campaign by state and outcome, and a row for each contact. With `json`, prints JSON."""
    funnel = store.funnel(campaign.id)
    if json:
        document = {**campaign_json(campaign, funnel), "contacts": list(result_rows(store, campaign.id))}
        typer.echo(jsonlib.dumps(document, ensure_ascii=False))
        return
    for row in result_rows(store, campaign.id):
        result = "" if row["result"] is None else jsonlib.dumps(row["result"], ensure_ascii=False)
        calls = f"{len(row['attempts'])} calls"
        ended = row["reason"] or row["state"]
        typer.echo("  ".join(filter(None, [f"{row['id']:<16}", f"{ended:<12}", calls, result, row["problem"]])))
    typer.echo(f"Campaign {campaign.name or campaign.id}: {status_words(campaign)}")
    for line in funnel_lines(funnel):
        typer.echo(line)


def status_words(campaign: Campaign) -> str:
    """Returns the status of a campaign as words. For a paused or stopped campaign, the words include the reason:
    `paused by a person`.
    """
    why = "" if campaign.pause_reason is None else f" {pause_words(campaign.pause_reason)}"
    return f"{campaign.status.value}{why}"


def export(store: CampaignStore, campaign: Campaign, settings: Settings, output: Path) -> None:
    """Writes the results of a campaign to the file `output`, as JSON or CSV by the suffix of its name."""
    rows: list[dict[str, Any]] = list(result_rows(store, campaign.id))
    if output.suffix == ".json":
        document = {**campaign_json(campaign, store.funnel(campaign.id)), "contacts": rows}
        text = jsonlib.dumps(document, indent=1, ensure_ascii=False)
    elif output.suffix == ".csv":
        cells = [csv_row(row) for row in rows]
        more = sorted({name for row in cells for name in row} - set(CSV_COLUMNS))
        text = csv_of(cells, [*CSV_COLUMNS, *more])
    else:
        raise CliError(f"{output}: the results can be written as .json or .csv.", code=USAGE)
    write_private(settings, output, text)
    typer.echo(f"{output}: {len(rows)} contacts.", err=True)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if not 1970 < at.year < 3000:  # the forecast computes with the days around this time
            raise ValueError(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CliError(f"--start {text!r}: write a time like 2026-12-01T09:00+01:00.", code=USAGE) from None


class _DoNotCallNumbers:
    """The numbers of the do-not-call file and of the list in the records."""

    def __init__(self, file: Any, subjects: set[str], subject_of: Any) -> None:
        self._file, self._subjects, self._subject_of = file, subjects, subject_of

    def __contains__(self, number: object) -> bool:
        return number in self._file or (bool(self._subjects) and self._subject_of(str(number)) in self._subjects)


def with_listed(rules: DialingRules, settings: Settings) -> DialingRules:
    """Returns the dialing rules with the numbers of the do-not-call list in the database, in addition to those of the
    do-not-call file.
    """
    from telephony.records.subjects import subject_key

    with opened_records(settings) as records:
        subjects = set() if records is None else records.opt_outs.subjects()
    if not subjects:
        return rules
    return replace(rules, do_not_call=_DoNotCallNumbers(rules.do_not_call, subjects, subject_key(settings).of))
