"""Collects what happens in one call of this process, for its record, its outcome and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from realtime_core.events import RealtimeAnyEvent
from realtime_core.usage import Usage

from ..call.call import Call
from ..call.line.ear import Latency, LatencyKind
from ..console.live_call import LiveCall
from ..outcomes.result_form import ResultForm
from .call_details import CallDetails
from .call_outcomes import Transcribed

__all__ = ["ObservedCall"]

_MAX_LATENCIES = 1000


class ObservedCall:
    """One call under observation. `form` is the result that its agent fills in. `on_start` and `on_end` get the call.
    `on_progress` is called from time to time while something changes."""

    def __init__(
        self,
        form: ResultForm | None,
        *,
        agent: str = "",
        on_start: Callable[[Call, ObservedCall], None],
        on_progress: Callable[[Call, ObservedCall], None],
        on_end: Callable[[Call, ObservedCall], None],
    ) -> None:
        self.form = form
        self.agent = agent
        """The name of the agent, where it is known before the call."""
        self.details = CallDetails()
        self.live = LiveCall()
        """What the console shows of the call."""
        self.usage = Usage()
        """The tokens of the model that speaks."""
        self.transcribed = Transcribed()
        self.responses_s: list[float] = []
        """The response latencies at the caller's ear."""
        self._on_start, self._on_progress, self._on_end = on_start, on_progress, on_end
        self._clock = asyncio.get_running_loop().time
        self._call: Call | None = None

    def start(self, call: Call) -> None:
        self._call = call
        now = self._clock()
        self.details.begin(now)
        self.live.begin(now)
        self.live.hides, self.live.is_sealed = call.hides, lambda: call.is_sealed
        self._on_start(call, self)

    def on_event(self, event: RealtimeAnyEvent) -> None:
        now = self._clock()
        self.details.on_event(event, now)
        self.live.on_event(event, now)
        if event.type == "raw_model_event":
            if event.data.type == "usage":
                self.usage.add(event.data.usage)
            elif event.data.type == "input_audio_transcription_completed":
                self.transcribed.add(event.data.usage)
        if self.details.is_due(now) and self._call is not None:
            self._on_progress(self._call, self)

    @property
    def speaking(self) -> str:
        """The name of the agent that speaks. Empty: not known yet."""
        return self.details.agents[-1] if self.details.agents else self.agent

    def on_record(self, kind: str, at_s: float, fields: Mapping[str, Any]) -> None:
        self.live.on_record(kind, fields, self._clock())

    def on_digit(self) -> None:
        self.live.on_key(self._clock())

    def on_latency(self, latency: Latency) -> None:
        if latency.kind is not LatencyKind.RESPONSE:
            return
        self.live.on_latency(latency.seconds)
        self.details.on_response(latency.seconds)
        if len(self.responses_s) < _MAX_LATENCIES:
            self.responses_s.append(latency.seconds)

    def end(self, call: Call) -> None:
        self._on_end(call, self)
