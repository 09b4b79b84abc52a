"""Nobody says anything: prompt, prompt again, say goodbye. Pure.

The time counts from the moment at which the caller has *heard* the end of what the agent said, and rests while somebody
is busy: a tool, a response that is being made, hold, digits, a transfer, speech that has begun and not ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Goodbye", "Prompt", "SilencePolicy", "SilencePrompts"]


@dataclass(frozen=True, slots=True)
class SilencePolicy:
    """After each `after_s` of silence the next of `prompts` (instructions for one response); after the last, the
    goodbye."""

    after_s: float = 10.0
    prompts: Sequence[str] = (
        "Nobody has said anything for a while. Ask in a few words whether the caller is still there.",
        "The caller still says nothing. Say that you cannot hear anybody, and that the call will end soon.",
    )
    goodbye: str = "The caller says nothing. Say goodbye in one short sentence, and that they may call again."


@dataclass(frozen=True, slots=True)
class Prompt:
    """Have the model say this."""

    instructions: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Have the model say this, and hang up."""

    instructions: str


class SilencePrompts:
    """Counts silence while nothing rests it. `rest` and `resume` are idempotent and take any reason."""

    def __init__(self, policy: SilencePolicy) -> None:
        self._policy = policy
        self._resting: set[str] = set()
        self._since: float | None = None
        self._level = 0

    @property
    def deadline(self) -> float | None:
        if self._since is None or self._resting:
            return None
        return self._since + self._policy.after_s

    def begin(self, now: float) -> None:
        """The call is live."""
        self._since = now

    def heard_until(self, at: float) -> None:
        """What the agent says will have been heard at this time."""
        if self._since is not None:
            self._since = max(self._since, at)

    def caller_acted(self, now: float) -> None:
        """The caller has spoken, or pressed a key: begin anew."""
        self._level = 0
        self.heard_until(now)

    def rest(self, why: str) -> None:
        self._resting.add(why)

    def resume(self, why: str, now: float) -> None:
        if why in self._resting:
            self._resting.discard(why)
            self.heard_until(now)

    def on_time(self, now: float) -> Prompt | Goodbye | None:
        if self.deadline is None or now < self.deadline:
            return None
        self._since = now
        prompts, level = self._policy.prompts, self._level
        self._level += 1
        if level < len(prompts):
            return Prompt(prompts[level])
        self._since = None
        return Goodbye(self._policy.goodbye)
