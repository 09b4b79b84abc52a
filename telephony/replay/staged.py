"""A call on a switchboard of its own, in which streams, webhooks and what users' code asked come as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from realtime_core import RealtimeModelConfig
from realtime_core.connection import Connection

from ..call.call import Call, CallInfo
from ..call.options import AgentSource, CallOptions
from ..call.registry import Registry
from ..twilio import media_stream
from .perturbation import Perturbation
from .perturbed import perturbed
from .recording import Recording
from .repeating import Repeated, Repeats
from .stage import Stage
from .twilio import RecordedTwilio

__all__ = ["admitted", "perform_staged"]

_BEHIND_S = 0.0005
"""That a call is over is told behind what it may tell of."""


async def perform_staged(
    recording: Recording,
    source: AgentSource,
    options: CallOptions,
    perturbation: Perturbation,
    configure: Callable[[CallOptions], None] | None,
) -> None:
    """Run the call to its end. `configure` changes the options last."""
    async with Registry(1) as registry, asyncio.TaskGroup() as group:
        staged = _Staged(recording, source, options, perturbation, registry, group)
        stage = Stage(recording, perturbation, on_stream=staged.on_stream)
        try:
            options.model_config = RealtimeModelConfig(**{**options.model_config, "transport": stage.transport})
            if configure is not None:
                configure(options)
            await staged.run()
        finally:
            stage.close()


def admitted(recording: Recording, start: media_stream.Start) -> CallInfo:
    """Whose call it is; its direction no stream knows."""
    return replace(CallInfo.of(start), direction=str(recording.header.get("direction") or "inbound"))


class _Staged:
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
        if not self._tasks:  # the call was there before its stream
            self._registry.begin_warm(admitted(self._recording, start), self._source, options)
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
            self._over.set()  # it was refused

    async def _repeat(self, call: Call) -> None:
        await Repeats(self._recording.asked, self._recording.clips).run(call, Repeated(0.0, self._began))

    async def _webhooks(self, call_sid: str) -> None:
        place = Repeated(0.0, self._began)
        for t, callback in self._recording.callbacks:
            await place.until(t + _BEHIND_S if callback.get("what") == "call status" else t)
            if callback.get("what") == "farewell":
                self._start(self._registry.farewell())
            else:
                twilio = self._options.way_back
                tells = twilio if isinstance(twilio, RecordedTwilio) else RecordedTwilio(self._recording)
                tells.tell(self._registry, call_sid, callback)
