"""Prints errors of the command line: a line with the error, a line with a hint, and with `-v` the traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import typer

from realtime_core.errors import RealtimeCoreError
from telephony.errors import ImportStringError, RecordRefused, RecordsUnavailable, SettingsError, TelephonyError
from telephony.text_encoding import visible

__all__ = ["FAILED", "USAGE", "CliError", "at_end", "reporting"]

FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""The exit code of shells for a command that was ended by Ctrl-C."""


_ends: ContextVar[ExitStack | None] = ContextVar("ends", default=None)


class CliError(Exception):
    """An error of the command line. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "", *, code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def reporting(*, verbose: bool) -> Iterator[None]:
    """A command runs in this block. A known error is printed to standard error, with `verbose` also with its traceback,
    and ends the command with an exit code. At the end of the block, with or without an error, the callbacks run that
    other code has added to `at_end()`.
    """
    with ExitStack() as ends:
        token = _ends.set(ends)
        ends.callback(_ends.reset, token)
        with _reported(verbose):
            yield


def at_end() -> ExitStack | None:
    """Returns the stack of callbacks that run at the end of the current command, or None if no command runs. Other code
    adds callbacks to the stack.
    """
    return _ends.get()


@contextmanager
def _reported(verbose: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (CliError, TelephonyError, RealtimeCoreError) as error:
        if verbose:
            traceback.print_exc()
        for line in _lines(error):
            _print(f"telephony: {line}")
        if hint := _hint(error):
            _print(f"  hint: {hint}")
        raise typer.Exit(_exit_code(error)) from None
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended; typer prints no message
        raise
    except OSError as error:
        if verbose:
            traceback.print_exc()
        is_path = isinstance(error.filename, str | os.PathLike)
        where = f"{os.fspath(error.filename)!r} " if is_path else "The output, a file or a connection "
        _print(f"telephony: {where}cannot be used: {error.strerror or error}.")
        _print("  hint: -v shows where.")
        raise typer.Exit(FAILED) from None


def _print(text: str) -> None:
    """Prints lines to standard error. Control characters, for example of a file or of another server, are escaped."""
    typer.echo("\n".join(map(visible, text.split("\n"))), file=sys.stderr)


def _lines(error: Exception) -> list[str]:
    if isinstance(error, SettingsError):
        return error.problems
    if isinstance(error, RecordRefused | RecordsUnavailable):
        return [f"{error.database or 'The database'} cannot be used: {error}"]
    return [str(error)]


def _hint(error: Exception) -> str:
    if isinstance(error, RecordRefused | RecordsUnavailable):
        return "DATABASE_URL or TELEPHONY_DATA_DIR names this database. `telephony doctor` checks it."
    return error.hint if isinstance(error, CliError | ImportStringError) else ""


def _exit_code(error: Exception) -> int:
    if isinstance(error, ImportStringError):
        return USAGE if error.is_usage else FAILED
    return error.code if isinstance(error, CliError) else FAILED
