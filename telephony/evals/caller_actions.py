"""What a simulated caller did during a call and when: spoke, pressed a key, hung up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CallerAction", "CallerActionKind"]


class CallerActionKind(StrEnum):
    """The kinds of actions of a simulated caller. The simulated caller reports its own actions, so the actions are
    known exactly.
    """

    SAYS = "says"
    INTERRUPTS = "interrupts"
    BACKCHANNEL = "backchannel"
    KEY = "key"
    HANGS_UP = "hangs up"
    GIVES_UP = "gives up"
    """The caller hangs up because the caller heard nothing for too long, or did not reach the goal."""


@dataclass(frozen=True, slots=True)
class CallerAction:
    """One action of the simulated caller, `at_ms` milliseconds after the start of the call. `over_agent` is True if the
    caller heard the agent at that time.
    """

    at_ms: float
    kind: CallerActionKind
    text: str = ""
    over_agent: bool = False
