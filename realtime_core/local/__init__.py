"""The embedded realtime server: the OpenAI Realtime protocol (GA) on a real WebSocket, with a script for a model.

For trying an agent before paying for a model, for demonstrations, and for tests: voice activity detection on what the
caller says, turns, answers in stored or synthesised speech sent in bursts as the real server sends them, tool calls,
interruption, truncation, the real one's errors, and failures on demand. `python -m realtime_core.local` runs it alone.

- `LocalRealtimeServer`: the server, an async context manager
- `Script`, `Turn`, `load_script`, `parse_script`: what it says; the file format: `realtime_core.local.script`

What it does not do: understand. Transcripts of the caller and the results of hosted MCP tools come from the script,
`speed` and `noise_reduction` change nothing, and the caller's audio is not kept (`conversation.item.retrieve` gives the
item).
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
