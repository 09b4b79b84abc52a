"""Prompts a silent caller several times, and then ends the call with a goodbye. Pure.

Silence counts from the moment at which the caller has *heard* the end of the agent's speech. The count pauses while a
tool runs, while the model produces a response, while the caller speaks, and during hold, the collection of digits, and
transfers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...argument_types import Rule, check_fields, texts_of
from .reasons import PauseReason

__all__ = ["Goodbye", "Prompt", "SilencePolicy", "SilencePrompts"]


_RULES: Mapping[str, Rule] = {"after_s": (int | float, "a number of seconds"), "goodbye": (str, "a text")}


@dataclass(frozen=True, slots=True)
class SilencePolicy:
    """The prompts for a silent caller.

    After each `after_s` seconds of silence, the model gets the next text of `prompts`. Each text has instructions for
    one response. After the last prompt the model gets the instructions `goodbye`, and the call ends.
    """

    after_s: float = 10.0
    prompts: Sequence[str] = (
        "Nobody has said anything for a while. Ask in a few words whether the caller is still there.",
        "The caller still says nothing. Say that you cannot hear anybody, and that the call will end soon.",
    )
    goodbye: str = "The caller says nothing. Say goodbye in one short sentence, and that they may call again."

    def __post_init__(self) -> None:
        """Raises `UserError` for a value of a wrong type."""
        object.__setattr__(self, "prompts", texts_of("SilencePolicy(prompts=...)", self.prompts))
        check_fields("SilencePolicy", _RULES, self)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The next action of the call: the model speaks to a caller who has been silent for some time. `instructions` are
    the instructions for this response.
    """

    instructions: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The action: the model says goodbye to a silent caller, and the call ends. `instructions` are the instructions for
    the goodbye.
    """

    instructions: str


class SilencePrompts:
    """Measures how long the caller is silent, and says when the model must prompt the caller or say goodbye. The
    silence is not measured during a pause. Times such as `now` are in seconds on any steady clock. `pause` and `resume`
    are idempotent.
    """

    def __init__(self, policy: SilencePolicy) -> None:
        self._policy = policy
        self._pauses: set[PauseReason] = set()
        self._since: float | None = None
        self._level = 0

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called, or None while silence is not counted."""
        if self._since is None or self._pauses:
            return None
        return self._since + self._policy.after_s

    def begin(self, now: float) -> None:
        """Starts the measurement of the caller's silence at the time `now`, in seconds. Called when the model is
        connected.
        """
        self._since = now

    def heard_until(self, at: float) -> None:
        """Counts the caller's silence from the time `at` (in seconds), until which the caller hears queued audio,
        unless the silence already counts from a later time.
        """
        if self._since is not None:
            self._since = max(self._since, at)

    def caller_acted(self, now: float) -> None:
        """Resets the silence and the prompts, because the caller spoke or pressed a key."""
        self._level = 0
        self.heard_until(now)

    def pause(self, reason: PauseReason) -> None:
        """Stops the measurement of the caller's silence until `resume` is called with the same reason."""
        self._pauses.add(reason)

    def resume(self, reason: PauseReason, now: float) -> None:
        """Continues the measurement of the caller's silence, if it was paused for this reason. The silence then counts
        from the time `now` (in seconds), or from the later end of the agent's queued audio. If there is another reason
        for a pause, the measurement stays paused.
        """
        if reason in self._pauses:
            self._pauses.discard(reason)
            self.heard_until(now)

    def on_time(self, now: float) -> Prompt | Goodbye | None:
        """Returns the action that is due at `now`, with instructions for the model: a prompt or a goodbye. Returns None
        if no action is due.
        """
        if self.deadline is None or now < self.deadline:
            return None
        self._since = now
        prompts, level = self._policy.prompts, self._level
        self._level += 1
        if level < len(prompts):
            return Prompt(prompts[level])
        self._since = None
        return Goodbye(self._policy.goodbye)
