"""The size of a test: short for `make test`, long for `make proof`."""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["extent"]

T = TypeVar("T")


def extent(short: T, long: T) -> T:
    """Returns `long` if `PROOF` is set in the environment, else `short`."""
    return long if os.environ.get("PROOF") else short
