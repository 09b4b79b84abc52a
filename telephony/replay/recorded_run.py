"""Runs a recorded call again, with both sides from the recording. The run uses virtual time: the clock jumps to the
next event, so nothing waits.

A replay without divergence shows that the current code behaves like the recorded code for the recorded input. The
replay shows nothing about other callers, lines or answers of the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from realtime_core import RealtimeModelConfig
from realtime_core.connection import Connection
from realtime_core.testing import virtual_time

from ..call.call import Call
from ..call.options import AgentSource, CallOptions
from ..call.registry import Registry
from ..journal.format import Record
from ..journal.memory import MemoryJournal
from ..twilio import media_stream
from .call_player import CallPlayer
from .options import call_info, options_of, replay_opening
from .perturbation import Perturbation
from .perturbed import perturbed
from .recorded_requests import decided_tools
from .recorded_tools import RecordedTools, agent_for_replay
from .recording import Recording
from .request_player import ReplayClock, RequestPlayer
from .twilio import RecordedTwilio

__all__ = ["ReplayRun", "run_recorded"]

_AFTER_S = 0.0005
"""The delay in seconds of recorded callbacks. The status callback of the end, and an answer about the recording, come
just after the other events of that time.
"""


@dataclass(slots=True)
class ReplayRun:
    """The result of a replay: the journal of the replayed call, and the tool calls that are not in the recording."""

    journal: MemoryJournal
    unrecorded: list[tuple[str, str]] = field(default_factory=list)
    """The tool calls without a recorded answer, each as (name, arguments)."""

    def own_records(self) -> Iterator[tuple[int, Record]]:
        """Yields the journal records of the replay that say what the current code did, each with its index in the
        journal: all records except the messages that arrived from Twilio and from the model.
        """
        return self.journal.numbered(lambda kind: kind not in ("twilio.in", "model.in"))


def run_recorded(
    recording: Recording,
    agent: AgentSource | None = None,
    *,
    perturbation: Perturbation | None = None,
    run_tools: bool = False,
    configure: Callable[[CallOptions], None] | None = None,
    seed: int = 0,
) -> ReplayRun:
    """Replays a recorded call with `agent` (default: the recorded agent), and returns the result. `perturbation` has
    faults of the line, `configure` changes the options of the call, and `seed` is the random seed. Tools answer from
    the recording. With `run_tools=True`, the agent's own tools run, with their effects.
    """
    perturbation = perturbation or Perturbation(seed=seed)

    async def run() -> ReplayRun:
        tools = RecordedTools(
            recording.tools,
            recording.clips,
            slower_s=perturbation.slow_tools_s,
            decided=decided_tools(recording.requests),
        )
        journal = MemoryJournal(masks_digits=recording.header.get("redaction", {}).get("digits", True))
        options = options_of(recording, journal, seed)
        replay_opening(recording, options)
        source = agent_for_replay(recording, agent, tools, run_tools=run_tools)
        async with Registry(1) as registry, asyncio.TaskGroup() as group:
            call = _RecordedCall(recording, source, options, perturbation, registry, group)
            player = CallPlayer(recording, perturbation, on_stream=call.on_stream)
            try:
                options.model_config = RealtimeModelConfig(**{**options.model_config, "transport": player.transport})
                if configure is not None:
                    configure(options)
                await call.run()
            finally:
                player.close()
        return ReplayRun(journal, tools.unrecorded)

    return virtual_time.run(run, seed=seed)


class _RecordedCall:
    """One recorded call on a registry of its own. Streams, webhooks and requests of users' code come at their recorded
    times.
    """

    def __init__(
        self,
        recording: Recording,
        source: AgentSource,
        options: CallOptions,
        perturbation: Perturbation,
        registry: Registry,
        group: asyncio.TaskGroup,
    ) -> None:
        self._recording = recording
        self._source = source
        self._options = options
        self._perturbation = perturbation
        self._registry = registry
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self._began = asyncio.get_running_loop().time()

    async def run(self) -> None:
        options = self._options
        began, ended = options.on_start, options.on_end

        def on_start(call: Call) -> None:
            began(call)
            self._start(self._repeat(call))

        def on_end(call: Call) -> None:
            ended(call)
            self._over.set()

        options.on_start, options.on_end = on_start, on_end
        start = media_stream.decode(self._recording.streams[0].start)
        assert isinstance(start, media_stream.Start)
        if not self._tasks:  # the call began before its stream
            self._registry.begin_warm(call_info(self._recording, start), self._source, options)
        self._start(self._webhooks(start.call_sid))
        await self._over.wait()
        await self._registry.empty()
        for task in self._tasks:
            task.cancel()

    def on_stream(self, connection: Connection) -> None:
        self._start(self._serve(connection))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._group.create_task(work))

    async def _serve(self, connection: Connection) -> None:
        phone = perturbed(connection, self._perturbation)
        outcome = await self._registry.serve_stream(phone, self._source, self._options)
        if outcome.call is None:
            self._over.set()  # the call was refused

    async def _repeat(self, call: Call) -> None:
        player = RequestPlayer(self._recording.requests, self._recording.clips)
        await player.run(call, ReplayClock(0.0, self._began))

    async def _webhooks(self, call_sid: str) -> None:
        clock = ReplayClock(0.0, self._began)
        for t, callback in self._recording.callbacks:
            await clock.until(t + _AFTER_S if callback.get("what") in ("call status", "consent", "emergency") else t)
            if callback.get("what") == "farewell":
                self._start(self._registry.farewell())
            else:
                twilio = self._options.addresses
                recorded = twilio if isinstance(twilio, RecordedTwilio) else RecordedTwilio(self._recording)
                recorded.send(self._registry, call_sid, callback)
