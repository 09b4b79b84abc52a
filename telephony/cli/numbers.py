"""Implements `telephony numbers`: compares the numbers at Twilio with a file, and changes and restores the numbers."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telephony.errors import NumberError

from .errors import FAILED, USAGE, CliError, reporting

if TYPE_CHECKING:
    from telephony.numbers.config import NumbersConfig
    from telephony.numbers.installation import Installation, NumberPlan
    from telephony.settings import Settings
    from telephony.twilio.rest import TwilioRest

__all__ = ["app", "clients_of"]

app = typer.Typer(
    help="Compare the numbers at Twilio with a numbers file, change and restore them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path, typer.Argument(help="The numbers file.", envvar="TELEPHONY_NUMBERS", show_default="numbers.toml")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DIFFERS = 3
_NAMED = 10


@app.command()
def plan(file: File = Path("numbers.toml"), json: Json = False) -> None:
    """Show the changes that `apply` would make. The command changes nothing."""
    import asyncio

    with reporting(verbose=False):
        _show(asyncio.run(_installation(file).plan()), json=json)


@app.command()
def diff(file: File = Path("numbers.toml"), json: Json = False) -> None:
    """Show the changes that `apply` would make, without the numbers that stay as they are. The command changes nothing.
    The exit code is 3 if a number at Twilio differs from the file.
    """
    import asyncio

    with reporting(verbose=False):
        plans = asyncio.run(_installation(file).plan())
        _show([each for each in plans if each.is_change or each.problem], json=json)
        if any(each.is_change or each.problem for each in plans):
            raise typer.Exit(DIFFERS)
        if not json:
            typer.echo("The numbers at Twilio are as in the file.")


@app.command()
def apply(
    file: File = Path("numbers.toml"),
    yes: Annotated[bool, typer.Option("--yes", help="Change the numbers without a question.")] = False,
) -> None:
    """Change the webhooks, fallbacks and status callbacks of all numbers in the file. The previous settings are
    saved.
    """
    import asyncio

    from .auditing import audit_change

    with reporting(verbose=False):
        installation = _installation(file)
        plans = asyncio.run(installation.plan())
        changes = [each for each in plans if each.is_change]
        _show(plans, json=False)
        if any(each.problem for each in plans):
            raise CliError("Nothing was changed.", "Correct the problems above first.")
        if not changes:
            typer.echo("Nothing has to be changed.")
            return
        if not yes and not typer.confirm(f"Change {len(changes)} numbers?"):
            raise CliError("Nothing was changed.")
        audit_change(f"numbers of {file.name} applied: {_numbers(each.number for each in changes)}")
        asyncio.run(installation.apply(changes))
        typer.echo(f"{len(changes)} numbers were changed. `telephony numbers restore {file}` restores them.")


@app.command()
def restore(
    file: File = Path("numbers.toml"),
    yes: Annotated[bool, typer.Option("--yes", help="Restore without a question.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Restore numbers that were changed elsewhere, too.")] = False,
) -> None:
    """Restore the settings that the numbers of the file had before the first `apply`."""
    import asyncio

    from .auditing import audit_change

    with reporting(verbose=False):
        installation = _installation(file)
        if not yes and not typer.confirm("Restore the numbers of the file?"):
            raise CliError("Nothing was changed.")
        audit_change(f"numbers of {file.name} restored")
        done = asyncio.run(installation.restore(force=force))
        if not done:
            raise NumberError("Nothing is saved for the numbers of this file.")
        for entry, restored in done:
            how = f"leads to {entry.before} again" if restored else "was changed elsewhere and stays as it is"
            typer.echo(f"{entry.number} {how}.")
        if not all(restored for _, restored in done):
            raise typer.Exit(FAILED)


@app.command()
def check(file: File = Path("numbers.toml")) -> None:
    """Check the file, and load the agents, languages and clips that it names. The command sends no request to
    Twilio.
    """
    from telephony.web.number_accounts import load_agent
    from telephony.web.number_book import load_book

    with reporting(verbose=False):
        book = load_book(file, load_agent)
        typer.echo(f"{file}: {len(book.config.numbers)} numbers, no problem.")


def clients_of(config: NumbersConfig, settings: Settings, *, routes: bool = False) -> Callable[[str], TwilioRest]:
    """Returns a function `(name) -> TwilioRest` that returns the REST client of an account of the configuration. With
    `routes`, the clients use Twilio's region `us1`, the only region in which the region of a number can be set. Raises
    `CliError` for an account without keys.
    """
    from telephony.numbers.config import MAIN
    from telephony.web.number_accounts import rest_of, routes_of

    from .rest_client import observed, rest_client

    make = routes_of if routes else rest_of

    clients: dict[str, TwilioRest] = {}

    def client(name: str) -> TwilioRest:
        if name not in clients:
            if name == MAIN:
                clients[name] = rest_client(settings)
            else:
                account = config.accounts[name]
                found = make(account, settings.telephony_twilio_api_url)
                if found is None:
                    raise CliError(f"The account {name} has no keys.", f"Set {account.auth_token_env}.")
                clients[name] = observed(found, settings)
        return clients[name]

    return client


def _installation(file: Path) -> Installation:
    from telephony.numbers.installation import Installation
    from telephony.settings import read_settings
    from telephony.web.number_accounts import load_agent
    from telephony.web.number_book import load_book

    settings = read_settings()
    if settings.public_url is None:
        raise CliError("No address for the calls is set.", "Set PUBLIC_URL to the address of the server.", code=USAGE)
    config = load_book(file, load_agent).config
    routes_of = clients_of(config, settings, routes=True)
    return Installation(config, clients_of(config, settings), settings.public_url, routes_of=routes_of)


def _numbers(numbers: Iterable[str]) -> str:
    """Returns the first numbers, for the audit log."""
    listed = sorted(numbers)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return f"{', '.join(listed[:_NAMED])}{more}"


def _show(plans: list[NumberPlan], *, json: bool) -> None:
    if json:
        listed = [{**asdict(each), "change": each.is_change} for each in plans]
        typer.echo(jsonlib.dumps(listed, indent=1))
        return
    for each in plans:
        for line in each.lines():
            typer.echo(line)
