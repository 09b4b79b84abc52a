"""How the command line fails: one line that says what, one that says what to do; the traceback with `-v`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from realtime_core.errors import RealtimeCoreError
from telephony.errors import SettingsError, TelephonyError

__all__ = ["FAILED", "USAGE", "CliError", "reporting"]

FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""What shells give for a command that Ctrl-C ended."""


class CliError(Exception):
    """Something to tell the user: what is wrong, and what to do about it."""

    def __init__(self, message: str, hint: str = "", *, code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def reporting(*, verbose: bool) -> Iterator[None]:
    """Turn the errors that we raise on purpose into lines on standard error and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (CliError, TelephonyError, RealtimeCoreError) as error:
        if verbose:
            traceback.print_exc()
        for line in error.problems if isinstance(error, SettingsError) else [str(error)]:
            typer.echo(f"telephony: {line}", file=sys.stderr)
        if isinstance(error, CliError) and error.hint:
            typer.echo(f"  hint: {error.hint}", file=sys.stderr)
        raise typer.Exit(error.code if isinstance(error, CliError) else FAILED) from None
