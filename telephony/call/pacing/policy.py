"""Time limits and texts of a call's pacing."""

from __future__ import annotations

from dataclasses import dataclass, field

from .silence_prompts import SilencePolicy

__all__ = ["CallPolicy"]


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Times in seconds; None switches off."""

    silence: SilencePolicy | None = field(default_factory=SilencePolicy)
    """What is said when nobody says anything."""
    answer_line_s: float | None = 1.7
    """After so much silence in which the agent owes an answer the caller hears a line, then a sound. With what it takes
    to find that the caller has stopped speaking (0.5 s) and the way of the line's first sample, less than three
    seconds."""
    answer_limit_s: float = 20.0
    """For how long an answer may be owed; then the caller hears an apology, and the call ends."""
    max_failures: int = 2
    """After so many responses in a row that failed for good the call is given up."""
    max_call_s: float | None = 3600.0
    warning_s: float = 60.0
    """How long before its end the caller is warned."""
    warning: str = "Tell the caller in one short sentence that this call has to end within a minute."
    farewell: str = "The call has to end now. Say goodbye in one short sentence."
    machine_s: float | None = 60.0
    """For how long a call with another machine goes on."""
    stalled_s: float | None = 1.6
    """After so long without a frame of the caller the stream is taken to be dead, and another one is asked for. Time
    for which this process itself was held up does not count. Longer than TCP takes to send again what was lost once or
    twice; short enough that the request, the new stream and its first sound fit into three seconds with it."""
    digits_interrupt: bool = True
    """A key silences the agent."""
