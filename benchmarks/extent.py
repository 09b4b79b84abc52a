"""The size of a test: short for `make test`, long for `make proof`."""

from __future__ import annotations

import os

__all__ = ["extent"]


def extent(short: int, long: int) -> int:
    """Returns `long` if `PROOF` is set in the environment, else `short`."""
    return long if os.environ.get("PROOF") else short
