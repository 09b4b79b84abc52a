"""Who decides that a turn has begun and ended: the server, or we.

Pure. A policy is told what the server's voice activity detection reports and answers with actions; the model carries
them out. `deadline` is when `on_time` wants to be called next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

from .errors import UserError

__all__ = ["OurTurns", "ServerTurns", "TurnAction", "TurnPolicy"]


class TurnAction(Enum):
    """What a policy asks of the model."""

    INTERRUPT = auto()
    """Cut what is playing, truncate it at what was heard, cancel the response."""
    HOLD = auto()
    """Fall silent, and be ready to go on; with `duck_db`, go on quietly."""
    RELEASE = auto()
    """Go on from the sample that was heard last, as loud as before."""
    RESPOND = auto()
    """Ask for a response to the turn that was just committed."""


Actions = Sequence[TurnAction]


class TurnPolicy(ABC):
    """Decides on turns. `now` is in seconds on any steady clock."""

    deadline: float | None = None
    duck_db: float | None = None
    """By so many decibels the agent is quieter while it is not known what a noise is; None: it is silent."""

    @abstractmethod
    def turn_detection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The protocol's `turn_detection` object for this policy, from the one that the user gave."""

    @abstractmethod
    def speech_started(self, now: float, *, agent_active: bool) -> Actions:
        """The caller began to speak; `agent_active`: a response is being made or heard."""

    def speech_stopped(self, now: float) -> Actions:
        return ()

    def committed(self, now: float) -> Actions:
        """The server took what was said as a turn."""
        return ()

    def on_time(self, now: float) -> Actions:
        """The deadline has come."""
        return ()

    def reset(self) -> None:
        """The server has been lost: whatever was begun is over."""
        self.deadline = None


class ServerTurns(TurnPolicy):
    """The server decides: it answers each turn and is interrupted by each speech. What the user set stays."""

    def turn_detection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"create_response": True, "interrupt_response": True, **given}

    def speech_started(self, now: float, *, agent_active: bool) -> Actions:
        return (TurnAction.INTERRUPT,)


class OurTurns(TurnPolicy):
    """We decide: speech holds the agent at once, and interrupts it when it has gone on for `minimum_speech_s`; a
    shorter noise lets the agent go on, and is not answered. With `duck_db` the agent is not held but quieter by so many
    decibels, so that a cough costs no pause.

    `silence_s` is what the server's detector adds before it reports the end of speech (`silence_duration_ms` of
    `server_vad`): a noise is known to be short only when that has passed, so the agent is silent for up to
    `minimum_speech_s + silence_s`. Speech while the agent is neither speaking nor about to is never too short.
    """

    def __init__(self, minimum_speech_s: float = 0.3, *, silence_s: float = 0.5, duck_db: float | None = None) -> None:
        if duck_db is not None and duck_db <= 0:
            raise UserError(f"duck_db={duck_db:g}: write how much quieter, like 14.")
        self.minimum_speech_s = minimum_speech_s
        self.silence_s = silence_s
        self.duck_db = duck_db
        self._noise = False

    def turn_detection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {**given, "create_response": False, "interrupt_response": False}

    def speech_started(self, now: float, *, agent_active: bool) -> Actions:
        self._noise = False
        if not agent_active or self.deadline is not None:
            return ()
        self.deadline = now + self.minimum_speech_s + self.silence_s
        return (TurnAction.HOLD,)

    def speech_stopped(self, now: float) -> Actions:
        if self.deadline is None:
            return ()
        if now >= self.deadline:
            return self.on_time(now)
        self.deadline = None
        self._noise = True
        return (TurnAction.RELEASE,)

    def committed(self, now: float) -> Actions:
        noise, self._noise = self._noise, False
        if noise:
            return ()
        interrupted = (TurnAction.INTERRUPT,) if self.deadline is not None else ()
        self.deadline = None
        return (*interrupted, TurnAction.RESPOND)

    def on_time(self, now: float) -> Actions:
        if self.deadline is None or now < self.deadline:
            return ()
        self.deadline = None
        return (TurnAction.INTERRUPT,)

    def reset(self) -> None:
        super().reset()
        self._noise = False
