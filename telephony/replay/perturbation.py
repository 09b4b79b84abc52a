"""What may go wrong, on purpose and from a seed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypedDict

import numpy as np

from realtime_core.audio import g711

__all__ = ["ClearRace", "Perturbation", "Perturbations", "perturbation_of"]

_DRY_WITHIN_S = 2.0
_SCATTER_S = 0.2
"""A clear that races is late by up to this, and so are marks that come back in disorder."""


class Perturbations(TypedDict, total=False):
    """The arguments of `replay` for what goes wrong."""

    loss: float
    """The probability that a frame of the caller is missing."""
    noise_dbfs: float
    """Noise on the caller's line: its level (RMS) against full scale. The embedded model bears -45; at -25 it
    no longer hears where the caller pauses."""
    disconnect_at_s: float
    """At this second of the call the model's connection breaks."""
    slow_tools_ms: float
    """Tools take so much longer."""
    late_marks_ms: float
    """Marks come back so much later."""
    doubled_marks: float
    """The probability that a mark comes back twice."""
    late_clears_ms: float
    """A `clear` reaches the phone so much later, and what is sent after it stays behind it: the old answer goes on."""
    clear_races: float
    """The probability that a `clear` races with what is under way: it comes when the line has just run dry; or up to
    200 ms late; or the marks that it flushes come back in any order, before and behind its sentinel and what is new."""


@dataclass(frozen=True, slots=True)
class ClearRace:
    """What happens to one `clear`: it is held for `late_s`, or `when_dry` until nothing plays any more (so long at
    most); the marks that it flushes come back `scattered`."""

    late_s: float = 0.0
    when_dry: bool = False
    scattered: bool = False


@dataclass(slots=True)
class Perturbation:
    """Nothing by default. The fields are those of `Perturbations`, with times in seconds of the call; and `jitter_s`,
    extra delay of each message of the phone, uniform, order kept; `stalls`, (at, length) of stalls of the event loop.
    """

    seed: int = 0
    jitter_s: float = 0.0
    loss: float = 0.0
    noise_dbfs: float | None = None
    stalls: Sequence[tuple[float, float]] = ()
    disconnect_at_s: float | None = None
    slow_tools_s: float = 0.0
    late_marks_s: float = 0.0
    doubled_marks: float = 0.0
    late_clears_s: float = 0.0
    clear_races: float = 0.0
    _dice: dict[str, Random] = field(default_factory=dict, init=False, repr=False)
    _noise: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._noise = np.random.default_rng(self.seed)

    @property
    def touches_phone(self) -> bool:
        """Does anything happen on the phone's line?"""
        marks = self.late_marks_s or self.doubled_marks or self.late_clears_s or self.clear_races
        return bool(self.jitter_s or marks or self.touches_voice)

    @property
    def touches_voice(self) -> bool:
        """Is the caller's audio another?"""
        return bool(self.loss) or self.noise_dbfs is not None

    def voice(self, ulaw: bytes) -> bytes | None:
        """A frame of the caller, as it comes over the line; None: it does not."""
        if self._happens("loss", self.loss):
            return None
        if self.noise_dbfs is None:
            return ulaw
        noise = self._noise.normal(0.0, 32768 * 10 ** (self.noise_dbfs / 20), len(ulaw))
        return g711.mix(ulaw, g711.encode(np.clip(noise, -32768, 32767).astype(np.int16).tobytes()))

    def arrival(self, now: float) -> float:
        """When a message arrives that the phone sends now."""
        return now + self._dice_of("jitter").uniform(0.0, self.jitter_s) if self.jitter_s else now

    def mark(self, now: float, *, scattered: bool = False) -> list[float]:
        """When a mark arrives that the phone sends now: once, or twice."""
        due = now + self.late_marks_s + (self._dice_of("scatter").uniform(0.0, _SCATTER_S) if scattered else 0.0)
        return [due, due + 0.02] if self._happens("doubled", self.doubled_marks) else [due]

    def clear(self) -> ClearRace | None:
        """What happens to the next `clear`; None: nothing."""
        if self._happens("race", self.clear_races):
            dice = self._dice_of("race")
            late = ClearRace(dice.uniform(0.0, _SCATTER_S))
            return dice.choice([late, ClearRace(_DRY_WITHIN_S, when_dry=True), ClearRace(scattered=True)])
        return ClearRace(self.late_clears_s) if self.late_clears_s else None

    def _happens(self, what: str, probability: float) -> bool:
        return bool(probability) and self._dice_of(what).random() < probability

    def _dice_of(self, what: str) -> Random:
        """Each kind of mishap has dice of its own, so that one does not change the others."""
        return self._dice.setdefault(what, Random(f"{self.seed}:{what}"))


def perturbation_of(seed: int, given: Perturbations) -> Perturbation:
    """From the arguments of `replay`."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        fields[name.replace("_ms", "_s")] = value / 1000 if name.endswith("_ms") else value  # type: ignore[operator]
    return Perturbation(seed=seed, **fields)
