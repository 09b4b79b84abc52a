"""A Twilio for this machine: its end of a media stream with true physics, and callers to put on the phone.

```python
peer = await ring("http://127.0.0.1:8000/incoming-call", callers.demo, line=Line(round_trip_s=0.08))
peer.heard      # mu-law: what the caller's ear got, sample by sample
peer.events     # marks, clears, violations, with the phone's times
```

As a process of its own: `python -m telephony.simulator ring http://127.0.0.1:8000/incoming-call --json`.
"""

from __future__ import annotations

from .line import Line
from .peer import Caller, MediaPeer
from .phone import Phone
from .ringing import ring

__all__ = ["Caller", "Line", "MediaPeer", "Phone", "ring"]
