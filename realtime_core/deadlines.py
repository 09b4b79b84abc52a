"""Computes the next deadline of several state machines. Pure."""

from __future__ import annotations

__all__ = ["earliest"]


def earliest(*deadlines: float | None) -> float | None:
    """Returns the earliest of the deadlines that are not None. Returns None if all of them are None."""
    return min((each for each in deadlines if each is not None), default=None)
