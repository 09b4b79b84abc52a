"""Policies that decide when the turn of the caller begins and ends, and when the caller interrupts the agent
(a barge-in).

Pure. A policy gets the reports of the server's voice activity detection and returns actions. The model executes these
actions. `deadline` is the time of the next call of `on_time`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

from .errors import UserError

__all__ = ["OurTurns", "ServerTurns", "TurnAction", "TurnPolicy"]


class TurnAction(Enum):
    """An action that a turn policy requests from the model, such as to interrupt the agent."""

    INTERRUPT = auto()
    """Stop the agent's audio, truncate it on the server at the heard position, and cancel the response."""
    HOLD = auto()
    """Pause the agent's audio, so that it can continue later. If the policy has `duck_db`, make the audio quieter
    instead.
    """
    RELEASE = auto()
    """Continue the agent's audio after the last heard sample, at full volume."""
    RESPOND = auto()
    """Request a response to the turn that was just committed."""


Actions = Sequence[TurnAction]


class TurnPolicy(ABC):
    """Decides about turns: when the agent stops, becomes quiet, continues or answers. Methods that return `Actions`
    return the actions that must be executed now, in order. `now` is in seconds on any monotonic clock. `on_time` must
    be called at the time `deadline`, unless `deadline` is None.
    """

    deadline: float | None = None
    duck_db: float | None = None
    """The number of decibels by which the agent is quieter while a sound is not yet identified as speech. None means
    that the agent is silent.
    """

    @abstractmethod
    def turn_detection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the protocol's `turn_detection` object for this policy. `given` is the `turn_detection` object of the
        user's settings.
        """

    @abstractmethod
    def speech_started(self, now: float, *, agent_active: bool) -> Actions:
        """Handles the start of the caller's speech, and returns the actions that follow. `agent_active` is True if a
        response is in progress or playing.
        """

    def speech_stopped(self, now: float) -> Actions:
        return ()

    def committed(self, now: float) -> Actions:
        """Registers that the server committed a turn of the caller (the turn is over), and returns the actions that
        follow.
        """
        return ()

    def on_time(self, now: float) -> Actions:
        """Returns the actions that are due at the time `now`, if `deadline` has passed."""
        return ()

    def reset(self) -> None:
        """Forgets the current turn of the caller, for example its pending `deadline`, because the connection to the
        server was lost.
        """
        self.deadline = None


class ServerTurns(TurnPolicy):
    """The server decides when a turn begins and ends, and answers each turn. Any speech of the caller interrupts the
    agent. The `turn_detection` that the user has set has priority. If its `interrupt_response` is False, the client
    cancels the response in place of the server, as in the Agents SDK.
    """

    def turn_detection(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"create_response": True, "interrupt_response": True, **given}

    def speech_started(self, now: float, *, agent_active: bool) -> Actions:
        return (TurnAction.INTERRUPT,)


class OurTurns(TurnPolicy):
    """The client decides whether speech interrupts the agent, and requests the answers. Speech pauses the agent
    immediately, and interrupts the agent after `minimum_speech_s` seconds. After a shorter sound the agent continues,
    and the sound is not answered. If `duck_db` is not None, speech makes the agent quieter by this number of decibels
    in place of the pause, so a cough causes no pause.

    `silence_s` is the delay with which the server's detector reports the end of speech (`silence_duration_ms` of
    `server_vad`). A sound is known to be short only after this delay, so the agent is silent for up to
    `minimum_speech_s + silence_s` seconds. Speech while the agent neither speaks nor prepares an answer always counts
    as a turn.
    """

    def __init__(self, minimum_speech_s: float = 0.3, *, silence_s: float = 0.5, duck_db: float | None = None) -> None:
        if duck_db is not None and duck_db <= 0:
            raise UserError(f"duck_db={duck_db:g}: give a positive number of decibels, such as 14.")
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
