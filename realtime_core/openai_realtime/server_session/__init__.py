"""One session with the server of the OpenAI Realtime protocol.

The modules are pure: they import no event loop, socket, clock or log. Each input has its time as an argument.
`SessionPorts` has the objects that a session uses and that outlive it.

```
session          ServerSession: builds the parts, and handles messages, inputs and time
steps            handles one input at a time, with its time
ports            the objects that a session uses: the player, the turn policy, the log
client_events    encodes and sends client events
user_inputs      executes the inputs of the program, with one method for each type
known_facts      recognises events that the server has already sent
refusals         handles errors of the server
updates          sends session.update and handles its answers
requests         sends requests for responses
audio_parts      counts, plays and truncates the agent's audio
tool_gate        delays answers until a tool has returned
items            sends items to the server
item_places      computes the order of the items
agent_speech     handles what the agent says: audio, transcripts and texts
caller_turns     handles the speech and the turns of the caller
hosted_tools     follows tools that the server runs (MCP)
call_parts       collects the parts of the model's tool calls
response_events  handles the beginning and the end of responses
item_events      handles events about the items of the conversation
```
"""

from __future__ import annotations

from .ports import SessionPorts
from .session import ServerSession

__all__ = ["ServerSession", "SessionPorts"]
