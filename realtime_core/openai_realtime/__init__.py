"""The OpenAI Realtime API.

```
model           OpenAIRealtimeWebSocketModel, which a session uses       sip  the same, attached to a SIP call
reconnecting    keeps a conversation over several connections            recovery (pure): when, and with which memory
websocket       opens a connection and waits for the session             endpoint: address, headers, key
server_session  (pure) one session with the server, its state and parts
protocol        (pure) decodes server events; server_events their types  encoding (pure): client events
session_config  (pure) requested and confirmed settings                  session_object (pure): settings as protocol
transcription   a session that only transcribes speech                   server_transcription (pure): its state
server_errors   (pure) whose fault an error is                           listeners: deliver events
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
