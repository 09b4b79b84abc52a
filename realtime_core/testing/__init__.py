"""Tools for testing code that is built on `realtime_core`.

- `ScriptedRealtimeModel`, `RealtimeStep`: a model that follows a script in place of a server
- `virtual_time`: an event loop with virtual time
- `plugin`: the pytest plugin (markers `virtual_time` and `real_time`, fixtures `sources` and `run_virtual`)
- `realtime_core.connection.memory`: an in-memory connection with the faults of a network
- `realtime_core.local`: the embedded realtime server
"""

from .scripted_model import (
    RealtimeConnectCall,
    RealtimeScriptError,
    RealtimeSendMatcher,
    RealtimeStep,
    ScriptedRealtimeModel,
    UnconsumedRealtimeSteps,
    UnexpectedRealtimeSend,
)

__all__ = [
    "RealtimeConnectCall",
    "RealtimeScriptError",
    "RealtimeSendMatcher",
    "RealtimeStep",
    "ScriptedRealtimeModel",
    "UnconsumedRealtimeSteps",
    "UnexpectedRealtimeSend",
]
