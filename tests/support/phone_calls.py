"""Whole calls for tests, in memory: the real call session, session and model, the embedded server and the simulated
phone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.local import LocalRealtimeServer, Script
from realtime_core.sources import Sources
from telephony.call.session import CallOptions, CallOutcome, run_call
from telephony.simulator.line import Line
from telephony.simulator.peer import Caller, MediaPeer


class Records:
    """A journal in memory."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str, dict[str, Any]]] = []

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        self.all.append((t, kind, fields))

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        self.all.append((t, kind, {"message": json.loads(json_text)}))

    def close(self) -> None:
        pass

    def of(self, kind: str, event: str | None = None) -> list[tuple[float, dict[str, Any]]]:
        """(t, message) of the messages of this kind, or (t, fields) where the kind has no messages."""
        found = [(t, fields.get("message", fields)) for t, k, fields in self.all if k == kind]
        if event is None:
            return found
        return [(t, message) for t, message in found if event in (message.get("event"), message.get("type"))]


@dataclass
class PhoneCall:
    """The results of a call: its audio, records and events."""

    peer: MediaPeer
    outcome: CallOutcome
    records: Records


async def phone_call(
    caller: Caller,
    *,
    script: Script | str | None = "trattoria",
    agent: RealtimeAgent[Any] | None = None,
    line: Line | None = None,
    model_config: RealtimeModelConfig | None = None,
    wire: Callable[[MemoryConnection], None] = lambda connection: None,
    **options: Any,
) -> PhoneCall:
    """Run one call to its end. `wire` gets the phone's end of the connection before anything is sent."""
    records = Records()
    ours, theirs = memory_pair()
    wire(theirs)
    peer = MediaPeer(theirs, line=line or Line(seed=1), sources=Sources(1))
    async with LocalRealtimeServer(script, in_memory=True, sources=Sources(2)) as server:
        config = RealtimeModelConfig(**{**server.model_config, **(model_config or {})})
        options.setdefault("greeting", "Greet the caller.")
        options.setdefault("journal", lambda info: records)
        call_options = CallOptions(model_config=config, **options)
        agent = agent or RealtimeAgent(name="Desk", instructions="Short sentences.")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run_call(ours, agent, call_options))
            await peer.run(caller)
    assert peer.violations == [], "Twilio would not have taken this"
    return PhoneCall(peer, running.result(), records)
