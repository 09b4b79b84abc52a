"""`telephony call`."""

from __future__ import annotations

import asyncio
import json as jsonlib
import os
from dataclasses import asdict
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console

from telephony.call.options import AgentSource
from telephony.errors import CallRefused
from telephony.outbound.placed import PlacedCall
from telephony.outbound.plan import CallResult, LeaveMessage
from telephony.outbound.telephony import Telephony
from telephony.settings import read_settings

from .errors import USAGE, CliError
from .load import load_agent, load_object

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
    console = Console(stderr=json)
    options: dict[str, Any] = {
        "data": dict(_pair(text) for text in data),
        "result": None if result is None else load_model(result),
        "machine": None if message is None else LeaveMessage(message),
        "max_s": max_s,
        "timezone": timezone,
    }
    if simulate is None and (server := os.environ.get("TELEPHONY_SERVER")):
        if any_hour:
            raise CliError("The server decides about quiet hours: TELEPHONY_QUIET_HOURS=off there.", code=USAGE)
        work = _delegate(Telephony.from_env(), to, agent, options, console, server)
    else:
        hours = "off" if any_hour else None
        if simulate is None:
            phone = Telephony.from_env(telephony_quiet_hours=hours)
        else:
            phone = Telephony(read_settings(telephony_quiet_hours=hours), simulate=simulate)
        work = _call(phone, to, load_agent(agent), options, console)
    told = asyncio.run(work)
    if json:
        typer.echo(jsonlib.dumps(asdict(told) | {"output": _plain(told.output)}, default=str))
    else:
        _report(told, console)
    return told.status == "completed"


async def _call(
    phone: Telephony, to: str, agent: AgentSource, options: dict[str, Any], console: Console
) -> CallResult[Any]:
    async with phone:
        call = phone.call(to, agent=agent, **options)
        shown = asyncio.create_task(_show(call, console))
        try:
            return await call.finished()
        finally:
            shown.cancel()


async def _delegate(
    phone: Telephony, to: str, agent: str, options: dict[str, Any], console: Console, server: str
) -> CallResult[Any]:
    """The server has an agent of this name, or says which it has."""
    before = ""

    def on_status(status: str) -> None:
        nonlocal before
        if status != before:
            console.print(f"[dim]{to} by {server}[/dim] {status}")
        before = status

    async with phone:
        told = await phone.run_call(to, agent=agent, on_status=on_status, **options)
    if told.status == "refused":
        raise CallRefused(told.error)
    return told


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
    model = load_object(name, "--result is an import string, module:Model.", "model")
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise CliError(f"--result {name} is no pydantic model.", code=USAGE)
    return model


def _plain(output: Any) -> Any:
    return output.model_dump(mode="json") if isinstance(output, BaseModel) else output
