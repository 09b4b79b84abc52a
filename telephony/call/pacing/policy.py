"""Time limits and texts of a call's pacing."""

from __future__ import annotations

from dataclasses import dataclass, field

from .silence_prompts import SilencePolicy

__all__ = ["CallPolicy"]


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """The time limits of a call, in seconds, and the texts that go with them. None switches a limit off."""

    silence: SilencePolicy | None = field(default_factory=SilencePolicy)
    """Prompts for a silent caller."""
    answer_line_s: float | None = 1.7
    """How long a pending answer may be silent. Then the caller hears a line, and later a sound.

    The caller also waits for the 0.5 s that end a turn, and for the first sample of the line. Together they stay under
    three seconds.
    """
    answer_limit_s: float = 20.0
    """How long an answer may be pending. Then the caller hears an apology, and the call ends."""
    max_failures: int = 2
    """The call ends after more than this many failed responses in a row."""
    max_call_s: float | None = 3600.0
    warning_s: float = 60.0
    """How long before the end the caller is warned."""
    warning: str = "Tell the caller in one short sentence that this call has to end within a minute."
    farewell: str = "The call has to end now. Say goodbye in one short sentence."
    machine_s: float | None = 60.0
    """How long a call with another machine may last."""
    stalled_s: float | None = 1.6
    """A stream without a frame for this long counts as dead and is replaced. Time in which this process was blocked
    does not count. TCP can repeat a lost packet once or twice in this time. With the request, the new stream and its
    first sound, the silence stays under three seconds."""
    digits_interrupt: bool = True
    """A key silences the agent."""
