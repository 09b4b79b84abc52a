"""The faults that the simulated Twilio can have in a test, such as failed requests and lost callbacks. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CreateFault", "Faults"]

CreateFault = Literal["", "429", "500", "500-after", "time-out", "time-out-after"]
"""A fault of the simulated Twilio at a `POST Calls` request (which creates a call). With `...-after`, the call is
created although the request fails. An empty text means no fault.
"""


@dataclass
class Faults:
    """The current faults of the simulated Twilio. The faults may be changed at any time."""

    create: deque[CreateFault] = field(default_factory=deque)
    """The faults of the next `POST Calls` requests, in order."""
    listing: deque[Literal["", "500"]] = field(default_factory=deque)
    """The faults of the next `GET Calls` requests (which list calls), in order. `500` means that the request gets a
    response with the HTTP status 500. An empty text means no fault.
    """
    lost: Collection[str] = ()
    """The callbacks that are lost, such as `initiated`, `ringing`, `answered`, `completed`, `amd` and
    `stream-started`.
    """
    doubled: Collection[str] = ()
    """The callbacks that arrive twice, by the same names as in `lost`, such as `ringing` or `completed`."""
    reordered_s: float = 0.0
    """The maximum random delay of each callback in seconds. With a delay, callbacks may arrive in another order than
    they were sent.
    """
    listing_lag_s: float = 0.0
    """The time in seconds for which a new call is missing from listings, because Twilio's API is eventually
    consistent.
    """
    hangs_s: float = 60.0
    """The time in seconds for which a request that times out is kept open."""
