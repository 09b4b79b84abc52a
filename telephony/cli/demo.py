"""Implements `telephony demo`, which makes a whole call on this machine and shows it."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

import typer
from rich.console import Console

from realtime_core.sources import SYSTEM
from telephony.demo.agent import GREETING
from telephony.demo.live_call import whole_call
from telephony.demo.over_sockets import call_over_sockets
from telephony.demo.plan import DEMO_AGENT, Plan
from telephony.demo.report import make_report, show_report
from telephony.demo.stubs import stubbed
from telephony.demo.tool_coverage import ToolCoverage, expected_tools, tool_coverage
from telephony.demo.view import LiveView, NoView, PlainView, View
from telephony.env_file import environment
from telephony.journal.reader import read_journal
from telephony.simulator import callers

from ..import_strings import load_agent
from .errors import USAGE, CliError

__all__ = ["run_demo"]


def run_demo(
    agent: str | None,
    *,
    script: Path | None,
    caller: str | None,
    json: bool,
    live: bool,
    run_tools: bool,
    fast: bool,
    seed: int | None,
    folder: Path,
    verbose: bool,
) -> None:
    """Makes one demo call and prints its report, with `json` only the figures as JSON. `agent` is an import string,
    `script` is a TOML file for the embedded model, and `caller` names the simulated caller. `folder` gets a folder with
    the files of the call.

    With `live`, the real model is used, which costs money. With `run_tools`, the tools of the agent run. Otherwise
    stubs run. With `fast`, the call runs in virtual time with the random seed `seed`. With `verbose`, more is logged.

    Raises `CliError` for options that cannot be used together, and for `live` without a key.
    """
    if live and (fast or script is not None):
        raise CliError(
            "--live cannot be used with --fast or --script.", "A real model has its own timing and words.", code=USAGE
        )
    if live and not environment().get("OPENAI_API_KEY"):
        raise CliError("--live needs a key.", "Set OPENAI_API_KEY; without --live the embedded model answers.")
    if seed is not None and not fast:
        raise CliError("--seed needs --fast. Over sockets the timing is not reproducible.", code=USAGE)
    console = Console(stderr=json)
    source = load_agent(agent or DEMO_AGENT)
    plan = Plan(agent, script, live, run_tools, folder, verbose, caller, expected_tools(source))
    _make(folder)
    _check_caller(plan.caller)
    _announce(plan, console, fast=fast, json=json)
    view = _view(console, json=json, verbose=verbose)
    try:
        if fast:
            from telephony.demo.in_memory import call_in_memory

            seed = SYSTEM.random.getrandbits(32) if seed is None else seed
            demo_call = call_in_memory(plan, stubbed(source) if plan.stub_tools else source, GREETING, seed)
            records = list(read_journal(demo_call.journal))
            if not json:
                view.show(*whole_call(records))
        else:
            demo_call = call_over_sockets(plan, view)
            records = list(read_journal(demo_call.journal))
    finally:
        view.close()
    report = make_report(demo_call, records, seed=seed)
    tried = tool_coverage(records) if plan.tries_tools else ToolCoverage()
    if json:
        tools = {"called_tools": tried.called, "skipped_tools": tried.left_alone, "missed_tools": tried.missed}
        typer.echo(jsonlib.dumps({**report.figures, **tools}, indent=1))
    else:
        _show_tools(tried, console)
        show_report(report, console)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"{folder} cannot be created: {error.strerror}.", "Set another folder with --folder.") from error


def _check_caller(name: str) -> None:
    try:
        callers.find(name)
    except OSError as error:
        raise CliError(f"The caller {name} cannot be read: {error.strerror}.") from error


def _announce(plan: Plan, console: Console, *, fast: bool, json: bool) -> None:
    if plan.live:
        console.print("The real model answers. This costs money.", style="bold yellow")
    elif not json:
        console.print(
            "The embedded model answers. It is no AI. The server is real, the caller is simulated.", style="dim"
        )
    if plan.stub_tools and not json:
        console.print("The agent's tools are replaced by stubs (--run-tools runs them).", style="dim")
    if plan.agent is not None and not (fast or plan.live or json):
        console.print("The call takes as long as a real one. With --fast it takes about a second.", style="dim")


def _show_tools(tried: ToolCoverage, console: Console) -> None:
    """Prints which tools were called, and why other tools were not called."""
    if tried.called:
        console.print(f"\nCalled: {', '.join(tried.called)}.", highlight=False)
    if tried.left_alone:
        note = "Not called, because they end or transfer the call, or write the do-not-call list"
        console.print(f"{note}: {', '.join(tried.left_alone)}. A script (--script) can call them.", highlight=False)
    if tried.missed:
        console.print(
            f"Not called, because the call ended before: {', '.join(tried.missed)}. A caller of your own (--caller) "
            "can stay longer.", highlight=False,
        )  # fmt: skip


def _view(console: Console, *, json: bool, verbose: bool) -> View:
    if json:
        return NoView()
    return LiveView(console) if console.is_terminal and not verbose else PlainView(console)
