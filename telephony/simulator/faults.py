"""What goes wrong at the simulated Twilio, on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CreateFault", "Faults"]

CreateFault = Literal["", "429", "500", "500-after", "time-out", "time-out-after"]
"""`...-after`: the call was in fact created. `""`: nothing."""


@dataclass
class Faults:
    """Change it at any time; it counts from then on."""

    create: deque[CreateFault] = field(default_factory=deque)
    """One for each `POST Calls` to come, in order."""
    listing: deque[Literal["", "500"]] = field(default_factory=deque)
    """One for each `GET Calls` to come."""
    lost: Collection[str] = ()
    """The callbacks that never come: `initiated`, `ringing`, `answered`, `completed`, `amd`, `stream-started`..."""
    doubled: Collection[str] = ()
    """Those that come twice."""
    reordered_s: float = 0.0
    """Each callback is late by chance, up to this."""
    listing_lag_s: float = 0.0
    """A call is listed only so long after it was created; Twilio's API is eventually consistent."""
    hangs_s: float = 60.0
    """How long a request that times out is held."""
