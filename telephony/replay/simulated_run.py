"""Runs a recorded call again on a simulated phone, with the recorded model or with another model. The list shows the
three uses.

- The recorded caller and the recorded model, over another phone line: tests the code on a bad network.
- The recorded caller and a live model: tests a prompt and a model.
- A caller that follows a script: tests the situation that the script describes.
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
from .model_player import ModelPlayer
from .options import options_of, replay_opening
from .perturbation import Perturbation
from .perturbed import perturbed
from .recorded_run import ReplayRun
from .recorded_tools import RecordedTools, agent_for_replay
from .recording import Recording

__all__ = ["LIVE", "RECORDED", "SimulatedRun", "run_simulated"]

RECORDED, LIVE = "recorded", "live"


@dataclass(slots=True)
class SimulatedRun(ReplayRun):
    """The result of a call on a simulated phone. `heard` is the audio that the phone played (mu-law). `violations` are
    the messages that Twilio would refuse.
    """

    heard: bytes = b""
    violations: list[str] = field(default_factory=list)


def run_simulated(
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
) -> SimulatedRun:
    """Makes a recorded call again, with a simulated caller on a simulated phone. Returns the result. `agent` is the
    current agent. With None, the agent of the recorded session configuration is used. `line` is the quality of the
    simulated line, and `perturbation` has the faults. If `run_tools` is False, tools answer from the recording.
    `configure` changes the options of the call before its start, and `seed` is the seed of all random numbers.

    `model` is `recorded`, `live` (the real model, in real time, which costs money), or a script for the embedded model
    (a local model that is not an AI). With `embedded`, the embedded model has no script and calls each tool of the
    agent once.
    """

    async def run() -> SimulatedRun:
        simulation = _Simulation(
            recording, agent, caller, line, perturbation or Perturbation(), run_tools, configure, seed
        )
        return await simulation.run(model)

    return asyncio.run(run()) if model == LIVE else virtual_time.run(run, seed=seed)


@dataclass(slots=True)
class _Simulation:
    recording: Recording
    agent: AgentSource | None
    caller: Caller
    line: Line | None
    perturbation: Perturbation
    run_tools: bool
    configure: Callable[[CallOptions], None] | None
    seed: int

    async def run(self, model: str) -> SimulatedRun:
        recording, sources = self.recording, Sources(self.seed)
        tools = RecordedTools(recording.tools, recording.clips, slower_s=self.perturbation.slow_tools_s)
        journal = MemoryJournal()
        here, there = memory_pair()
        line = self.line or Line(seed=self.seed)
        peer = MediaPeer(here, line=line, call_sid=recording.header.get("call_sid"), sources=sources.fork("phone"))
        async with AsyncExitStack() as stack:
            options = options_of(recording, journal, self.seed)
            options.addresses = None  # a second stream is never opened here
            options.model_config = await self._model_config(model, stack, sources, options.model_config)
            replay_opening(recording, options)
            if self.configure is not None:
                self.configure(options)
            source = agent_for_replay(recording, self.agent, tools, run_tools=self.run_tools)
            for at_s, length_s in self.perturbation.stalls:
                asyncio.get_running_loop().call_later(at_s, _stall, length_s)
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(perturbed(there, self.perturbation), source, options))
                await peer.run(self.caller)
        violations = [f"{v.code} at {v.at_s:.3f} s: {v.reason}" for v in peer.violations]
        return SimulatedRun(journal, tools.unrecorded, peer.heard, violations)

    async def _model_config(
        self, model: str, stack: AsyncExitStack, sources: Sources, recorded: RealtimeModelConfig
    ) -> RealtimeModelConfig:
        settings = recorded.get("initial_model_settings")
        if model == RECORDED:
            player = ModelPlayer(self.recording, self.perturbation)
            player.schedule.stream_began()
            stack.callback(player.close)
            config = RealtimeModelConfig(url="ws://recorded", api_key="recorded", transport=player.transport)
        elif model == LIVE:
            if self.perturbation.disconnect_at_s is not None:
                raise ReplayError("disconnect_at_s does not work with a live model: use model='embedded'.")
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
    """Returns a transport whose connections break at `at_s` seconds, if they were opened before."""
    start = asyncio.get_running_loop().time()

    async def connect(url: str, headers: Mapping[str, str]) -> Connection:
        loop, connection = asyncio.get_running_loop(), await transport(url, headers)
        if loop.time() < start + at_s and isinstance(connection, MemoryConnection):
            loop.call_at(start + at_s, connection.break_)
        return connection

    return connect


def stalls(length_s: float, duration_s: float, seed: int) -> list[tuple[float, float]]:
    """Returns times at which the event loop is blocked in a replay of `duration_s` seconds, each as (start, length) in
    seconds: one at a random time in each ten seconds. Each has the length `length_s`.
    """
    random = Random(seed)
    return [(random.uniform(at, at + 10.0), length_s) for at in range(1, max(2, int(duration_s)), 10)]


def _stall(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(loop, virtual_time.VirtualTimeLoop):
        loop.stall(seconds)
    else:
        time.sleep(seconds)  # a live model runs in real time
