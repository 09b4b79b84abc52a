"""The options of `telephony number`, the command that shows, sets and restores the webhooks of a Twilio number."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import reporting

__all__ = ["app"]

app = typer.Typer(help="Manage the numbers of the Twilio account.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_numbers(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List the numbers of the account and their webhooks."""
    from . import number as commands

    with reporting(verbose=False):
        commands.list_numbers(json=json)


@app.command("set")
def set_number(
    number: Annotated[str, typer.Argument(help="A number in E.164, like +14155550100.")],
    url: Annotated[
        str | None, typer.Option(help="The voice webhook. [PUBLIC_URL/incoming-call]", show_default=False)
    ] = None,
    fallback_url: Annotated[
        str | None, typer.Option(help="The webhook after a failure of the first one. [the same]", show_default=False)
    ] = None,
) -> None:
    """Set the voice webhook of a number. The previous one is saved, and `restore` restores it."""
    from . import number as commands

    with reporting(verbose=False):
        commands.set_number(number, url, fallback_url)


@app.command("restore")
def restore_number(
    number: Annotated[
        str | None, typer.Argument(help="A number. Default: all numbers that were set.", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Restore the webhook even if it was changed elsewhere.")
    ] = False,
) -> None:
    """Restore the webhooks that `set` and `serve --phone` have saved."""
    from . import number as commands

    with reporting(verbose=False):
        commands.restore_number(number, force=force)
