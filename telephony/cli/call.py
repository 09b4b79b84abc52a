"""Implements `telephony call`, which makes one outbound call."""

from __future__ import annotations

import asyncio
import json as jsonlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console

from telephony.call.options import AgentSource
from telephony.env_file import environment
from telephony.errors import CallRefused
from telephony.outbound.placed_call import PlacedCall
from telephony.outbound.plan import CallResult, LeaveMessage
from telephony.settings import read_settings
from telephony.telephony import Telephony

from ..import_strings import load_agent, load_object
from .errors import USAGE, CliError

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
    """Calls the number `to` with the agent of the import string `agent`, and prints the result, with `json` as JSON.
    Returns whether the call was completed.

    `data` has entries such as `name=Ada` for the agent. `result` is the import string of the pydantic model of the
    result. `message` is left if a voicemail answers. With None, the call ends if a voicemail answers. `max_s` is the
    maximum length of the call in seconds. `timezone` is the time zone of the callee. With None, the time zone is found
    from the number. With `any_hour`, TELEPHONY_QUIET_HOURS does not apply. With `simulate`, Twilio is simulated, and
    this text selects the callee, such as `voicemail`.
    """
    console = Console(stderr=json)
    options: dict[str, Any] = {
        "data": dict(_pair(text) for text in data),
        "result": None if result is None else load_model(result),
        "machine": None if message is None else LeaveMessage(message),
        "max_s": max_s,
        "timezone": timezone,
    }
    if simulate is None and (server := environment().get("TELEPHONY_SERVER")):
        if any_hour:
            raise CliError("--any-hour has no effect on a server. Set TELEPHONY_QUIET_HOURS=off there.", code=USAGE)
        work = _delegate(Telephony.from_env(), to, agent, options, console, server)
    else:
        hours = "off" if any_hour else None
        if simulate is None:
            phone = Telephony.from_env(telephony_quiet_hours=hours)
        else:
            phone = Telephony(read_settings(telephony_quiet_hours=hours), simulate=simulate)
        work = _call(phone, to, load_agent(agent), options, console)
    with _hung_up_by_sigterm():
        outcome = asyncio.run(work)
    if json:
        typer.echo(jsonlib.dumps(asdict(outcome) | {"output": _plain(outcome.output)}, default=str))
    else:
        _report(outcome, console)
    return outcome.status == "completed"


@contextmanager
def _hung_up_by_sigterm() -> Iterator[None]:
    """In this block, SIGTERM counts as Ctrl-C, so a live call is hung up. Without this process, the called person would
    hear no agent.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    """Requests the call from the server, with the server's agent of this name."""
    before = ""

    def on_status(status: str) -> None:
        nonlocal before
        if status != before:
            console.print(f"[dim]{to} by {server}[/dim] {status}")
        before = status

    async with phone:
        outcome = await phone.run_call(to, agent=agent, on_status=on_status, **options)
    if outcome.status == "refused":
        raise CallRefused(outcome.error)
    return outcome


async def _show(call: PlacedCall, console: Console) -> None:
    status = ""
    while True:
        if call.status != status:
            status = call.status
            console.print(f"[dim]{call.to}[/dim] {status}")
        await asyncio.sleep(_SHOW_EVERY_S)


def _report(outcome: CallResult[Any], console: Console) -> None:
    by = f", answered by {outcome.answered_by}" if outcome.answered_by else ""
    cost = "" if outcome.cost is None else f", {outcome.cost:.4f} {outcome.currency}"
    console.print(f"[bold]{outcome.status}[/bold]{by}, {outcome.duration_s} s{cost}")
    for line in outcome.transcript:
        console.print(f"  {line.who:7} {line.text}" + ("" if line.heard is None else f"  (heard: {line.heard})"))
    if outcome.message_left:
        console.print("  The message was left.")
    if outcome.output is not None:
        console.print(f"  {outcome.output!r}")
    if outcome.error:
        console.print(f"  {outcome.error}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CliError(f"--data {text} has no value.", "Write --data name=Ada.", code=USAGE)
    return name, value


def load_model(name: str) -> type[BaseModel]:
    """Returns the pydantic model of an import string. Raises `CliError` if there is no such model."""
    model = load_object(name, "--result is an import string, module:Model.", "model")
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise CliError(f"--result {name} is not a pydantic model.", code=USAGE)
    return model


def _plain(output: Any) -> Any:
    return output.model_dump(mode="json") if isinstance(output, BaseModel) else output
