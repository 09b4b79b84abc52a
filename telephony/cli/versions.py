"""Implements `telephony versions`: shows the number of calls, the failures and the latency of each version of an agent,
and rolls back a canary (a new version for a part of the callers).
"""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..text_encoding import visible
from .errors import USAGE, CliError, reporting

if TYPE_CHECKING:
    from ..records import Records
    from ..records.call_record import CallRecord
    from ..records.version_figures import VersionFigures

__all__ = ["app"]

app = typer.Typer(help="Compare versions of agents, and roll a canary back.", no_args_is_help=True,
                  rich_markup_mode=None)  # fmt: skip

Place = Annotated[str, typer.Argument(help="The called number of the canary, or `*` for the canary of all numbers.")]
_PAGE = 500


@app.command("list")
def list_versions(
    since: Annotated[str, typer.Option(help="An age (24h, 7d) or a time.")] = "7d",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the calls, failures and latencies of each version, and the decisions about canaries (new versions for a part
    of the callers).
    """
    with reporting(verbose=False):
        figures, decisions = _figures(since)
        if json:
            typer.echo(jsonlib.dumps({"versions": figures, "releases": decisions}, indent=1))
            return
        for each in figures:
            latency = "-" if each["latency_ms"] is None else f"{each['latency_ms']:.0f} ms"
            version = visible(each["version"])
            typer.echo(f"{version:<50} {each['calls']:>5} calls  {each['failed']:>4} failed  latency {latency}")
        for decision in decisions:
            line = f"canary of {decision['place']}: {decision['state']} {decision['at']} {decision['reason']}".strip()
            typer.echo(visible(line))
        if not figures:
            typer.echo("No call in this time has a version.")


@app.command("rollback")
def rollback(
    place: Place, reason: Annotated[str, typer.Option(help="The reason. It is stored with the change.")] = "by command"
) -> None:
    """Roll back a canary (a new version of an agent for a part of the callers). Each process applies the rollback at
    its next call. Calls in progress keep their agent.
    """
    _decide(place, "rolled back", reason)


@app.command("resume")
def resume(place: Place) -> None:
    """Resume a canary (a new version of an agent for a part of the callers) that was rolled back."""
    _decide(place, "running", "by command")


def _called(place: str) -> str:
    """Returns the called number in E.164. Addresses such as `sip:...` and `*` stay as they are."""
    from ..twilio.numbers import e164

    if place == "*" or place.lower().startswith(("sip:", "sips:", "client:")):
        return place
    try:
        return e164(place)
    except ValueError as error:
        raise CliError(f"{place!r}: {error}.", "Or write * for the canary of all numbers.", code=USAGE) from None


def _decide(place: str, state: str, reason: str) -> None:
    from realtime_core.sources import SYSTEM

    from ..records.access import Action
    from ..records.releases import Release
    from ..settings import load_settings
    from .auditing import audit
    from .call_list import opened_records

    with reporting(verbose=False), opened_records(load_settings()) as records:
        place = _called(place)
        stored, now = _stored(records), SYSTEM.now()
        audit(stored.access, now, Action.CONFIGURE, f"canary of {place}: {state} ({reason})")
        stored.releases.decide(Release(place, state, reason, now))
        typer.echo(f"The canary of {place} is {state}.")


def _figures(since: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    from dataclasses import replace

    from realtime_core.sources import SYSTEM

    from ..records.call_query import page_of, query_of
    from ..records.version_figures import figures_of
    from ..settings import load_settings
    from .call_list import opened_records

    rows: list[CallRecord] = []
    with opened_records(load_settings()) as records:
        stored = _stored(records)
        query = replace(query_of({"since": since}, now=SYSTEM.now(), subject_of=lambda number: ""), limit=_PAGE)
        while True:
            page = page_of(stored.calls(query), query)
            rows += [row for row in page.calls if row.variant]
            if not page.cursor or (last := page.calls[-1]).started_at is None:
                break
            query = replace(query, after=(last.started_at, last.id))
        decisions = [
            {"place": it.place, "state": it.state, "reason": it.reason, "at": it.at.isoformat(timespec="seconds")}
            for it in stored.releases.all()
        ]
    return [_shown(it) for it in figures_of(rows)], decisions


def _shown(figures: VersionFigures) -> dict[str, Any]:
    return {
        "version": figures.version,
        "calls": figures.calls + figures.live,
        "failed": figures.failed,
        "transferred": figures.transferred,
        "latency_ms": figures.latency_ms,
    }


def _stored(records: Records | None) -> Records:
    if records is None:
        raise CliError("There is no database.", "Set DATABASE_URL or TELEPHONY_DATA_DIR to those of the server.")
    return records
