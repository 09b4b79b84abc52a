"""Ways in which a Twilio may differ from this simulation, for tests of `telephony certify`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NONE", "Deviations"]


@dataclass(frozen=True, slots=True)
class Deviations:
    """Differences from the normal behaviour of the simulation, for tests. By default there are none.

    - `marks_late_s`: each mark comes back this much too late.
    - `marks_early`: a mark comes back when it arrives, before its audio was played.
    - `stamps_jump_ms`: the timestamps of the caller's frames jump by this after each second.
    - `ignores_clear`: buffered audio is played after a `clear`.
    - `verdict`: the result of machine detection for every call, independent of who answers.
    - `signed_for`: webhooks and streams are signed for addresses under this one.
    """

    marks_late_s: float = 0.0
    marks_early: bool = False
    stamps_jump_ms: int = 0
    ignores_clear: bool = False
    verdict: str = ""
    signed_for: str = ""


NONE = Deviations()
