"""The result of an eval as one HTML page."""

from __future__ import annotations

from .comparison import EvalResult

__all__ = ["page_of"]


def page_of(result: EvalResult) -> str:
    """The page."""
    return "<!doctype html>"
