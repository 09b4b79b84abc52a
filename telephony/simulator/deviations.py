"""Deviations from the normal behaviour of the simulated Twilio. With them, tests check that `telephony certify` finds a
Twilio that behaves differently. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NONE", "Deviations"]


@dataclass(frozen=True, slots=True)
class Deviations:
    """Differences from the normal behaviour of the simulation, for tests. By default there are no differences.

    - `marks_late_s`: the delay of each returned mark in seconds.
    - `marks_early`: whether a mark is returned when it arrives, before its audio was played.
    - `stamps_jump_ms`: the jump of the timestamps of the caller's frames after each second, in milliseconds.
    - `ignores_clear`: whether buffered audio is played after a `clear`.
    - `verdict`: the result of machine detection for every call, independent of the callee.
    - `signed_for`: the base address in the signatures of webhooks and streams.
    """

    marks_late_s: float = 0.0
    marks_early: bool = False
    stamps_jump_ms: int = 0
    ignores_clear: bool = False
    verdict: str = ""
    signed_for: str = ""


NONE = Deviations()
