"""Placed calls: the dialing rules, the dialer, and the detection of who answered."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dialing_rules import DialingRules
    from .do_not_call import opt_out
    from .plan import CallResult, LeaveMessage

    Care = DialingRules

__all__ = ["CallResult", "Care", "DialingRules", "LeaveMessage", "opt_out"]

_HOMES = {
    "CallResult": ("plan", "CallResult"),
    "Care": ("dialing_rules", "DialingRules"),  # an older name
    "DialingRules": ("dialing_rules", "DialingRules"),
    "LeaveMessage": ("plan", "LeaveMessage"),
    "opt_out": ("do_not_call", "opt_out"),
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = home
    return getattr(import_module(f".{module}", __name__), attribute)
