"""The command `telephony`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line. Exit codes: 0, 1 failed, 2 usage, 3 replay diverged."""
    from .app import app

    app(prog_name="telephony")
