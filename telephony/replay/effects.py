"""Checks that each option of a replay, such as noise on the line, has an effect in the chosen mode (with the recorded
or another caller, and with the recorded or another model). Pure. An option without an effect is refused, because a
successful replay with such an option would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ReplayError

__all__ = ["ReplayRequest", "check_effects"]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The options of a replay, for the check whether each of them has an effect. `listens` is True if code of this
    package listens to the caller's audio, as the tone detector of an outgoing call does. `duration_s` is the length of
    the recording in seconds.
    """

    recorded_caller: bool
    simulated_caller: bool
    recorded_model: bool
    has_agent: bool
    listens: bool
    duration_s: float
    noise: bool = False
    other_line: bool = False
    disconnect_at_s: float | None = None
    retimed: bool = False
    strict: bool = False
    run_tools: bool = False


def check_effects(request: ReplayRequest) -> None:
    """Raises `ReplayError` if an option of the replay cannot have an effect. The message contains the mode in which the
    option has an effect.
    """
    if problems := list(_without_effect(request)):
        raise ReplayError(" ".join(problems))


def _without_effect(request: ReplayRequest) -> Iterator[str]:
    if request.noise and request.recorded_model and not request.listens:
        yield (
            "noise_dbfs has no effect here: the recorded model answers as it did, whatever it hears. "
            'Use another model: --mode embedded or live (in Python: model="embedded").'
        )
    if request.other_line and request.recorded_caller and request.recorded_model:
        yield (
            "round_trip_ms and line have no effect here: the recorded caller has the recorded line. "
            'Use --mode simulated (in Python: caller="simulated").'
        )
    if request.retimed and request.recorded_model:
        yield (
            "turns=retimed has no effect here: the recorded model has recorded times. "
            'Re-timed turns need another model: --mode embedded or live (in Python: model="embedded").'
        )
    elif request.retimed and not (request.recorded_caller or request.simulated_caller):
        yield "turns has no effect here: it is for the recorded caller, and another caller calls."
    if request.strict and not (request.recorded_caller and request.recorded_model):
        yield "strict has no effect here: samples and milliseconds are compared only in mode recorded."
    if request.run_tools and not request.has_agent:
        yield "run_tools has no effect here: the recording has no code of tools. Give the agent, too."
    if request.disconnect_at_s is not None and request.recorded_model and request.disconnect_at_s >= request.duration_s:
        yield (
            f"disconnect_at_s={request.disconnect_at_s:g} has no effect here: the recorded call ends at "
            f"{request.duration_s:.1f} s."
        )
