"""The command `telephony`."""

from __future__ import annotations

import os
import sys

from telephony.env_file import environment
from telephony.errors import SettingsError

__all__ = ["main"]


def main() -> None:
    """Run the command line of `telephony`. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a replay differs from its
    recording.
    """
    if (here := os.getcwd()) not in sys.path:
        # As with `python -m telephony`: options may name modules in the current directory.
        sys.path.insert(0, here)
    from .app import app

    try:
        # Also for variables that are not settings of this package, such as HTTPS_PROXY, and for child processes.
        os.environ.update(environment())
    except SettingsError as error:
        sys.exit(f"telephony: {error}")
    app(prog_name="telephony")
