"""`telephony call`."""

from __future__ import annotations

import asyncio
import importlib
import json as jsonlib
from dataclasses import asdict
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console

from realtime_core import RealtimeAgent
from telephony.outbound.placed import PlacedCall
from telephony.outbound.plan import CallResult, LeaveMessage
from telephony.outbound.telephony import Telephony

from .errors import USAGE, CliError
from .load import load_agent

__all__ = ["load_model", "run_call"]

_SHOW_EVERY_S = 0.2


def run_call(
    to: str,
    *,
    agent: str,
    data: list[str],
    result: str | None,
    message: str | None,
    max_s: float,
    timezone: str | None,
    any_hour: bool,
    simulate: str | None,
    json: bool,
) -> bool:
    """Call somebody and say how it was; returns whether it was completed."""
    source = load_agent(agent)
    if not isinstance(source, RealtimeAgent):
        raise CliError(f"{agent} is a function; a call needs an agent.", code=USAGE)
    facts = dict(_pair(text) for text in data)
    model = None if result is None else load_model(result)
    console = Console(stderr=json)

    async def main() -> CallResult[Any]:
        hours = "off" if any_hour else None
        phone = Telephony.from_env(telephony_quiet_hours=hours) if simulate is None else Telephony(simulate=simulate)
        async with phone:
            machine = None if message is None else LeaveMessage(message)
            call = phone.call(
                to, agent=source, data=facts, result=model, machine=machine, max_s=max_s, timezone=timezone
            )
            shown = asyncio.create_task(_show(call, console))
            try:
                return await call.finished()
            finally:
                shown.cancel()

    told = asyncio.run(main())
    if json:
        typer.echo(jsonlib.dumps(asdict(told) | {"output": _plain(told.output)}, default=str))
    else:
        _report(told, console)
    return told.status == "completed"


async def _show(call: PlacedCall, console: Console) -> None:
    status = ""
    while True:
        if call.status != status:
            status = call.status
            console.print(f"[dim]{call.to}[/dim] {status}")
        await asyncio.sleep(_SHOW_EVERY_S)


def _report(told: CallResult[Any], console: Console) -> None:
    by = f", answered by {told.answered_by}" if told.answered_by else ""
    cost = "" if told.cost is None else f", {told.cost:.4f} {told.currency}"
    console.print(f"[bold]{told.status}[/bold]{by}, {told.duration_s} s{cost}")
    for line in told.transcript:
        console.print(f"  {line.who:7} {line.text}" + ("" if line.heard is None else f"  (heard: {line.heard})"))
    if told.message_left:
        console.print("  The message was left.")
    if told.output is not None:
        console.print(f"  {told.output!r}")
    if told.error:
        console.print(f"  {told.error}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"--data {text} says nothing.", "Write --data name=Ada.", code=USAGE)
    return name, value


def load_model(name: str) -> type[BaseModel]:
    """The pydantic model that an import string names. Raises `CliError`."""
    module, _, attribute = name.partition(":")
    try:
        model = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise CliError(f"--result {name}: {error}", "Write module:Model.", code=USAGE) from error
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise CliError(f"--result {name} is no pydantic model.", code=USAGE)
    return model


def _plain(output: Any) -> Any:
    return output.model_dump(mode="json") if isinstance(output, BaseModel) else output
