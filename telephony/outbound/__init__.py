"""Calls that we make: `Telephony`, who answered, and the care that calling people takes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .care import Care
    from .plan import CallResult, LeaveMessage
    from .telephony import Telephony
    from .tools import opt_out

__all__ = ["CallResult", "Care", "LeaveMessage", "Telephony", "opt_out"]

_HOMES = {"CallResult": "plan", "Care": "care", "LeaveMessage": "plan", "Telephony": "telephony", "opt_out": "tools"}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
