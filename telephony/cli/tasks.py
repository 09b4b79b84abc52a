"""Implements `telephony calls tasks`: lists the callers who left a message and must be called back."""

from __future__ import annotations

import json as jsonlib

import typer

from realtime_core.sources import SYSTEM

from ..masking import mask_number
from ..records import Records
from ..records.call_query import CallQuery, page_of
from ..records.call_record import CallRecord, CallUpdate
from ..settings import load_settings
from .call_list import opened_records
from .errors import CliError

__all__ = ["list_tasks"]

_ENDINGS = ("fallback-voicemail", "closed-voicemail")
_LIMIT = 1000


def list_tasks(done: str | None, *, json: bool) -> None:
    """Prints the open tasks, the oldest first, with `json` as JSON. With `done` (the id of a call), prints no tasks.
    Marks the task of this call as done, and masks its number.
    """
    with opened_records(load_settings()) as records:
        if done is not None:
            _close(records, done)
            return
        found = [] if records is None else _open(records)
    if json:
        typer.echo(jsonlib.dumps([{"call": row.id, **row.task} for row in found], indent=1, ensure_ascii=False))
        return
    for row in found:
        task = row.task
        when = "" if row.started_at is None else f"{row.started_at:%Y-%m-%d %H:%M}"
        said = task.get("transcript") or task.get("file") or f"{task.get('seconds')} s"
        typer.echo(f"{row.id}  {when}  {task.get('number')}  {task.get('language')}  {said}")
    if not found:
        typer.echo("There are no open tasks.")


def _open(records: Records) -> list[CallRecord]:
    query = CallQuery(endings=_ENDINGS, limit=_LIMIT)
    rows = page_of(records.calls(query), query).calls
    return [row for row in reversed(rows) if isinstance(row.task, dict) and row.task.get("state") == "open"]


def _close(records: Records | None, key: str) -> None:
    row = None if records is None else records.call(key)
    if records is None or row is None or not isinstance(row.task, dict):
        raise CliError(f"The call {key} has no task.", "`telephony calls tasks` lists the open ones.")
    task = {**row.task, "state": "done", "number": mask_number(str(row.task.get("number", "")))}
    records.note([CallUpdate(row.id, SYSTEM.now(), False, {"task": task})])
    typer.echo(f"{row.id}: done.")
