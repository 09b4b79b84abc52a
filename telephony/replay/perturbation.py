"""Seeded faults of the line, the phone, the model and the tools for a replay. A mark is a message that the phone
returns when the audio before the mark has been played. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypedDict

import numpy as np

from realtime_core.audio import g711

from ..errors import ReplayError

__all__ = ["ClearRace", "Perturbation", "Perturbations", "perturbation_of"]

_DRY_WITHIN_S = 2.0
_SCATTER_S = 0.2
"""The maximum delay in seconds of a racing clear, and of a mark that is returned out of order."""


class Perturbations(TypedDict, total=False):
    """The arguments of `replay` that define faults."""

    loss: float
    """The probability that a frame (20 ms) of the caller's audio is lost."""
    noise_dbfs: float
    """The level (RMS) of noise that is added to the caller's audio, in decibels relative to full scale. The embedded
    model still detects the caller's turns at -45. At -25 the model no longer detects the caller's pauses.
    """
    disconnect_at_s: float
    """The time at which the model's connection breaks, in seconds since the start of the call."""
    slow_tools_ms: float
    """The additional duration of each tool in milliseconds."""
    late_marks_ms: float
    """The additional delay of marks that the phone returns, in milliseconds."""
    doubled_marks: float
    """The probability that a mark is returned twice by the phone."""
    late_clears_ms: float
    """The delay in milliseconds of a `clear` message (which stops playback), and of all messages after it, on the way
    to the phone. The old answer continues until the clear arrives.
    """
    clear_races: float
    """The probability of a fault for each `clear` (the message that empties Twilio's audio buffer). One of three faults
    is chosen at random: the clear arrives when all audio has just been played; the clear arrives up to 200 ms late; or
    the marks that Twilio returns because of the clear arrive in any order, before and after newer marks.
    """


@dataclass(frozen=True, slots=True)
class ClearRace:
    """The fault of one `clear` message (which stops playback). The message is delayed by `late_s` seconds. With
    `when_dry`, the delay ends when all audio has been played. With `scattered`, the marks that the clear flushes are
    returned out of order.
    """

    late_s: float = 0.0
    when_dry: bool = False
    scattered: bool = False


@dataclass(slots=True)
class Perturbation:
    """The faults that are added to one replay, such as lost frames, late marks or slow tools. By default there are no
    faults. All times are in seconds.

    `Perturbations` describes most of these faults. The times that are in milliseconds there (such as `slow_tools_ms`)
    are in seconds here (`slow_tools_s`). Two faults exist only here. With `jitter_s`, each message of the phone is
    delayed by a random time of at most `jitter_s`, and the order of the messages is kept. `stalls` has the times at
    which the event loop is blocked, each as (start, length).
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
        for name in ("loss", "doubled_marks", "clear_races"):
            if not 0 <= getattr(self, name) <= 1:
                raise ReplayError(f"{name}={getattr(self, name):g} is no probability: give 0 to 1.")
        for name in ("jitter_s", "slow_tools_s", "late_marks_s", "late_clears_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ReplayError(f"{name.replace('_s', '_ms')} must not be negative.")
        if self.noise_dbfs is not None and not self.noise_dbfs <= 0:
            raise ReplayError(
                f"noise_dbfs={self.noise_dbfs:g} is louder than a line can be: 0 is the loudest, -40 is clearly heard."
            )
        self._noise = np.random.default_rng(self.seed)

    @property
    def touches_phone(self) -> bool:
        """Whether a fault affects the messages between the phone and this application: audio, marks or clears."""
        marks = self.late_marks_s or self.doubled_marks or self.late_clears_s or self.clear_races
        return bool(self.jitter_s or marks or self.touches_voice)

    @property
    def touches_voice(self) -> bool:
        """Whether a fault changes the caller's audio."""
        return bool(self.loss) or self.noise_dbfs is not None

    def voice(self, ulaw: bytes) -> bytes | None:
        """Returns the frame of audio that arrives when the phone sends the frame `ulaw`, or None if the frame is
        lost.
        """
        if self._happens("loss", self.loss):
            return None
        if self.noise_dbfs is None:
            return ulaw
        noise = self._noise.normal(0.0, 32768 * 10 ** (self.noise_dbfs / 20), len(ulaw))
        return g711.mix(ulaw, g711.encode(np.clip(noise, -32768, 32767).astype(np.int16).tobytes()))

    def arrival(self, now: float) -> float:
        """Returns the time in seconds at which a message arrives that the phone sends at the time `now`, with the
        faults of the line.
        """
        return now + self._random_of("jitter").uniform(0.0, self.jitter_s) if self.jitter_s else now

    def mark(self, now: float, *, scattered: bool = False) -> list[float]:
        """Returns the times at which the application gets a mark that the phone returns at `now`, with the faults of
        this replay. There is one time, or two if the fault is that the mark arrives twice. `scattered` is True if the
        mark was flushed by a `clear` whose marks must arrive out of order.
        """
        due = now + self.late_marks_s + (self._random_of("scatter").uniform(0.0, _SCATTER_S) if scattered else 0.0)
        return [due, due + 0.02] if self._happens("doubled", self.doubled_marks) else [due]

    def clear(self) -> ClearRace | None:
        """Returns the fault of the next `clear` message, or None if the message has no fault. With the probability
        `clear_races`, the fault is chosen at random from the kinds that `ClearRace` describes. Otherwise the fault is a
        delay of `late_clears_s` seconds, if this is not 0.
        """
        if self._happens("race", self.clear_races):
            random = self._random_of("race")
            late = ClearRace(random.uniform(0.0, _SCATTER_S))
            return random.choice([late, ClearRace(_DRY_WITHIN_S, when_dry=True), ClearRace(scattered=True)])
        return ClearRace(self.late_clears_s) if self.late_clears_s else None

    def _happens(self, what: str, probability: float) -> bool:
        return bool(probability) and self._random_of(what).random() < probability

    def _random_of(self, what: str) -> Random:
        """Returns the random generator of one kind of fault. Each kind has its own generator, so one kind does not
        change the others.
        """
        return self._dice.setdefault(what, Random(f"{self.seed}:{what}"))


def perturbation_of(seed: int, given: Perturbations) -> Perturbation:
    """Returns the faults that the arguments of `replay` define. Raises `ReplayError` for impossible values."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        fields[name.replace("_ms", "_s")] = value / 1000 if name.endswith("_ms") else value  # type: ignore[operator]
    return Perturbation(seed=seed, **fields)
