"""Simulates Twilio on this machine: media streams, callers and callees, TwiML, webhooks and the REST API.

```python
peer = await ring("http://127.0.0.1:8000/incoming-call", callers.demo, line=Line(round_trip_s=0.08))
peer.heard      # what the caller heard, sample by sample (mu-law)
peer.events     # marks, clears, violations, with the phone's times
```

```python
async with SimulatedTwilio() as twilio:     # with REST API, TwiML, webhooks, callees
    twilio.callees["+14155550123"] = callees.voicemail()
```

The simulation runs over sockets of this machine in real time. In the event loop of
`realtime_core.testing.virtual_time`, it runs in memory and in virtual time.

The simulation can also run as a separate process: `python -m telephony.simulator ring
http://127.0.0.1:8000/incoming-call --json`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .handset import Handset
from .line import Line
from .peer import Caller, MediaPeer
from .ringing import ring

if TYPE_CHECKING:
    from .calls import SimulatedCall
    from .twilio import SimulatedTwilio

__all__ = ["Caller", "Handset", "Line", "MediaPeer", "SimulatedCall", "SimulatedTwilio", "ring"]

_LAZY = {"SimulatedCall": "calls", "SimulatedTwilio": "twilio"}


def __getattr__(name: str) -> Any:
    if (home := _LAZY.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
