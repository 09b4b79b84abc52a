"""Implements `telephony init`, which creates the files of a new project."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from ..starter.new_project import AGENT, new_project

__all__ = ["run_init"]


def run_init(folder: Path) -> None:
    """Creates a new project in `folder`, and prints its files and the next commands."""
    made = new_project(folder)
    where = os.path.relpath(folder)
    typer.echo(f"{where}{os.sep}  {', '.join(map(str, made))}\n")
    steps = {} if where == os.curdir else {f"cd {where}": ""}
    steps |= {
        f"telephony demo {AGENT} --fast": "a call in about a second",
        "pytest": "replays the recorded call (pip install pytest)",
        f"telephony serve {AGENT} --reload": "talk to it in the browser",
    }
    width = max(map(len, steps))
    typer.echo("Next:\n" + "\n".join(f"  {step:{width}}  {what}".rstrip() for step, what in steps.items()))
