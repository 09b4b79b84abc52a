"""How much: the short form of a proof, as `make test` runs it, or the long one of `make proof`."""

from __future__ import annotations

import os

__all__ = ["extent"]


def extent(short: int, long: int) -> int:
    """`long` where `PROOF` is set in the environment."""
    return long if os.environ.get("PROOF") else short
