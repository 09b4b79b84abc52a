"""The command `telephony`."""

from __future__ import annotations

import io
import os
import sys

from telephony.env_file import environment
from telephony.errors import SettingsError

__all__ = ["main"]


def main() -> None:
    """Run the command line of `telephony`. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a replay differs from its
    recording.
    """
    _print_in_any_encoding()
    try:
        here = os.getcwd()
    except FileNotFoundError:
        sys.exit("telephony: the current folder does not exist any more. Change to another folder.")
    if here not in sys.path:
        # As with `python -m telephony`: options may name modules in the current directory.
        sys.path.insert(0, here)
    from .app import app

    try:
        # Also for variables that are not settings of this package, such as HTTPS_PROXY, and for child processes.
        os.environ.update(environment())
    except SettingsError as error:
        sys.exit(f"telephony: {error}")
    try:
        app(prog_name="telephony")
    except OSError as error:  # such as a full disk behind standard output
        sys.exit(f"telephony: {error}")


def _print_in_any_encoding() -> None:
    """Prints `?` in place of a character that the encoding of the terminal does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
