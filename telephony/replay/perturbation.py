"""What may go wrong, on purpose and from a seed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from .recording import Incoming

__all__ = ["Perturbation"]


@dataclass(slots=True)
class Perturbation:
    """Nothing by default. Times in seconds of the call.

    `jitter_s`: extra delay of each message of the phone, uniform, order kept. `loss`: probability that a frame of the
    caller is missing. `stalls`: (at, length) of stalls of the event loop. `disconnect_at_s`: the model's connection
    breaks. `slow_tools_s`: tools take so much longer. `late_marks_s`, `doubled_marks`: marks come back later, or with
    this probability twice.
    """

    seed: int = 0
    jitter_s: float = 0.0
    loss: float = 0.0
    stalls: Sequence[tuple[float, float]] = ()
    disconnect_at_s: float | None = None
    slow_tools_s: float = 0.0
    late_marks_s: float = 0.0
    doubled_marks: float = 0.0
    _random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def phone(self, messages: Sequence[Incoming]) -> list[Incoming]:
        """What the phone sends, as the line lets it through."""
        if not (self.jitter_s or self.loss):
            return list(messages)
        kept, last = [], 0.0
        for message in messages:
            if message.event == "media" and self.loss and self._random.random() < self.loss:
                continue
            last = max(last, message.t + self._random.uniform(0.0, self.jitter_s))
            kept.append(replace(message, t=last))
        return kept

    def mark(self, due: float) -> list[float]:
        """When a mark comes back that was due then: once, or twice."""
        due += self.late_marks_s
        twice = self.doubled_marks and self._random.random() < self.doubled_marks
        return [due, due + 0.02] if twice else [due]
