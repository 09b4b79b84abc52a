"""Implements `telephony webhooks`: lists the messages that wait for delivery or were delivered (the outbox), and sends
messages again.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ..text_encoding import visible
from .errors import USAGE, CliError, reporting

if TYPE_CHECKING:
    from ..records import Records

__all__ = ["app"]

app = typer.Typer(help="Manage the webhooks about ended calls.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_webhooks(
    state: Annotated[
        str | None, typer.Option(help="Only these: pending, delivered or dead.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The maximum number of webhooks.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the webhook messages about ended calls and campaigns, the newest first."""
    from ..records.outbox import MessageState

    with reporting(verbose=False):
        if state is not None and state not in list(MessageState):
            raise CliError(f"There is no state {state!r}.", "Write pending, delivered or dead.", code=USAGE)
        with _records() as records:
            found = records.outbox.messages(state=None if state is None else MessageState(state), limit=limit)
        if json:
            rows = [
                {"id": it.id, "call": it.call_id, "state": it.state.value, "attempts": it.attempts, "error": it.error,
                 "created_at": it.created_at.isoformat(), "due_at": it.due_at.isoformat()}
                for it in found
            ]  # fmt: skip
            typer.echo(jsonlib.dumps(rows, indent=1))
            return
        for it in found:
            next_at = f"  next {it.due_at:%Y-%m-%d %H:%M} UTC" if it.state is MessageState.PENDING else ""
            more = f"  {it.error}" if it.error else ""
            typer.echo(
                visible(
                    f"{it.id}  {it.call_id}  {it.created_at:%Y-%m-%d %H:%M} UTC  {it.state.value:<9} "
                    f"{it.attempts} attempts{next_at}{more}"
                )
            )


@app.command("redeliver")
def redeliver(
    ids: Annotated[list[str] | None, typer.Argument(help="The ids of webhooks.", show_default=False)] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All webhooks that were given up.")] = False,
) -> None:
    """Send webhooks again, with the same id. A running `telephony serve` delivers them."""
    from realtime_core.sources import SYSTEM

    from ..records.storable import is_key

    with reporting(verbose=False):
        if bool(ids) == dead:
            raise CliError(
                "Give the ids of webhooks, or use --dead.", "`telephony webhooks list` shows them.", code=USAGE
            )
        with _records() as records:
            count = records.outbox.redeliver(None if dead else list(filter(is_key, ids or ())), SYSTEM.now())
        if ids and count < len(set(ids)):
            raise CliError(f"{count} of {len(set(ids))} webhooks were found, and are sent again.")
        typer.echo(f"{count} webhooks are sent again.")


@contextmanager
def _records() -> Iterator[Records]:
    from ..records.opening import open_records
    from ..settings import load_settings

    records = open_records(load_settings())
    if records is None:
        raise CliError("There is no database.", "Set DATABASE_URL or TELEPHONY_DATA_DIR.")
    with closing(records):
        yield records
