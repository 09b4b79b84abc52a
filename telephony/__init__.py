"""A telephony agent for Twilio Media Streams, built on the sessions of `realtime_core`.

Names are imported at their first use, so `import telephony` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from .application.app import create_app
    from .call.call import Call, CallInfo, current_call
    from .call.consent import Consent
    from .call.pacing.policy import CallPolicy
    from .call.pacing.silence_prompts import SilencePolicy
    from .call.screening import Emergency, Screening
    from .call.session import CallOptions, CallOutcome, run_call
    from .errors import TelephonyError
    from .identity import requires
    from .outbound import CallResult, Care, DialingRules, LeaveMessage, opt_out
    from .outcomes.ended_call import EndedCall
    from .settings import Settings, load_settings
    from .telephony import Telephony
    from .tools import collect_digits, hang_up, refuse_recording, send_digits, transfer
    from .versions import Canary

__all__ = [
    "Call",
    "CallInfo",
    "CallOptions",
    "CallOutcome",
    "CallPolicy",
    "CallResult",
    "Canary",
    "Care",
    "Consent",
    "DialingRules",
    "Emergency",
    "EndedCall",
    "LeaveMessage",
    "Screening",
    "Settings",
    "SilencePolicy",
    "Telephony",
    "TelephonyError",
    "collect_digits",
    "create_app",
    "current_call",
    "hang_up",
    "load_settings",
    "opt_out",
    "refuse_recording",
    "requires",
    "run_call",
    "send_digits",
    "transfer",
]

_HOMES = {
    "Call": "call.call",
    "CallInfo": "call.call",
    "CallOptions": "call.session",
    "CallOutcome": "call.session",
    "CallPolicy": "call.pacing.policy",
    "CallResult": "outbound",
    "Canary": "versions",
    "Care": "outbound",
    "Consent": "call.consent",
    "DialingRules": "outbound",
    "Emergency": "call.screening",
    "EndedCall": "outcomes.ended_call",
    "LeaveMessage": "outbound",
    "Screening": "call.screening",
    "Settings": "settings",
    "SilencePolicy": "call.pacing.silence_prompts",
    "Telephony": "telephony",
    "TelephonyError": "errors",
    "collect_digits": "tools",
    "create_app": "application.app",
    "current_call": "call.call",
    "hang_up": "tools",
    "load_settings": "settings",
    "opt_out": "outbound",
    "refuse_recording": "tools",
    "requires": "identity",
    "run_call": "call.session",
    "send_digits": "tools",
    "transfer": "tools",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # it takes as long as all the rest of this import

        return metadata.version("telephony-agent")
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
