"""The embedded realtime server: the OpenAI Realtime protocol (its generally available version, "GA") on a real
WebSocket. A script replaces the model.

The server is for trying an agent without paying for a model, for demos and for tests. The server has voice activity
detection, turns, answers in stored or synthesised speech in bursts like those of the real server, tool calls,
interruption, truncation, the real server's errors, and faults from the script. `python -m realtime_core.local` runs the
server as a process.

- `LocalRealtimeServer`: the server, an async context manager
- `Script`, `Turn`, `load_script`, `parse_script`: the script. `realtime_core.local.script` describes the file format

The server does not understand speech. Transcripts of the caller and the results of hosted MCP tools come from the
script. `speed` and `noise_reduction` have no effect. The caller's audio is not stored, so `conversation.item.retrieve`
returns an item of the caller without its audio.
"""

from __future__ import annotations

from .reply import Call, Pause, Reply, Trouble
from .script import Script, Turn, builtin_script, load_script, parse_script
from .server import LocalRealtimeServer

__all__ = [
    "Call",
    "LocalRealtimeServer",
    "Pause",
    "Reply",
    "Script",
    "Trouble",
    "Turn",
    "builtin_script",
    "load_script",
    "parse_script",
]
