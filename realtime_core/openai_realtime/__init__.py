"""The OpenAI Realtime API.

```
model       OpenAIRealtimeWebSocketModel: what a session sees          sip  the same, attached to a SIP call
reconnecting  keeps a conversation over connections                   recovery (pure): when, and with which memory
websocket   opening a connection until the session is accepted         endpoint: address, headers, key
dialogue    one server session: its state and what is done in it
incoming    one function per server event                              outgoing: one per input of the user's
protocol    (pure) the codec; server_events its values                 server_errors (pure): whose fault
session_config  (pure) desired and acknowledged configuration          listeners: who is told
```
"""

from __future__ import annotations

from .defaults import DEFAULT_MODEL_SETTINGS
from .endpoint import get_api_key
from .model import OpenAIRealtimeWebSocketModel
from .recovery import ReconnectPolicy
from .sip import OpenAIRealtimeSIPModel, accept_payload
from .websocket import TransportConfig

__all__ = [
    "DEFAULT_MODEL_SETTINGS",
    "OpenAIRealtimeSIPModel",
    "OpenAIRealtimeWebSocketModel",
    "ReconnectPolicy",
    "TransportConfig",
    "accept_payload",
    "get_api_key",
]
