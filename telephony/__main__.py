"""Runs the command line: `python -m telephony`."""

from __future__ import annotations

from telephony.cli import main

if __name__ == "__main__":
    main()
