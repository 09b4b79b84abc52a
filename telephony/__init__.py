"""A telephony agent for Twilio Media Streams: the phone around `realtime_core`'s sessions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .call.bridge import CallOptions, CallOutcome, run_call
    from .call.call import Call, CallInfo, current_call
    from .errors import TelephonyError
    from .settings import Settings, load_settings
    from .web.app import create_app

__all__ = [
    "Call",
    "CallInfo",
    "CallOptions",
    "CallOutcome",
    "Settings",
    "TelephonyError",
    "create_app",
    "current_call",
    "load_settings",
    "run_call",
]

_HOMES = {
    "Call": "call.call",
    "CallInfo": "call.call",
    "CallOptions": "call.bridge",
    "CallOutcome": "call.bridge",
    "Settings": "settings",
    "TelephonyError": "errors",
    "create_app": "web.app",
    "current_call": "call.call",
    "load_settings": "settings",
    "run_call": "call.bridge",
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
