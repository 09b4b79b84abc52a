"""Modes (b), (c) and (d): a simulated phone in place of the recorded one, and the recorded model or another.

(b) the recorded caller over another line, the recorded model: does the code hold up when the network does not?
(c) the recorded caller, a living model: do this prompt and this model handle the caller?
(d) a caller from a script: whatever the script is about.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from realtime_core import RealtimeModelConfig
from realtime_core.connection import Connection
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.openai_realtime.websocket import Transport
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time

from ..call.options import AgentSource, CallOptions
from ..call.session import run_call
from ..errors import ReplayError
from ..journal.memory import MemoryJournal
from ..simulator import Caller, Line, MediaPeer
from .answers import Answers
from .performance import Performance, options_of, source_of
from .perturbation import Perturbation
from .perturbed import perturbed
from .placed import open_again
from .recording import Recording
from .stage import ModelStage

__all__ = ["LIVE", "RECORDED", "Rehearsal", "rehearse"]

RECORDED, LIVE = "recorded", "live"


@dataclass(slots=True)
class Rehearsal(Performance):
    """A call on a simulated phone: `heard` is what its ear got (mu-law), `violations` what Twilio would not take."""

    heard: bytes = b""
    violations: list[str] = field(default_factory=list)


def rehearse(
    recording: Recording,
    agent: AgentSource | None,
    caller: Caller,
    *,
    model: str = RECORDED,
    line: Line | None = None,
    perturbation: Perturbation | None = None,
    run_tools: bool = False,
    configure: Callable[[CallOptions], None] | None = None,
    seed: int = 0,
) -> Rehearsal:
    """Make the call. `model`: `recorded`; `live`, the real one, in real time, which costs money; or a script for the
    embedded server (`embedded`: it tries the agent's tools)."""

    async def perform() -> Rehearsal:
        made = _Made(recording, agent, caller, line, perturbation or Perturbation(), run_tools, configure, seed)
        return await made.perform(model)

    return asyncio.run(perform()) if model == LIVE else virtual_time.run(perform, seed=seed)


@dataclass(slots=True)
class _Made:
    recording: Recording
    agent: AgentSource | None
    caller: Caller
    line: Line | None
    perturbation: Perturbation
    run_tools: bool
    configure: Callable[[CallOptions], None] | None
    seed: int

    async def perform(self, model: str) -> Rehearsal:
        recording, sources = self.recording, Sources(self.seed)
        answers = Answers(recording.tools, recording.clips, slower_s=self.perturbation.slow_tools_s)
        journal = MemoryJournal()
        here, there = memory_pair()
        line = self.line or Line(seed=self.seed)
        peer = MediaPeer(here, line=line, call_sid=recording.header.get("call_sid"), sources=sources.fork("phone"))
        async with AsyncExitStack() as stack:
            options = options_of(recording, journal, self.seed)
            options.way_back = None  # nobody opens a second stream here
            options.model_config = await self._model_config(model, stack, sources, options.model_config)
            open_again(recording, options)
            if self.configure is not None:
                self.configure(options)
            source = source_of(recording, self.agent, answers, run_tools=self.run_tools)
            for at_s, length_s in self.perturbation.stalls:
                asyncio.get_running_loop().call_later(at_s, _stall, length_s)
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(perturbed(there, self.perturbation), source, options))
                await peer.run(self.caller)
        violations = [f"{v.code} at {v.at_s:.3f} s: {v.reason}" for v in peer.violations]
        return Rehearsal(journal, answers.unrecorded, peer.heard, violations)

    async def _model_config(
        self, model: str, stack: AsyncExitStack, sources: Sources, recorded: RealtimeModelConfig
    ) -> RealtimeModelConfig:
        settings = recorded.get("initial_model_settings")
        if model == RECORDED:
            stage = ModelStage(self.recording, self.perturbation)
            stage.cues.stream_began()
            stack.callback(stage.close)
            config = RealtimeModelConfig(url="ws://recorded", api_key="recorded", transport=stage.transport)
        elif model == LIVE:
            if self.perturbation.disconnect_at_s is not None:
                raise ReplayError("A live model's connection is not broken on purpose: say model='embedded'.")
            config = RealtimeModelConfig()
        else:
            script = None if model == "embedded" else model
            server = LocalRealtimeServer(script, in_memory=True, sources=sources.fork("model"))
            config = RealtimeModelConfig(**(await stack.enter_async_context(server)).model_config)
            if (at_s := self.perturbation.disconnect_at_s) is not None:
                config["transport"] = _breaking(config["transport"], at_s)
        if settings:
            config["initial_model_settings"] = settings
        return config


def _breaking(transport: Transport, at_s: float) -> Transport:
    """Connections that are made before `at_s` break then."""
    start = asyncio.get_running_loop().time()

    async def connect(url: str, headers: Mapping[str, str]) -> Connection:
        loop, connection = asyncio.get_running_loop(), await transport(url, headers)
        if loop.time() < start + at_s and isinstance(connection, MemoryConnection):
            loop.call_at(start + at_s, connection.break_)
        return connection

    return connect


def stalls(length_s: float, duration_s: float, seed: int) -> list[tuple[float, float]]:
    """A stall of the event loop about every ten seconds."""
    random = Random(seed)
    return [(random.uniform(at, at + 10.0), length_s) for at in range(1, max(2, int(duration_s)), 10)]


def _stall(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(loop, virtual_time.VirtualTimeLoop):
        loop.stall(seconds)
    else:
        time.sleep(seconds)  # a live model runs in real time
