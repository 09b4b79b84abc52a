"""The client of the OpenAI Realtime API: models that a session can use, over a WebSocket or for a SIP call.

```
model                 the model that a session uses, over a WebSocket
sip                   the model for a SIP call that the server has accepted
reconnecting          keeps one conversation over several connections
recovery              decides when to connect again, and what the new session gets of the conversation (pure)
websocket             opens a connection and waits for the session
endpoint              the URL, the headers and the key
server_session        one session with the server: its state and its parts (pure)
protocol              decodes server events (pure)
server_events         the types of the server events
encoding              encodes client events (pure)
session_config        the requested and the confirmed settings (pure)
session_object        converts settings to the protocol's session object (pure)
transcription         a session that only transcribes speech
server_transcription  the state of a transcription session (pure)
server_errors         decides the cause of an error (pure)
listeners             delivers events
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
