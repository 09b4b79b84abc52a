"""One session with the server of the OpenAI Realtime protocol.

The modules are pure: the modules import no event loop, socket, clock or log. Each input has its time as an argument.
`SessionPorts` has the parts that a session uses.

```
session        ServerSession: builds the parts, takes messages, user inputs and time
steps          one input at a time, with its time
ports          parts that a session uses: player, turn policy, log
client_events  writes client events              user_inputs     one method per input of the user
known_facts    what the server has reported      refusals        errors of the server
updates        session.update and its answers    requests        requests for responses
audio_parts    the agent's audio                 tool_gate       answers that wait for a tool
items          items that the client sends       item_places     order of the items
caller_turns   speech and turns of the caller    hosted_tools    tools that the server runs (MCP)
call_parts     parts of the model's tool calls
response_events, spoken_text, item_events        responses, their text, items of the conversation
```
"""

from __future__ import annotations

from .ports import SessionPorts
from .session import ServerSession

__all__ = ["ServerSession", "SessionPorts"]
