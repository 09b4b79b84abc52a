"""The time limits and texts with which a call reacts to a silent caller, a late answer, a stalled stream or a long
call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...argument_types import Rule, check_fields
from .silence_prompts import SilencePolicy

__all__ = ["CallPolicy"]


_SECONDS: Rule = (int | float, "a number of seconds")
_LIMIT: Rule = (int | float | None, "a number of seconds, or None")
_TEXT: Rule = (str, "a text")
_RULES: Mapping[str, Rule] = {
    "silence": (SilencePolicy | None, "a SilencePolicy, or None"),
    "answer_line_s": _LIMIT,
    "answer_limit_s": _SECONDS,
    "max_failures": (int, "a whole number"),
    "max_call_s": _LIMIT,
    "warning_s": _SECONDS,
    "warning": _TEXT,
    "farewell": _TEXT,
    "machine_s": _LIMIT,
    "stalled_s": _LIMIT,
    "digits_interrupt": (bool, "True or False"),
}


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """The time limits of a call, in seconds, and the texts that are used with these limits. The value None switches a
    limit off.
    """

    silence: SilencePolicy | None = field(default_factory=SilencePolicy)
    """The policy for prompts to a silent caller. None switches the prompts off."""
    answer_line_s: float | None = 1.7
    """The time in seconds for which the caller waits in silence for an answer before a sentence such as "One moment,
    please." is played. If the answer has still not begun after the sentence, the caller hears a waiting sound.

    After a turn of the caller, the time begins when the server reports the end of the turn, about 0.5 s after the last
    word. The sentence also needs some time to reach the caller. With the default, the caller hears less than three
    seconds of silence.
    """
    answer_limit_s: float = 20.0
    """The maximum time in seconds for which an answer may be pending. After this time the caller hears an apology, and
    the call ends.
    """
    max_failures: int = 2
    """The maximum number of failed responses in a row. With one more failure the call ends."""
    max_call_s: float | None = 3600.0
    warning_s: float = 60.0
    """The time in seconds between the warning to the caller and the end of the call."""
    warning: str = "Tell the caller in one short sentence that this call has to end within a minute."
    farewell: str = "The call has to end now. Say goodbye in one short sentence."
    machine_s: float | None = 60.0
    """The time in seconds after which a call with a machine, such as a voicemail, ends. The time begins when the
    machine is found: by Twilio's answering machine detection, or because the other party has said the same sentence
    three times. None means no limit.
    """
    stalled_s: float | None = 1.6
    """The time in seconds after which a media stream without a frame counts as dead and is replaced. Time in which this
    process was blocked is not counted. None means that a stream is never replaced for this reason. With the default,
    TCP has time to repeat a lost packet once or twice, and the caller hears less than three seconds of silence until
    the new stream plays.
    """
    digits_interrupt: bool = True
    """Whether a key of the caller stops the speech of the agent."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value of a wrong type."""
        check_fields("CallPolicy", _RULES, self)
