"""Faults of the simulated Twilio. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CreateFault", "Faults"]

CreateFault = Literal["", "429", "500", "500-after", "time-out", "time-out-after"]
"""A fault of a `POST Calls` request. With `...-after` the call is created all the same. `""`: no fault."""


@dataclass
class Faults:
    """The faults of the simulated Twilio from now on. They may be changed at any time."""

    create: deque[CreateFault] = field(default_factory=deque)
    """The faults of the next `POST Calls` requests, in order."""
    listing: deque[Literal["", "500"]] = field(default_factory=deque)
    """The faults of the next `GET Calls` requests, in order."""
    lost: Collection[str] = ()
    """Callbacks that never arrive: `initiated`, `ringing`, `answered`, `completed`, `amd`, `stream-started`..."""
    doubled: Collection[str] = ()
    """Callbacks that arrive twice."""
    reordered_s: float = 0.0
    """The largest random delay of a callback."""
    listing_lag_s: float = 0.0
    """How long a new call is missing from listings; Twilio's API is eventually consistent."""
    hangs_s: float = 60.0
    """How long a request that times out is held open."""
