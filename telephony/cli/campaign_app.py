"""The options of `telephony campaign`, the command that creates, runs and shows campaigns (calls to the contacts of a
list).
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from .errors import FAILED, USAGE, CliError, reporting

__all__ = ["app"]

app = typer.Typer(help="Call the people of a list.", no_args_is_help=True, rich_markup_mode=None)

Agent = Annotated[
    str | None, typer.Option(help="The agent that makes the calls: module:attribute.", show_default=False)
]
Result = Annotated[str | None, typer.Option(help="The type of the result: module:Model.", show_default=False)]
Message = Annotated[str | None, typer.Option(help="The message for a voicemail.", show_default=False)]
Windows = Annotated[
    str | None,
    typer.Option(help="When to call, in local time: 'mon-fri 09:00-18:00; sat 10-14'.", show_default=False),
]
Retry = Annotated[str | None, typer.Option(help="Retries by outcome: 'busy=3/30m,no-answer=2/4h'.", show_default=False)]
AtOnce = Annotated[int | None, typer.Option(help="Calls at once. [2]", show_default=False)]
PerSecond = Annotated[
    float | None, typer.Option(help="The maximum number of calls that begin in a second. [1]", show_default=False)
]
Config = Annotated[Path | None, typer.Option(help="A TOML file with the configuration.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", help="Another setting: max_minutes=100. Can be repeated.")]
Group = Annotated[bool, typer.Option("--group", help="One call for all lines with the same number.")]
Name = Annotated[str, typer.Option(help="The name of the campaign. [the name of the file]", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Make no calls; show when each contact would be called.")]
Start = Annotated[
    str | None,
    typer.Option(help="With --simulate or --dry-run: when it begins, like 2026-12-01T09:00Z.", show_default=False),
]


@app.command()
def run(
    source: Annotated[str, typer.Argument(help="A CSV file, which makes a campaign, or the name of a campaign.")],
    agent: Agent = None,
    result: Result = None,
    message: Message = None,
    windows: Windows = None,
    retry: Retry = None,
    at_once: AtOnce = None,
    per_second: PerSecond = None,
    config: Config = None,
    settings: Set = None,
    group: Group = False,
    name: Name = "",
    dry_run: DryRun = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Call simulated people. No real call is made.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="With --simulate: in virtual time.")] = False,
    seed: Annotated[int, typer.Option(help="With --simulate: the seed of the callees.")] = 0,
    start: Start = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write the results to this .csv or .json file.", show_default=False),
    ] = None,
    json: Json = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose")] = False,
) -> None:
    """Run a campaign until every contact is done. Ctrl-C stops new calls, a second Ctrl-C hangs up the live calls."""
    from . import campaigns as commands
    from .campaign_options import config_of

    with reporting(verbose=verbose):
        people = Path(source)
        given = config_of(
            config, settings or [], agent=agent, result=result, message=message, windows=windows, retry=retry,
            at_once=at_once, per_second=per_second,
        )  # fmt: skip
        if dry_run:
            commands.dry_run(people, given, group=group, simulate=simulate, start=start, json=json)
            return
        if fast and not simulate:
            raise CliError("--fast needs --simulate, because real calls run in real time.", code=USAGE)
        if not simulate:
            from .campaign_run import run_campaign

            raise typer.Exit(run_campaign(source, given, name=name, group=group, output=output, json=json))
        finished = commands.rehearse(
            people, given, name=name, group=group, seed=seed, start=start, fast=fast, output=output, json=json
        )
        raise typer.Exit(0 if finished else FAILED)


@app.command()
def create(
    people: Annotated[Path, typer.Argument(help="A CSV file with a column `to`.")],
    agent: Agent = None,
    result: Result = None,
    message: Message = None,
    windows: Windows = None,
    retry: Retry = None,
    at_once: AtOnce = None,
    per_second: PerSecond = None,
    config: Config = None,
    settings: Set = None,
    group: Group = False,
    name: Name = "",
    dry_run: DryRun = False,
    start: Start = None,
    json: Json = False,
) -> None:
    """Store a campaign with the contacts of a file. `run` begins it."""
    from telephony.settings import load_settings

    from . import campaign_store, campaigns
    from .campaign_options import config_of

    with reporting(verbose=False):
        given = config_of(
            config, settings or [], agent=agent, result=result, message=message, windows=windows, retry=retry,
            at_once=at_once, per_second=per_second,
        )  # fmt: skip
        if dry_run:
            campaigns.dry_run(people, given, group=group, simulate=False, start=start, json=json)
            return
        loaded = load_settings()
        with campaign_store.opened_store(loaded) as store:
            made = campaign_store.create(store, loaded, people, given, name=name, group=group)
        if json:
            typer.echo(jsonlib.dumps({"id": made.id}))
        else:
            typer.echo(f"Created. telephony campaign run {made.id} begins it.")


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="A campaign. [all]", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Show a campaign: its state, its counts and its next attempt."""
    from .campaign_store import status

    with reporting(verbose=False):
        status(name, json=json)


Campaign = Annotated[str, typer.Argument(help="The name of the campaign.")]


@app.command()
def pause(name: Campaign, json: Json = False) -> None:
    """Pause a campaign: no further call begins. Live calls continue."""
    _change(name, "PAUSED", json=json)


@app.command()
def resume(name: Campaign, json: Json = False) -> None:
    """Resume a paused campaign in the processes that run it."""
    _change(name, "RUNNING", json=json)


@app.command()
def stop(name: Campaign, json: Json = False) -> None:
    """End a campaign. Live calls continue, and no other contact is called. A second `stop` hangs up the live calls."""
    _change(name, "STOPPED", json=json)


def _change(name: str, to: str, *, json: bool) -> None:
    from telephony.campaigns.campaign import CampaignStatus

    from .campaign_store import change

    with reporting(verbose=False):
        change(name, CampaignStatus[to], json=json)


@app.command()
def export(
    name: Campaign,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .csv or .json file to write.")],
) -> None:
    """Write a row for each contact, with its results."""
    from .campaign_store import export

    with reporting(verbose=False):
        export(name, output)


@app.command()
def retry(
    name: Campaign,
    reason: Annotated[
        list[str] | None,
        typer.Option(help="Only contacts with this outcome: busy, no-answer, machine, ... [all that were not reached]",
                     show_default=False),
    ] = None,
) -> None:  # fmt: skip
    """Call the contacts that were not reached once more, as if they were new."""
    from .campaign_store import retry

    with reporting(verbose=False):
        retry(name, reason or [])
