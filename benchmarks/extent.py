"""The size of a test: short for `make test`, long for `make proof`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import cycle, islice, product
from typing import TypeVar

__all__ = ["extent", "pairs"]

T = TypeVar("T")
U = TypeVar("U")


def extent(short: T, long: T) -> T:
    """Returns `long` if `PROOF` is set in the environment, else `short`."""
    return long if os.environ.get("PROOF") else short


def pairs(first: Iterable[T], second: Iterable[U]) -> list[tuple[T, U]]:
    """Returns all pairs of values if `PROOF` is set in the environment. Else returns the fewest pairs that contain each
    value of both kinds.
    """
    firsts, seconds = list(first), list(second)
    some = islice(zip(cycle(firsts), cycle(seconds), strict=False), max(len(firsts), len(seconds)))
    return extent(list(some), list(product(firsts, seconds)))
